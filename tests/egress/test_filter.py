# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a service let its user reach loopback and the fleet alone: real nftables in a network of its own, whose
only way out leads to name servers and listeners that answer for the whole internet and write down what arrives.

NFT  the program of nftables (default: that of this host, which the role installs). Root is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import egress
from load_file import load_file

network = load_file(Path(__file__).with_name("host_and_world.py"))
USER = "nobody"
ALLOWED = {
    "strict": list(network.FLEET.values()),
    "wider": [*network.FLEET.values(), "198.51.100.0/24"],
    "open": [egress.ANY],
}
KEPT = {name for name in network.TRIES if "fleet" in name or "tcp to loopback" in name or "own host" in name}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    nft = os.environ.get("NFT") or shutil.which("nft", path="/usr/sbin:/usr/bin")
    if not nft:
        pytest.fail("no nft in NFT or on this host: install nftables", pytrace=False)
    folder = tmp_path_factory.mktemp("egress")
    for name, given in ALLOWED.items():
        rules = egress.ruleset(USER, egress.networks("web", given) or [])
        (folder / f"{name}.nft").write_text(rules)
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, str(network.__file__)]
    made = subprocess.run([*command, nft, USER, str(folder)], capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return dict(json.loads(made.stdout.splitlines()[-1]))


def answered(part: dict[str, Any]) -> set[str]:
    return {name for name, did in part["answered"].items() if did}


def test_without_rules_the_whole_internet_answers(found: dict[str, Any]) -> None:
    """What this proves about the test: nothing but the rules keeps an attempt from arriving."""
    assert answered(found["before"]) == set(network.TRIES)
    arrived = {*network.INTERNET.values(), *network.FLEET.values(), network.METADATA, network.NAME_SERVER}
    assert set(found["before"]["seen"]) == arrived


def test_the_filtered_user_reaches_loopback_and_the_fleet_alone(found: dict[str, Any]) -> None:
    assert answered(found["strict"]) == KEPT
    assert set(found["strict"]["seen"]) == set(network.FLEET.values())


def test_other_users_are_not_filtered(found: dict[str, Any]) -> None:
    assert answered(found["another user"]) == set(network.TRIES)


def test_whoever_asks_the_filtered_user_is_answered(found: dict[str, Any]) -> None:
    assert found["visitor"]["answered"] == "ok"


def test_further_networks_are_let_through_at_once(found: dict[str, Any]) -> None:
    further = {"tcp to the internet, IPv4", "udp to the internet, IPv4"}
    assert answered(found["wider"]) == KEPT | further


def test_a_filter_that_is_turned_off_leaves_nothing(found: dict[str, Any]) -> None:
    assert answered(found["open"]) == set(network.TRIES)
