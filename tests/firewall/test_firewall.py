# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall of a host lets peers reach its services and nobody else: real nftables in a network of its own, beside
the tables of Docker, with connections that are open while the rules change.

NFT  the program of nftables (default: that of this host, which the role installs). Root is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import firewall
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import ingress
from load_file import load_file

network = load_file(Path(__file__).with_name("host_and_neighbours.py"))
HOSTS = {name: {"address": own[4], "addresses": [own[4], own[6]]} for name, own in network.NEIGHBOURS.items()}
INSTANCE = {"name": "chat-0", "listen": network.HOST[4], "port": network.PORTS["engine"]}
EXPORTER = {"name": "node-exporter", "application": "node_exporter", "address": network.HOST[4]}
FURTHER = [{"name": "ranks", "port": "8500-8531", "peers": []}]
REFUSED = {4: "EHOSTUNREACH", 6: "EACCES"}


def nft_program() -> str:
    nft = os.environ.get("NFT") or shutil.which("nft", path="/usr/sbin:/usr/bin")
    if not nft:
        pytest.fail("no nft in NFT or on this host: install nftables", pytrace=False)
    return nft


def table(*clients: str) -> dict[str, str]:
    """The table of a host whose engine these hosts use."""
    listeners = [{**EXPORTER, "port": network.PORTS["exporter"], "clients": ["monitoring"]}]
    services = firewall.services([INSTANCE], listeners, HOSTS, [*clients], {})
    return ingress.table([*services, *FURTHER])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("firewall")
    shutil.copy(Path(__file__).with_name("docker.nft"), folder)
    (folder / "first.nft").write_text(table("gateway")["text"])
    (folder / "second.nft").write_text(table("gateway", "newcomer")["text"])
    command = ["unshare", "--net", sys.executable, str(network.__file__), nft_program(), str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return dict(json.loads(made.stdout.splitlines()[-1]))


def admitted(engine: list[str]) -> dict[str, str]:
    """Who is answered at which port, when these use the engine."""
    peers = {"engine": engine, "exporter": ["monitoring"], "range": [], "ssh": HOSTS, "door": HOSTS}
    return {
        f"{who} {name} IPv{version}": "ok" if who in peers[name] else REFUSED[version]
        for who in HOSTS
        for name in network.PORTS
        for version in (4, 6)
    }


def test_without_rules_everybody_is_answered(found: dict[str, Any]) -> None:
    """What this proves about the test: nothing but the rules refuses a connection."""
    assert set(found["before"].values()) == {"ok"}
    assert set(found["removed"].values()) == {"ok"}


def test_peers_alone_reach_a_service_and_everybody_the_rest(found: dict[str, Any]) -> None:
    """A refusal is heard at once, as the message of a firewall; a service that is down would answer ECONNREFUSED."""
    assert found["first"] == admitted(["gateway"])


def test_a_host_that_joins_is_admitted_by_the_next_rules(found: dict[str, Any]) -> None:
    assert found["second"] == admitted(["gateway", "newcomer"])


def test_open_connections_outlive_every_change(found: dict[str, Any]) -> None:
    assert len(found["kept first"]) == 4
    assert set(found["kept first"].values()) == set(found["kept second"].values()) == {True}


def test_the_host_reaches_its_services_at_each_of_its_addresses(found: dict[str, Any]) -> None:
    assert set(found["itself"].values()) == {"ok"}


def test_the_tables_of_docker_stay_as_they_are(found: dict[str, Any]) -> None:
    def without_counts(listing: str) -> list[str]:
        words = listing.split()
        return [word for index, word in enumerate(words) if words[index - 1] not in ("packets", "bytes")]

    first, *later = map(without_counts, found["docker"])
    assert "DOCKER-FORWARD" in first
    assert all(listing == first for listing in later)


def test_the_rules_show_how_often_each_service_was_refused(found: dict[str, Any]) -> None:
    lines = [line for line in found["listing"].splitlines() if "reject" in line]
    assert [line.rpartition("comment ")[2] for line in lines] == ['"vllm-chat-0"', '"node-exporter"', '"ranks"']
    assert not any("packets 0 " in line for line in lines)


def test_the_module_loads_checks_and_removes_the_table(tmp_path: Path) -> None:
    made = table("gateway")
    (tmp_path / "input.nft").write_text(made["text"])
    (tmp_path / "broken.nft").write_text(made["text"].replace("icmpx admin-prohibited", "nothing"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nft").symlink_to(nft_program())
    rules = {name: {"name": "input", "path": f"{tmp_path}/{name}.nft"} for name in ("input", "broken")}
    module = "llmfleet.serving.packet_filter"
    present = {"table": "llmfleet_ingress", "rules": [{**rules["input"], "digest": made["digest"]}]}
    broken = {"table": "llmfleet_ingress", "rules": [{**rules["broken"], "digest": "0123"}]}
    absent = {"table": "llmfleet_ingress", "state": "absent"}
    runs: list[dict[str, Any]] = [
        {module: present, "check_mode": True},
        {module: present},
        {module: present},
        {module: broken},
        {module: present},
        {module: absent},
        {module: absent},
    ]
    tasks = [{**task, "register": f"run{index}"} for index, task in enumerate(runs)]
    seen = "{{ [" + ", ".join(f"run{index}" for index in range(len(runs))) + "] | to_json }}"
    tasks.append({"ansible.builtin.copy": {"content": seen, "dest": f"{tmp_path}/seen.json", "mode": "0600"}})
    play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
    play["environment"] = {"PATH": f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    (tmp_path / "play.json").write_text(json.dumps([play]))
    playbook = Path(sys.executable).with_name("ansible-playbook")
    command = ["unshare", "--net", str(playbook), "-i", "localhost,", "-c", "local", str(tmp_path / "play.json")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    results = json.loads((tmp_path / "seen.json").read_text())
    assert [one["changed"] for one in results] == [True, True, False, False, False, True, False]
    assert [bool(one["problem"]) for one in results] == [False, False, False, True, False, False, False]
    assert "nft refuses" in results[3]["problem"]


def test_the_role_changes_nothing_the_second_time_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its own tasks, in a network and with a directory of facts of its own; nothing is installed."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nft").symlink_to(nft_program())
    services = firewall.services([INSTANCE], [], HOSTS, ["gateway"], {})
    settings = {
        "firewall_services": services,
        "service_config_root": str(tmp_path / "config"),
        "service_host_packages": {"stdout_lines": ["installed nftables"]},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "config").mkdir()
    playbook = str(Path(sys.executable).with_name("ansible-playbook"))
    role = "llmfleet.serving.firewall"
    runs = []
    for name, entry in (("load", "main.yml"), ("remove", "remove.yml")):
        task = {"ansible.builtin.include_role": {"name": role, "tasks_from": entry}}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
        play["environment"] = {"PATH": f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        (tmp_path / f"{name}.json").write_text(json.dumps([play]))
        runs.append(f"{playbook} -i localhost, -c local -e @{tmp_path}/settings.json {tmp_path}/{name}.json")
    load, remove = runs
    script = [
        "mkdir -p /etc/ansible/facts.d && mount -t tmpfs tmpfs /etc/ansible/facts.d",
        *(f"{load} --check --diff", load, load, f"{load} --check", remove, remove),
        "ls /etc/ansible/facts.d",
        f"{nft_program()} list tables",
    ]
    command = ["unshare", "--net", "--mount", "--propagation", "private", "/bin/sh", "-euc", "\n".join(script)]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    made = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    changes = re.findall(r"changed=(\d+)", made.stdout)
    assert [bool(int(one)) for one in changes] == [True, True, False, False, True, False], made.stdout
    assert "+    tcp dport 8100 ip saddr { 192.0.2.11 } accept" in made.stdout
    assert made.stdout.strip().splitlines()[-1].startswith("localhost"), "a fact or a table was left"
    assert list((tmp_path / "config").iterdir()) == []
