# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.names import account
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import egress
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec

LOOPBACK = ["127.0.0.1", "127.0.1.1", "::1"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        (["any"], ["any"]),
        (["10.0.0.1", "any"], ["any"]),
        ([], LOOPBACK),
        (["127.0.0.1", "::1"], LOOPBACK),
        (["10.0.0.2", "fd00::2", "10.0.0.3"], ["10.0.0.2/31", "127.0.0.1", "127.0.1.1", "::1", "fd00::2"]),
        (["10.0.0.7/24", "10.0.0.9"], ["10.0.0.0/24", "127.0.0.1", "127.0.1.1", "::1"]),
    ],
)
def test_networks(given: Any, wanted: Any) -> None:
    assert egress.networks("web", given) == wanted


@pytest.mark.parametrize("given", ["10.0.0.1", ["gpu1.example.com"], ["10.0.0.1:80"], [""], [None], {"a": 1}])
def test_what_is_no_network_is_refused(given: Any) -> None:
    with pytest.raises(ProblemsError) as error:
        egress.networks("web", given)
    (problem,) = error.value.problems
    assert problem.variable == "service_specs[web].egress"


@pytest.mark.parametrize("resolver", ["127.0.0.53", "127.0.0.54", "127.0.0.11"])
def test_name_servers_on_loopback_are_not_let_through(resolver: str) -> None:
    found = egress.networks("web", []) or []
    assert not any(ipaddress.ip_address(resolver) in ipaddress.ip_network(one) for one in found)


def spec(name: str = "web", **more: Any) -> dict[str, Any]:
    (full,) = service_spec.normalise([{"name": name, "command": ["/bin/web"], **more}], "/etc/x", "/var/x")
    return full


def test_rules_name_the_user_and_both_families() -> None:
    text = egress.ruleset("llm-web", ["10.0.0.0/24", "127.0.0.1", "::1"])
    assert 'meta skuid != "llm-web" accept' in text
    assert "ip daddr { 10.0.0.0/24, 127.0.0.1 } accept" in text
    assert "ip6 daddr { ::1 } accept" in text
    assert egress.digest("llm-web", ["10.0.0.0/24", "127.0.0.1", "::1"]) in text


def test_the_digest_changes_with_user_and_networks() -> None:
    found = {egress.digest(user, allowed) for user in ("a", "b") for allowed in (["::1"], ["::1", "fd00::1"])}
    assert len(found) == 4
    assert egress.digest("a", ["any"]) == ""


@pytest.mark.parametrize(
    ("manager", "container", "written"),
    [
        ("systemd", {}, ["egress.conf.j2"]),
        ("systemd", {"image": "a:1"}, ["egress.conf.j2", "egress.nft.j2"]),
        ("supervisor", {}, ["egress.nft.j2"]),
        ("supervisor", {"image": "a:1"}, ["egress.nft.j2"]),
    ],
)
def test_what_filters_a_service(manager: str, container: dict[str, str], written: list[str]) -> None:
    filtered = {**spec(egress=["10.0.0.1"]), "container": container}
    assert [one["src"] for one in egress.files(filtered, manager, "llm-")] == written
    assert bool(egress.rules([filtered], manager)) is ("egress.nft.j2" in written)
    free = {**spec(), "container": container}
    assert egress.files(free, manager, "llm-") == egress.rules([free], manager) == []


def test_each_instance_has_rules_of_its_own() -> None:
    long = "vllm-a-name-that-is-longer-than-an-account-may-be-0"
    specs = [spec(name, egress=["10.0.0.1"]) for name in ("vllm-a-0", long)]
    rules = {one["name"]: one for one in egress.rules(specs, "supervisor")}
    assert set(rules) == {"llm-vllm-a-0", account(long)}
    assert rules["llm-vllm-a-0"]["path"] == "/etc/x/egress/llm-vllm-a-0.nft"
    assert rules["llm-vllm-a-0"]["digest"] != rules[account(long)]["digest"]
    paths = [one["path"] for one in service_spec.directories(specs, "supervisor", "llm-")]
    assert paths.count("/etc/x/egress") == 1
