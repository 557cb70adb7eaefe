# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table that site.yml ends with, of a fleet whose hosts have addresses of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_playbook import played

ROOT = Path(__file__).resolve().parents[4]
GROUPS = {
    "llm_inference": ["gpu1"],
    "llm_gateway": ["gw1", "gw2"],
    "llm_webui": ["chat1"],
    "llm_monitoring": ["gw1"],
}
# The first host is no gateway: nothing of it may stand for the others.
ADDRESSES = {"gpu1": "10.0.0.1", "gw1": "10.0.0.2", "gw2": "10.0.0.3", "chat1": "10.0.0.4"}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("summary")
    hosts = {name: {"llm_address": address} for name, address in ADDRESSES.items()}
    hosts["chat1"]["open_webui_oidc_issuer"] = "https://id.example.com"
    variables: dict[str, Any] = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "llm_models_resolved": [{"name": "chat"}],
        "llm_instances": [{"name": "chat-0", "model": "chat", "host": "gpu1", "address": "10.0.0.1:8100"}],
    }
    children = {group: {"hosts": dict.fromkeys(members)} for group, members in GROUPS.items()}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables, "children": children}}))
    said = played("-i", inventory, ROOT / "playbooks" / "summary.yml")
    assert said.count("WHAT RUNS") == 1
    # Whatever the callback makes of it, a backslash and an n or a new line: it is the same text.
    return said.replace("\\n", "\n").splitlines()


def rows(lines: list[str], service: str) -> list[list[str]]:
    return [line.split()[-2:] for line in lines if f"llm-{service} " in line]


def test_every_row_has_the_address_of_its_host(lines: list[str]) -> None:
    assert rows(lines, "vllm-chat-0") == [["gpu1", "http://10.0.0.1:8100"]]
    assert rows(lines, "gate") == [["gw1", "http://10.0.0.2:4200"], ["gw2", "http://10.0.0.3:4200"]]
    assert rows(lines, "litellm") == [["gw1", "http://127.0.0.1:4000"], ["gw2", "http://127.0.0.1:4000"]]
    assert rows(lines, "nginx") == [["gw1", "https://gw1/v1"], ["gw2", "https://gw2/v1"]]
    assert rows(lines, "open-webui") == [["chat1", "http://10.0.0.4:3000"]]
    assert rows(lines, "prometheus") == [["gw1", "http://127.0.0.1:9090"]]
    exporters = [[host, f"http://{address}:9100/metrics"] for host, address in ADDRESSES.items()]
    assert rows(lines, "node-exporter") == exporters


def test_doors_are_those_of_the_gateways(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert "https://gw1/v1, https://gw2/v1" in text
    assert "https://chat.gw1/, https://chat.gw2/" in text
    assert "gpu1/v1" not in text


def test_the_summary_says_how_people_log_in(lines: list[str]) -> None:
    assert [line.split() for line in lines if "Log in" in line] == [
        ["Log", "in", "to", "the", "chat", "page", "through", "https://id.example.com"]
    ]
