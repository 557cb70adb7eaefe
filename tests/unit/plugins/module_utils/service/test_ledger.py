# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Lines of the ledger, and rules for generations."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import records
from ansible_collections.llmfleet.serving.plugins.module_utils.service import generations, ledger

WHAT = {"instance": "chat-0", "model": "chat"}
RUN = {"id": "1", "user": "ann", "control_host": "ops", "playbook": "site.yml"}


def entry(**more: Any) -> dict[str, Any]:
    return ledger.entry(ledger.START, WHAT, RUN, "2026-01-02T03:04:05Z", **more)


def test_moments_are_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert ledger.stamp(datetime.datetime(2026, 1, 1, 1, 0, tzinfo=zone)) == "2025-12-31T23:00:00Z"
    assert len(ledger.now()) == len("2025-12-31T23:00:00Z")


@pytest.mark.parametrize("verdict", ["x" * 9000, "ä" * 9000, '"' * 9000, "\n" * 9000, "\U0001f600" * 9000])
def test_lines_are_bounded(verdict: str) -> None:
    line = ledger.line(entry(verdict=verdict, figures={"a": "b" * 9000}))
    assert len(line.encode()) <= ledger.MOST_BYTES
    assert "\n" not in line
    assert ledger.entries(line)[0]["instance"] == "chat-0"


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    records.append_line(str(path), ledger.line(entry(verdict="first")))
    with path.open("a") as file:
        file.write('{"when": "2026-')
    records.append_line(str(path), ledger.line(entry(verdict="last")))
    with path.open("a") as file:
        file.write('{"when": "2026-')
    found = ledger.entries(records.last_part(str(path), ledger.TAIL_BYTES))
    assert [one["verdict"] for one in found] == ["first", "last"]
    assert ledger.last_of(found)["chat-0"]["verdict"] == "last"
    assert ledger.entries("[]\n7\n{}\n") == []
    assert len(ledger.entries(records.last_part(str(path), len(ledger.line(entry(verdict="last"))) + 40))) == 1
    assert records.last_part(str(tmp_path / "none"), 10) == ""


def generation(number: int, state: str = "good", when: str = "") -> dict[str, Any]:
    return {"generation": number, "state": state, "when": when or f"2026-01-0{number}", "digest": f"d{number}"}


@pytest.mark.parametrize(
    ("states", "present", "on_disk", "gone"),
    [
        ("", None, None, []),
        ("ggg", 3, None, []),
        ("gggggg", 6, None, [1, 2]),
        ("gggggg", 1, None, [2, 3]),
        ("gfgfgf", 5, 6, [2, 4]),
        ("ffff", None, 4, [1, 2, 3]),
    ],
)
def test_which_generations_are_kept(states: str, present: int | None, on_disk: int | None, gone: list[int]) -> None:
    found = [generation(i, "good" if s == "g" else "failed") for i, s in enumerate(states, 1)]
    assert generations.superfluous(found, present, on_disk) == gone


def test_numbers_and_targets() -> None:
    found = [generation(1, when="2026-02"), generation(2), generation(3, "failed"), generation(4)]
    assert generations.next_number(found) == 5
    assert generations.next_number([]) == 1
    assert generations.previous(found, 4) == 1
    assert generations.previous(found[:1], 1) is None
    assert generations.target(found, found[3], True) == 1
    assert generations.target(found, found[3], False) == 4
    assert generations.with_digest(found, "d2") == found[1]
    assert generations.with_digest(found, "other") is None
    assert generations.told(None) is None


@pytest.mark.parametrize(
    ("command", "image", "package"),
    [
        ("/opt/llmfleet/venvs/vllm-12/bin/python", "", "/opt/llmfleet/venvs/vllm-12"),
        ("/usr/bin/program", "", "/usr/bin/program"),
        ("/opt/llmfleet/images/vllm-12/python", "registry/vllm@sha256:1", "registry/vllm@sha256:1"),
    ],
)
def test_packages(command: str, image: str, package: str) -> None:
    assert generations.package_of(command, image) == package


def test_revisions() -> None:
    assert generations.revision_of("main", "/m/hub/models--a--b/snapshots/abc") == "abc"
    assert generations.revision_of("main", "/m/demo/chat") == "main"
    assert generations.revision_of("", "") == ""


def test_a_refusal_names_what_is_missing_and_what_to_do() -> None:
    text = generations.refusal("vllm-chat-0", generation(1), ["its model /m"], [])
    assert "its model /m is gone" in text
    assert "no other is kept" in text
    assert json.dumps(text)
