# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines, environments and services of vLLM's instances.

specs.json holds what the collection writes on hosts, so that running engines do not restart for another order of flags.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.filter.vllm import vllm_specs
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import specs
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service.parts import divided

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "specs.json").read_text())
SETTINGS: dict[str, Any] = CASES[0]["settings"]
CHAT: dict[str, Any] = CASES[0]["instances"][0]


def one(settings: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    (spec,) = specs.specs([{**CHAT, **changes}], {**SETTINGS, **(settings or {})})
    return spec


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_not_one_byte_differs_from_what_runs(case: dict[str, Any]) -> None:
    assert json.dumps(specs.specs(case["instances"], case["settings"])) == json.dumps(case["specs"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"a": None}, []),
        ({"a": True}, ["--a"]),
        ({"a": False}, ["--no-a"]),
        ({"a": 0}, ["--a=0"]),
        ({"a": 0.5}, ["--a=0.5"]),
        ({"a": ""}, ["--a="]),
        ({"a": 'it\'s 100 % "sure"'}, ['--a=it\'s 100 % "sure"']),
        ({"a": ["x", 1, {"b": 2}]}, ["--a", "x", "1", '{"b": 2}']),
        ({"a": {"b": "é"}}, ['--a={"b": "\\u00e9"}']),
        ({"b": 1, "a": 2}, ["--b=1", "--a=2"]),
    ],
)
def test_a_flag_of_every_kind(flags: dict[str, Any], words: list[str]) -> None:
    assert specs.command_line(flags) == words


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8100/health"),
        ("::", "http://[::1]:8100/health"),
        ("10.0.0.0", "http://10.0.0.0:8100/health"),
        ("fd00::7", "http://[fd00::7]:8100/health"),
    ],
)
def test_readiness_is_asked_where_the_engine_listens(listen: str, url: str) -> None:
    assert one(listen=listen)["ready"]["url"] == url


def test_flags_of_the_instance_win_over_the_role_and_those_over_the_plan() -> None:
    command = one({"args": {"seed": 1, "max-num-seqs": 2}}, args={"seed": 3})["command"]
    assert {"--seed=3", "--max-num-seqs=2"} <= set(command)
    assert not [word for word in command if word in ("--seed=1", "--max-num-seqs=16")]


def variables(spec: dict[str, Any]) -> dict[str, Any]:
    """All variables that the engine has, as the service role merges them."""
    environment, secrets = divided(spec["environment"], {}, spec["user_environment"])
    return {**environment, **secrets}


def test_processes_of_an_engine_meet_on_loopback_unless_told_otherwise() -> None:
    environment = one()["environment"]
    assert (environment["GLOO_SOCKET_IFNAME"], environment["NCCL_SOCKET_IFNAME"]) == ("lo", "lo")
    given = variables(one({"env": {"GLOO_SOCKET_IFNAME": None}}, env={"NCCL_SOCKET_IFNAME": "eth1"}))
    assert "GLOO_SOCKET_IFNAME" not in given
    assert given["NCCL_SOCKET_IFNAME"] == "eth1"


def test_variables_of_the_instance_win_and_a_null_takes_one_away() -> None:
    given = variables(one({"env": {"A": "1", "B": "1"}}, env={"A": None, "B": "2", "DO_NOT_TRACK": None}))
    assert "A" not in given
    assert "DO_NOT_TRACK" not in given
    assert given["B"] == "2"


@pytest.mark.parametrize("own", [None, "/srv/plugins"])
def test_nothing_is_imported_instead_of_the_middleware(own: str | None) -> None:
    path = variables(one(env={"PYTHONPATH": own}))["PYTHONPATH"]
    assert path.split(":") == ["/etc/llmfleet/vllm-chat-0", *filter(None, [own])]


@pytest.mark.parametrize(("measured", "deadline"), [({}, 900), ({"chat-0": 60}, 900), ({"chat-0": "1800"}, 1800)])
def test_the_deadline_is_the_longer_one(measured: dict[str, Any], deadline: int) -> None:
    assert one({"start_deadlines": measured})["ready"]["deadline"] == deadline


def test_the_filter_says_what_is_missing() -> None:
    assert vllm_specs([], {}) == []
    with pytest.raises(AnsibleFilterError, match="'config_root' is missing"):
        vllm_specs([CHAT], {})
