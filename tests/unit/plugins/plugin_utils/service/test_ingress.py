# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of the firewall's table. tests/firewall loads it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.module_utils.service import nftables
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import ingress

ENGINE = {"name": "vllm-chat-0", "port": 8100, "peers": ["192.0.2.12", "2001:db8::1", "192.0.2.11", "192.0.2.12"]}


def rules(*services: dict[str, Any]) -> list[str]:
    return [line.strip() for line in ingress.table(list(services))["text"].splitlines() if "dport" in line]


def test_peers_are_accepted_by_family_and_everybody_else_is_refused() -> None:
    assert rules(ENGINE) == [
        "tcp dport 8100 ip saddr { 192.0.2.11, 192.0.2.12 } accept",
        "tcp dport 8100 ip6 saddr { 2001:db8::1 } accept",
        'tcp dport 8100 counter reject with icmpx admin-prohibited comment "vllm-chat-0"',
    ]


def test_a_service_without_peers_is_refused_to_everybody() -> None:
    (rule,) = rules({"name": 'a "b"\n', "port": "8500-8531"})
    assert rule.startswith("tcp dport 8500-8531 counter reject")
    assert rule.endswith('comment "a--b--"')


def test_networks_that_contain_others_replace_them() -> None:
    first, *_rest = rules({**ENGINE, "peers": ["192.0.2.12", "192.0.2.0/24"]})
    assert first == "tcp dport 8100 ip saddr { 192.0.2.0/24 } accept"


def test_the_digest_is_in_the_first_rule_and_changes_with_every_rule() -> None:
    made = ingress.table([ENGINE])
    assert nftables.loaded(made["text"]) == made["digest"]
    assert made == ingress.table([ENGINE])
    others = [ingress.table(other)["digest"] for other in ([], [{**ENGINE, "port": 8101}], [{**ENGINE, "peers": []}])]
    assert len({made["digest"], *others}) == 4


def test_a_file_replaces_the_whole_table_and_no_other() -> None:
    lines = ingress.table([])["text"].splitlines()
    assert lines[:3] == ["table inet llmfleet_ingress {", "}", "delete table inet llmfleet_ingress"]
    assert all("llmfleet_ingress" in line for line in lines if "table" in line)


@pytest.mark.parametrize("port", ["0", "65536", "9000-8000", "x", "", True, "1-2-3", -1])
def test_what_is_no_port_is_refused(port: Any) -> None:
    with pytest.raises(ProblemsError, match=r"firewall_services\[vllm-chat-0\]\.port"):
        ingress.table([{**ENGINE, "port": port}])


def test_a_peer_that_is_a_name_is_refused() -> None:
    with pytest.raises(ProblemsError, match=r"peers is \"gateway1\": it is neither an address nor a network"):
        ingress.table([{**ENGINE, "peers": ["gateway1"]}])
