# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import parts, rules

PORT = rules.whole(1, 65535, "a port")
WEB = rules.url("https", "http")
MODE = rules.choice(["auto", "cdi", "true"])


@pytest.mark.parametrize(
    ("rule", "value", "clean"),
    [
        (PORT, 443, 443),
        (PORT, "8080", 8080),
        (rules.number(0, whole=False), "1e3", 1000.0),
        (rules.number(1), "8", 8),
        (rules.switch, "No", False),
        (rules.switch, True, True),
        (rules.line, 580, "580"),
        (rules.line, "tab\there", "tab\there"),
        (rules.line, "Zoë", "Zoë"),
        (MODE, True, "true"),
        (rules.address, "0.0.0.0", "0.0.0.0"),
        (rules.address, "::", "::"),
        (rules.address, "[fd00::1]", "fd00::1"),
        (rules.address, "gateway-1.example.com", "gateway-1.example.com"),
        (WEB, "http://[::1]:80/x@y", "http://[::1]:80/x@y"),
        (rules.path, "/srv/models/", "/srv/models/"),
        (parts.listing(rules.line), ["a", 1], ["a", "1"]),
        (parts.mapping(PORT), {"a": "1"}, {"a": 1}),
        (parts.record({"a": PORT}, ("a",)), {"a": 1}, {"a": 1}),
        (parts.record({"a": PORT}), {"a": None}, {}),
    ],
)
def test_what_is_right(rule: rules.Rule, value: Any, clean: Any) -> None:
    assert rule(value) == clean
    assert parts.refusals(rule, value) == []


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        (PORT, 0, "from 1 to 65535"),
        (PORT, 65536, "from 1 to 65535"),
        (PORT, "http", "a port is needed"),
        (PORT, True, "a port is needed"),
        (PORT, 443.0, "a port is needed"),
        (PORT, "4４3", "a port is needed"),
        (rules.number(1), "8_0", "a whole number is needed"),
        (rules.number(1), " 8", "a whole number is needed"),
        (rules.number(1), 10**400, "a whole number is needed"),
        (rules.switch, "maybe", "write true or false"),
        (rules.line, ["a", "b"], "such as a,b for [a, b]"),
        (rules.line, {"a": 1}, "write a text"),
        (rules.line, "a\u2028b", "line break"),
        (MODE, "cid", "did you mean cdi"),
        (MODE, "zzz", "choose from auto, cdi, true"),
        (rules.address, "127.0.0.1:80", "without port"),
        (rules.address, "[127.0.0.1]", "without port"),
        (rules.address, "[::1]:80", "without port"),
        (rules.address, "10.0.0.300", "without port"),
        (rules.address, "http://a", "without port"),
        (rules.address, "fe80::1%eth0", "without port"),
        (WEB, "ftp://a", "https://HOST/PATH"),
        (WEB, "a.example.com", "https://HOST/PATH"),
        (rules.path, "models", "not a valid absolute path"),
        (rules.path, "/", "not a valid absolute path"),
        (rules.path, "//", "not a valid absolute path"),
        (rules.path, "/srv/../etc", "not a valid absolute path"),
        (parts.listing(rules.line), "gpu1", "such as [a, b]"),
        (parts.mapping(), [1], "a dictionary is needed"),
    ],
)
def test_what_is_refused(rule: rules.Rule, value: Any, words: str) -> None:
    (refused,) = parts.refusals(rule, value)
    assert words in f"{refused.problem}; {refused.remedy}"
    assert (refused.inside, refused.value) == ("", value)


def test_every_wrong_part_is_refused_with_the_way_to_it() -> None:
    row = parts.record({"name": rules.line, "ports": parts.listing(PORT)}, ("name",))
    value = {"a": [{"ports": [1, 0, "x"], "nmae": "y"}], "b": 3}
    rule = parts.mapping(parts.listing(row))
    assert [(one.inside, one.value) for one in parts.refusals(rule, value)] == [
        ("[a][0].nmae", "y"),
        ("[a][0].name", None),
        ("[a][0].ports[1]", 0),
        ("[a][0].ports[2]", "x"),
        ("[b]", 3),
    ]


def test_names_of_environment_variables() -> None:
    rule = parts.mapping(names=re.compile("[A-Z]+"))
    assert [one.inside for one in parts.refusals(rule, {"A": 1, "b c": 2})] == ["[b c]"]
