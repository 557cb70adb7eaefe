# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import merged_json
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine.merged_json import digest, merge
from hypothesis import given
from hypothesis import strategies as st

SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(SCALARS, max_size=3, unique_by=repr) | st.dictionaries(st.sampled_from("xyz"), inner),
)
DOCUMENTS = st.dictionaries(st.sampled_from("klm"), VALUES, max_size=3)


def test_what_others_set_stays_and_comes_first() -> None:
    merged = merge(
        {"debug": True, "registry-mirrors": ["https://theirs"], "log-opts": {"tag": "x"}},
        {"registry-mirrors": ["https://ours"], "log-opts": {"max-size": "10m"}, "data-root": "/data"},
        {},
    )
    assert merged.document == {
        "debug": True,
        "registry-mirrors": ["https://theirs", "https://ours"],
        "log-opts": {"tag": "x", "max-size": "10m"},
        "data-root": "/data",
    }
    assert merged.owned == {
        "registry-mirrors": [digest("https://ours")],
        "log-opts": {"max-size": digest("10m")},
        "data-root": digest("/data"),
    }


def test_a_second_time_changes_nothing() -> None:
    values = {"a": [1, 2], "b": {"c": {"d": 1}, "e": []}, "f": {}, "g": None}
    first = merge({"a": [2, 3]}, values, {})
    assert first.document == {"a": [2, 3, 1], "b": {"c": {"d": 1}, "e": []}, "f": {}, "g": None}
    assert merge(first.document, values, first.owned) == first


def test_what_is_wanted_no_more_goes_unless_it_is_somebody_elses() -> None:
    first = merge({"a": [2], "same": 1}, {"a": [1, 2], "b": {"c": 1, "d": 2}, "same": 1, "e": 5}, {})
    changed = {**first.document, "e": 6}
    assert merge(changed, {"b": {"c": 1}}, first.owned).document == {"a": [2], "same": 1, "b": {"c": 1}, "e": 6}
    assert merge(changed, {}, first.owned) == ({"a": [2], "same": 1, "e": 6}, {})


def test_a_value_of_another_kind() -> None:
    first = merge({"a": 1, "b": [1], "c": {"x": 1}}, {"a": {"x": 1}, "b": 2, "c": [3]}, {})
    assert first.document == {"a": {"x": 1}, "b": 2, "c": [3]}
    assert merge({"a": 7, "b": {"y": 1}, "c": 8}, {}, first.owned).document == {"a": 7, "b": {"y": 1}, "c": 8}
    assert merge({"a": {"x": 1}, "b": 2}, {"b": [5]}, first.owned).document == {"b": [5]}
    assert merge({"a": None}, {}, {"a": digest(1)}).document == {}


def test_true_is_not_one() -> None:
    assert merge({"a": 1}, {"a": True}, {}).owned == {"a": digest(True)}


@pytest.mark.parametrize(
    ("document", "values", "owned", "applied"),
    [
        ({}, {}, {}, True),
        ({"log-driver": "journald"}, {}, {}, False),
        ({"log-opts": {"tag": "x"}}, {}, {}, False),
        ({}, {"log-driver": "none"}, {}, False),
        ({"log-driver": "local"}, {}, {"log-driver": digest("local")}, True),
        ({"log-opts": {"max-size": "1m"}}, {}, {"log-opts": {"max-size": digest("1m")}}, True),
        ({"log-opts": {"max-size": "1m", "tag": "x"}}, {}, {"log-opts": {"max-size": digest("1m")}}, False),
        ({"log-opts": ["x"]}, {}, {"log-opts": [digest("x")]}, True),
        ({"log-opts": ["x", "y"]}, {}, {"log-opts": [digest("x")]}, False),
    ],
)
def test_what_belongs_together_gives_way_to_others(
    document: dict[str, object], values: dict[str, object], owned: dict[str, object], applied: bool
) -> None:
    fallback = {"log-driver": "local", "log-opts": {"max-size": "10m"}}
    found = merged_json.with_fallback(document, values, fallback, owned)
    assert found == ({**fallback, **values} if applied else values)


@pytest.mark.parametrize("text", ["[]", "{", "3", '"x"'])
def test_no_object(text: str) -> None:
    with pytest.raises(merged_json.DocumentError):
        merged_json.parse(text)


def test_text() -> None:
    assert merged_json.parse(" \n") == {}
    assert merged_json.parse(merged_json.text_of({"b": "ü", "a": 1})) == {"b": "ü", "a": 1}
    assert merged_json.text_of({"b": "ü", "a": 1}).splitlines()[1] == '  "b": "ü",'


def normal(document: object) -> str:
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_it_settles_at_once_whatever_was_there(before: dict, first: dict, second: dict) -> None:  # type: ignore[type-arg]
    one = merge(before, first, {})
    two = merge(one.document, second, one.owned)
    again = merge(two.document, second, two.owned)
    assert normal(again.document) == normal(two.document)
    assert again.owned == two.owned


@given(DOCUMENTS, DOCUMENTS)
def test_without_a_conflict_removal_gives_back_what_was_there(before: dict, values: dict) -> None:  # type: ignore[type-arg]
    theirs = {f"their-{key}": value for key, value in before.items()}
    merged = merge(theirs, values, {})
    assert merge(merged.document, {}, merged.owned) == (theirs, {})


def test_what_a_url_logs_in_with_is_not_shown():
    document = {
        "proxies": {"https-proxy": "http://user:p-ss@proxy:3128"},
        "registry-mirrors": ["https://mirror:5000/a"],
    }
    text = merged_json.shown(document)
    assert "user" not in text
    assert "p-ss" not in text
    assert "http://********@proxy:3128" in text
    assert "https://mirror:5000/a" in text
