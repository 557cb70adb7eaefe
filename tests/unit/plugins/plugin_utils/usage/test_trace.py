# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the time of a request went, from lines as both Nginx and the gate write them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import hops
from ansible_collections.llmfleet.serving.plugins.modules import request_info
from ansible_collections.llmfleet.serving.plugins.plugin_utils.usage import trace
from module_runner import run_module

REQUEST = "notebook-0001"
NORTH = {
    "time": "2026-11-28T06:40:12+00:00",
    "door": "api",
    "request_id": REQUEST,
    "client": "10.0.0.9",
    "method": "POST",
    "path": "/v1/chat/completions",
    "upstream": "127.0.0.1:4200",
    "upstream_status": "200",
    "upstream_connect_seconds": "0.000",
    "upstream_header_seconds": "0.210",
    "upstream_seconds": "1.233",
    "status": 200,
    "seconds": 1.234,
}
GATE = {
    "time": 1795848012.345,
    "request_id": REQUEST,
    "key": "team-a",
    "team": "red",
    "model": "chat",
    "path": "/v1/chat/completions",
    "status": 200,
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "cached_tokens": 8,
    "seconds": 1.2301,
    "first_byte_seconds": 0.2099,
}
SOUTH = {
    "time": "2026-11-28T06:40:12+00:00",
    "door": "south",
    "request_id": "e" * 32,
    "client_request_id": REQUEST,
    "upstream": "10.0.0.2:8100, 127.0.0.1:8101",
    "upstream_status": "502, 200",
    "upstream_connect_seconds": "-, 0.001",
    "upstream_header_seconds": "-, 0.199",
    "upstream_seconds": "0.002, 1.221",
    "status": 200,
    "seconds": 1.223,
}
INSTANCES = [
    {"name": "chat-0", "host": "gpu1", "address": "10.0.0.2", "port": 8100},
    {"name": "chat-1", "host": "gw1", "address": "10.0.0.1", "port": 8101},
]


def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, **given: Any) -> dict[str, Any]:
    """What the module returns of logs with these lines, some of them in older files."""
    other = {"request_id": "another-request", "client_request_id": "another-request", "time": "2026-11-27T00:00:00Z"}
    north, gate, south = (tmp_path / name for name in ("north.json", "usage.jsonl", "south.json"))
    with gzip.open(f"{north}.2.gz", "wb") as file:
        file.write(f"{json.dumps(other)}\n".encode())
    (tmp_path / "north.json.1").write_text(json.dumps(given.get("north", NORTH)) + "\nnot json " + REQUEST + "\n")
    (tmp_path / "north.json.bak").write_text(json.dumps(NORTH) + "\n")
    gate.write_text(json.dumps(given.get("gate", GATE)) + "\n" + json.dumps(other) + "\n")
    if given.get("south", SOUTH):
        south.write_text(json.dumps(given.get("south", SOUTH)) + "\n")
    paths = {"north": str(north), "gate": str(gate), "south": str(south)}
    params = {"request": given.get("request", REQUEST), **paths, "_ansible_remote_tmp": "/tmp"}
    return dict(run_module(request_info.main, params, monkeypatch, capsys))


def test_hops_are_told_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    result = found(tmp_path, monkeypatch, capsys)
    assert [one["hop"] for one in result["hops"]] == ["north", "gate", "south"]
    assert result["since"] == "2026-11-27T00:00:00Z"
    first, second = result["hops"][2]["servers"]
    assert first == {"address": "10.0.0.2:8100", "status": 502, "seconds": 0.002} | dict.fromkeys(
        ("connect_seconds", "header_seconds")
    )
    assert (second["address"], second["status"]) == ("127.0.0.1:8101", 200)
    assert (second["connect_seconds"], second["header_seconds"], second["seconds"]) == (0.001, 0.199, 1.221)
    text = trace.text({"gw1": result, "gw2": {"hops": [], "since": ""}}, INSTANCES, REQUEST, "table")
    assert text.splitlines() == [
        "gw1, 2026-11-28T06:40:12+00:00: POST /v1/chat/completions",
        "hop     what                                                           status  seconds  to its first byte",
        "------  -------------------------------------------------------------  ------  -------  -----------------",
        "nginx   door api, client 10.0.0.9                                      200     1.234",
        "gate    key team-a, team red, model chat, 12 and 34 tokens (8 cached)  200     1.230    0.210",
        "engine  chat-0 on gpu1                                                 502     0.002",
        "engine  chat-1 on gw1                                                  200     1.221    0.199",
        "Nginx, the network and the client took 0.004 s of 1.234 s.",
        "The gate took 0.007 s beside the engine.",
        "chat-0 on gpu1 failed, and another was asked.",
        f"The engine knows it as {'e' * 32}.",
    ]
    told = json.loads(trace.text({"gw1": result}, INSTANCES, REQUEST, "json"))
    assert told["gateways"]["gw1"][2]["servers"][1]["name"] == "chat-1 on gw1"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"gate": {}, "south": None, "north": {**NORTH, "status": 429}}, "The gate has no line of it: it was refused"),
        ({"south": None}, "LiteLLM translated the request, or no engine was asked."),
        ({"gate": {**GATE, "status": 499}}, "The client left before its answer was complete (499)."),
        ({"south": {**SOUTH, "upstream": "-", "upstream_status": "-"}}, "asked no engine"),
        ({"south": {**SOUTH, "upstream": "10.9.9.9:8100"}}, "10.9.9.9:8100"),
        ({"gate": {**GATE, "kept_answer": True}, "south": None}, "a kept answer"),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, given: dict[str, Any], sentence: str
) -> None:
    result = found(tmp_path, monkeypatch, capsys, **given)
    assert sentence in trace.text({"gw1": result}, INSTANCES, REQUEST, "table")


def test_an_unknown_request_says_how_far_logs_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    result = found(tmp_path, monkeypatch, capsys, request="never-seen")
    text = trace.text({"gw1": result}, INSTANCES, "never-seen", "table")
    assert text.startswith(
        "No gateway has a line of the request never-seen; their logs have lines (gw1 since 2026-11-27"
    )


def test_a_name_that_several_requests_have_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    result = found(tmp_path, monkeypatch, capsys)
    twice = {"gw1": {"hops": [*result["hops"], result["hops"][0]]}}
    assert "Several requests have this identifier" in trace.text(twice, INSTANCES, REQUEST, "table")


@pytest.mark.parametrize("text", ["", "short", "a b c d e f", "x" * 129, "secret\nline-of-it", '"quoted-text"'])
def test_what_is_no_identifier_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, text: str
) -> None:
    assert not hops.is_identifier(text)
    (problem, *_others) = trace.problems(text, "table")
    assert "x-request-id" in problem.sentence()
    assert "x-request-id" in found(tmp_path, monkeypatch, capsys, request=text)["msg"]


def test_an_unknown_form_is_refused() -> None:
    (problem,) = trace.problems(REQUEST, "xml")
    assert problem.sentence() == 'format is "xml": there is no such form; give one of table, json.'
