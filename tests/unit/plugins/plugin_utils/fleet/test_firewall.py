# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import applications, firewall

HOSTS = {
    "gateway1": {"address": "192.0.2.11", "addresses": ["192.0.2.11", "198.51.100.11"]},
    "gateway2": {"address": "2001:db8::12"},
    "gpu1": {"address": "192.0.2.21"},
    "ops1": {"address": "192.0.2.31"},
}
ROWS: list[dict[str, Any]] = [
    {"name": "vllm", "hosts": ["gpu1"]},
    {
        "name": "nginx",
        "hosts": ["gateway1"],
        "ports": [
            {"name": "llm_api_port", "address": "0.0.0.0", "port": 443, "door": True},
            {"name": "nginx_south_port", "address": "127.0.0.1", "port": 4100},
            {"name": "other_south_port", "address": "192.0.2.11", "port": 4102},
        ],
    },
    {"name": "node_exporter", "hosts": list(HOSTS), "clients": ["ops1"], "listen": "0.0.0.0", "port": 9100},
    {"name": "open_webui", "hosts": ["ops1"], "clients": ["gateway1", "gateway2"], "listen": "::", "port": "3000"},
    {"name": "dcgm_exporter", "hosts": ["gpu1"], "clients": ["ops1"], "listen": "192.0.2.21", "port": 0},
]
INSTANCE = {"name": "chat-0", "model": "chat", "listen": "192.0.2.21", "port": 8100}


def derived(host: str, instances: list[dict[str, Any]] | None = None, **further: list[str]) -> dict[str, Any]:
    listeners = applications.fleet_listeners(ROWS, host)
    found = firewall.services(instances or [], listeners, HOSTS, ["gateway1", "gateway2", "ops1", "gone"], further)
    return {f"{one['name']} {one['port']}": one["peers"] for one in found}


def test_engines_and_applications_have_the_addresses_of_their_clients() -> None:
    engine = ["192.0.2.11", "198.51.100.11", "2001:db8::12", "192.0.2.31"]
    assert derived("gpu1", [INSTANCE]) == {"vllm-chat-0 8100": engine, "node-exporter 9100": ["192.0.2.31"]}
    assert derived("ops1")["open-webui 3000"] == ["192.0.2.11", "198.51.100.11", "2001:db8::12"]


def test_doors_and_loopback_are_left_alone_and_what_nobody_uses_is_closed() -> None:
    assert derived("gateway1") == {"other-south 4102": [], "node-exporter 9100": ["192.0.2.31"]}
    assert "vllm-chat-0 8100" not in derived("gpu1", [{**INSTANCE, "listen": "127.0.0.1"}])


def test_further_addresses_are_those_of_one_application_or_engine() -> None:
    found = derived("gpu1", [INSTANCE], node_exporter=["203.0.113.0/24"], vllm=["203.0.113.9"])
    assert found["node-exporter 9100"] == ["192.0.2.31", "203.0.113.0/24"]
    assert found["vllm-chat-0 8100"][-1] == "203.0.113.9"
    other = derived("gpu1", [{**INSTANCE, "engine": "sglang"}], vllm=["203.0.113.9"])
    assert "203.0.113.9" not in other["sglang-chat-0 8100"]


@pytest.mark.parametrize(
    ("address", "further", "variable", "words"),
    [
        ("gpu1.example.com", {}, "llm_address", "give its address, or set llm_firewall to false"),
        ("192.0.2.1", {"node_exportr": []}, "llm_firewall_peers.node_exportr", "did you mean node_exporter"),
        ("[2001:db8::1]", {"vllm": ["metrics.example.com"]}, "llm_firewall_peers.vllm", "[192.0.2.9, 10.1.0.0/24]"),
        ("", {"vllm": "192.0.2.9"}, "llm_firewall_peers.vllm", "give a list"),
        ("localhost", ["192.0.2.9"], "llm_firewall_peers", "by application"),
    ],
)
def test_a_name_where_an_address_is_needed_is_refused(address: str, further: Any, variable: str, words: str) -> None:
    (problem,) = firewall.problems(address, further, ["node_exporter", "vllm"], "gpu1")
    assert (problem.host, problem.variable) == ("gpu1", variable)
    assert words in problem.sentence()


def test_what_another_check_refuses_is_not_refused_twice() -> None:
    assert firewall.problems("gpu1.example.com", {}, [], told=["llm_address"]) == []
    assert firewall.problems("192.0.2.1", {"vllm": ["192.0.2.9", "2001:db8::/64"]}, ["vllm"]) == []
