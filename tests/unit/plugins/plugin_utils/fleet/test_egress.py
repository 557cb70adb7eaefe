# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import egress

FACTS: dict[str, Any] = {
    "interfaces": ["lo", "docker0", "bond-a", "eth0"],
    "lo": {"ipv4": {"address": "127.0.0.1"}},
    "docker0": {"ipv4": {"address": "172.17.0.1"}},
    "bond_a": {"ipv4": {"address": "10.1.0.1"}, "ipv4_secondaries": [{"address": "10.1.0.9"}]},
    "eth0": {"ipv4": {"address": "192.0.2.1"}, "ipv6": [{"address": "2001:db8::1"}]},
    "default_ipv4": {"address": "192.0.2.1"},
    "default_ipv6": {"address": "2001:db8::1"},
}
HOSTS = {"a": {"address": "10.1.0.1", "addresses": ["10.1.0.1", "10.1.0.9"]}, "b": {"address": "10.1.0.2"}}
GATEWAY = {"litellm": ["redis", "config"]}


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        ("10.1.0.1", ["10.1.0.1", "10.1.0.9", "192.0.2.1"]),
        # The address of the fleet is not the first one of its interface, from which the host sends.
        ("10.1.0.9", ["10.1.0.9", "10.1.0.1", "192.0.2.1"]),
        ("127.0.0.1", ["127.0.0.1", "192.0.2.1"]),
        ("2001:db8::1", ["2001:db8::1", "192.0.2.1"]),
        ("gpu1.example.com", ["gpu1.example.com", "192.0.2.1"]),
    ],
)
def test_addresses_from_which_a_host_sends(address: str, wanted: list[str]) -> None:
    assert egress.source_addresses(FACTS, address) == wanted
    assert egress.source_addresses({}, address) == [address]
    without = {**FACTS, "default_ipv4": {}}
    assert egress.source_addresses(without, "fd00::1") == ["fd00::1", "2001:db8::1"]


def test_the_fleet_further_networks_and_named_addresses_are_let_through() -> None:
    values = {
        "redis": "rediss://gateway:pa@ss@10.0.0.5:6379/0",
        "config": {"litellm_settings": {"url": "http://[fd00::7]:80/a?b=http://c"}, "list": ["x", 7, None]},
        "other": "http://10.9.9.9",
    }
    found = egress.networks(values, GATEWAY["litellm"], HOSTS, ["192.0.2.0/28"])
    assert found == ["10.1.0.1", "10.1.0.9", "10.1.0.2", "192.0.2.0/28", "10.0.0.5", "fd00::7"]


def test_names_of_hosts_are_no_addresses() -> None:
    hosts = {"a": {"address": "gpu1.example.com"}, "b": {}, "c": {"address": "[fd00::2]"}}
    assert egress.networks({"redis": "redis://cache"}, GATEWAY["litellm"], hosts, []) == ["fd00::2"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"redis": ""},
        {"redis": "redis://127.0.0.1:6379"},
        {"redis": "redis://:word@localhost/0"},
        {"redis": "unix:///run/redis.sock"},
        {"config": {"model": "hosted_vllm/chat", "text": "no URL: //"}},
    ],
)
def test_what_a_filtered_service_reaches_is_no_problem(values: dict[str, Any]) -> None:
    assert egress.problems(values, GATEWAY, [], "10.1.0.1", "gw") == []


@pytest.mark.parametrize(
    ("values", "variable"),
    [
        ({"redis": "rediss://gateway:secret@cache.example.com:6379/0"}, "redis"),
        ({"config": {"a": [{"api_base": "https://api.example.com/v1"}]}}, "config"),
    ],
)
def test_a_name_is_refused_with_its_variable_and_the_remedies(values: dict[str, Any], variable: str) -> None:
    (problem,) = egress.problems(values, GATEWAY, [], "10.1.0.1", "gw")
    assert (problem.host, problem.variable) == ("gw", variable)
    assert "example.com" in problem.problem
    assert "llm_egress_networks" in problem.remedy
    assert "litellm_egress to [any]" in problem.remedy
    assert "secret" not in problem.sentence()


def test_an_address_of_the_fleet_that_is_a_name_is_refused() -> None:
    (problem,) = egress.problems({}, GATEWAY, [], "gpu1.example.com", "gpu1")
    assert problem.variable == "llm_address"
    assert egress.problems({}, GATEWAY, [], "localhost") == []
    assert egress.problems({}, GATEWAY, [], "[fd00::1]") == []


def test_who_names_networks_or_turns_the_filter_off_is_not_asked() -> None:
    values = {"redis": "redis://cache"}
    assert egress.problems(values, GATEWAY, ["10.0.0.0/8"], "gpu1.example.com") == []
    assert egress.problems(values, {"litellm": [], "vllm": []}, [], "gpu1.example.com") == []
