# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The key of the engines changes under clients: the tasks and plays of site.yml that do it, with engines that run.

Gateways are files with the key that they would send. Their roles and everything else of site.yml is left out.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import keys
from ansible_playbook import run_playbook
from gate_process import free_port
from patience import within

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "tests/engine_echo/roles/echo/files/echo_server.py"
OLD, NEW = "sk-old-0123456789", "sk-new-0123456789"
ENGINES, GATEWAYS = ("serving1", "serving2"), ("gateway1", "gateway2")


def plays() -> list[dict[str, Any]]:
    """The plays of a rotation, out of site.yml."""
    site = {play["name"]: play for play in yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text())}
    gateways, end = site["Run the gateways"], site["End the earlier keys of the engines"]
    allow = {"ansible.builtin.include_tasks": "tasks/admit_key.yml"}
    copy = {
        "content": "{{ gate_engine_api_key }}\n",
        "dest": "{{ service_config_root }}/gate/engine_key",
        "mode": "0600",
    }
    defaults = [role for role in gateways["roles"] if role["role"].endswith("fleet_defaults")]
    gateways = {**gateways, "roles": defaults, "serial": 1, "tasks": [{"ansible.builtin.copy": copy, "no_log": True}]}
    found = [{**end, "name": "Allow", "tasks": [allow]}, gateways, end]
    text = yaml.safe_dump(found).replace("include_tasks: tasks/", f"include_tasks: {ROOT}/playbooks/tasks/")
    return list(yaml.safe_load(text))


class Fleet:
    """Two engines, two gateways, and a client of each gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: list[str] = []
        self.asked = 0
        self.ended = threading.Event()
        self.ports = {name: free_port() for name in ENGINES}
        self.processes = []
        for name in (*ENGINES, *GATEWAYS):
            (folder / name / ("gate" if name in GATEWAYS else "echo-chat-0")).mkdir(parents=True)
        for name in GATEWAYS:
            self.sends(name).write_text(f"{OLD}\n")
        for name, port in self.ports.items():
            self.accepts(name).write_text(keys.text([keys.fingerprint(OLD)]))
            command = [sys.executable, str(SERVER), "--model=chat", f"--port={port}"]
            self.processes.append(subprocess.Popen(command, env={**os.environ, "ECHO_KEYS": str(self.accepts(name))}))
        (folder / "play.yml").write_text(yaml.safe_dump(plays()))
        self.threads = [threading.Thread(target=self.ask, args=(name,)) for name in GATEWAYS]

    def accepts(self, name: str) -> Path:
        return self.folder / name / "echo-chat-0" / keys.FILE

    def sends(self, name: str) -> Path:
        return self.folder / name / "gate" / "engine_key"

    def known(self) -> list[list[str]]:
        """What each engine accepts."""
        names = {keys.fingerprint(OLD): OLD, keys.fingerprint(NEW): NEW}
        return [[names[one] for one in self.accepts(name).read_text().split()] for name in ENGINES]

    def status(self, port: int, key: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def ask(self, gateway: str) -> None:
        while not self.ended.wait(0.02):
            for name, port in self.ports.items():
                key = self.sends(gateway).read_text().strip()
                said = self.status(port, key) if key else 200
                self.asked += 1
                if said != 200:
                    self.failed.append(f"{gateway} got {said} of {name}")

    def run(self, *arguments: str) -> tuple[int, str]:
        """Rotate to the new key."""
        instances = [
            {"name": "chat-0", "model": "chat", "host": name, "port": port, "address": f"127.0.0.1:{port}"}
            for name, port in self.ports.items()
        ]
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "service_config_root": f"{self.folder}/{{{{ inventory_hostname }}}}",
            "llm_planned": {"plan": {"instances": instances}},
            "llm_secrets": {"vllm_api_key": NEW},
            "llm_weights": [],
        }
        groups = {"llm_inference": ENGINES, "llm_gateway": GATEWAYS}
        hosts = {group: {"hosts": dict.fromkeys(names)} for group, names in groups.items()}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "children": hosts}}))
        done = run_playbook("-i", self.folder / "hosts.yml", self.folder / "play.yml", *arguments)
        said = done.stdout + done.stderr
        assert OLD not in said
        assert NEW not in said
        return done.returncode, said


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    if os.geteuid() != 0:
        pytest.skip("the plays become root, which needs a password here: run as root")
    found = Fleet(tmp_path)
    try:
        for port in found.ports.values():
            within(20, lambda port=port: listens(found, port), "an engine listens")
        for thread in found.threads:
            thread.start()
        yield found
    finally:
        found.ended.set()
        for thread in found.threads:
            thread.join()
        for process in found.processes:
            process.kill()
            process.wait()


def listens(fleet: Fleet, port: int) -> bool:
    try:
        return fleet.status(port, OLD) == 200
    except OSError:
        return False


def test_a_key_is_rotated_under_clients_whatever_a_run_leaves_out(fleet: Fleet) -> None:
    code, said = fleet.run("--limit", "gateway1")
    assert code != 0
    assert "serving1: chat-0 does not accept the key of this run" in said
    assert fleet.sends("gateway1").read_text() == f"{OLD}\n", "a gateway took a key that engines refuse"

    code, said = fleet.run("--limit", "!gateway2")
    assert code == 0, said
    assert fleet.known() == [[NEW, OLD]] * 2
    assert "serving1: engines go on accepting 1 earlier key(s), because gateway2 did not take the new one" in " ".join(
        said.split()
    )

    # A run whose tags leave LiteLLM out does not give gateways the key.
    code, said = fleet.run("--tags", "engines,gate")
    assert code == 0, said
    assert fleet.known() == [[NEW, OLD]] * 2

    code, said = fleet.run()
    assert code == 0, said
    assert fleet.known() == [[NEW]] * 2
    time.sleep(0.5)
    assert not fleet.failed, fleet.failed[:3]
    assert fleet.asked > 20

    code, said = fleet.run()
    assert code == 0, said
    assert "changed=1" not in said
    assert [fleet.status(port, OLD) for port in fleet.ports.values()] == [401, 401]
