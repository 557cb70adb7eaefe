# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run by test_fleet.py beside the hosts of rig.py: changes of a fleet under a client that asks all the time.

scenario.py FOLDER OUTPUT    FOLDER is the rig's; OUTPUT gets the logs of the playbooks and results.json
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONTROL = ROOT / ".venv" / "control" / "bin"
SERVING = ("serving1", "serving2")
SOUTH = "4100"
STREAMS = "8"
# What the changes here need: the inner Nginx alone of the gateway, and no proof of the whole chain; others have that.
TAGS = "engines,nginx"
SECONDS = 600
# A pattern with brackets does not find the process that looks for it.
PROCESSES = "import subprocess; subprocess.run(['pgrep', '-af', 'echo[_]server.py --prefix'])"


class Scenario:
    """The fleet and its client."""

    def __init__(self, folder: Path, output: Path) -> None:
        self.folder, self.output = folder, output
        self.inventory = folder / "inventory"
        self.inventory.mkdir()
        text = (Path(__file__).with_name("inventory.yml")).read_text()
        (self.inventory / "hosts.yml").write_text(text)
        self.tags = f"hosts,{TAGS}"
        self.results: dict[str, Any] = {}

    def start(self, name: str, playbook: str, **variables: Any) -> subprocess.Popen[bytes]:
        """Start a playbook, with its output in a log."""
        with (self.output / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [
                    CONTROL / "ansible-playbook",
                    "-i",
                    self.inventory,
                    playbook,
                    "--tags",
                    self.tags,
                    "-e",
                    json.dumps(variables),
                ],
                cwd=ROOT,
                env={
                    **os.environ,
                    "ANSIBLE_ROLES_PATH": str(ROOT / "tests/engine_echo/roles"),
                    "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests/fleet/connection"),
                    "ANSIBLE_NOCOLOR": "1",
                    "FLEET_FOLDER": str(self.folder),
                    "FLEET_ENGINE": str(ROOT / "tests/engine_echo"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def play(self, name: str, playbook: str, **variables: Any) -> dict[str, Any]:
        """Run a playbook; return its exit code, its log, and what the client saw meanwhile."""
        began = time.time()
        print(f"{name}: {playbook}", flush=True)
        code = self.start(name, playbook, **variables).wait(timeout=SECONDS)
        return self.told(name, began, code)

    def told(self, name: str, began: float, code: int) -> dict[str, Any]:
        """Note what a run came to."""
        time.sleep(1)
        log = (self.output / f"{name}.log").read_text(errors="replace")
        asked = [one for one in self.client() if began <= one["at"]]
        found = {
            "code": code,
            "seconds": round(time.time() - began, 1),
            "recap": log.rpartition("PLAY RECAP")[2],
            "log": log[-6000:],
            "all": log,
            "requests": len(asked),
            "failed": [one["failed"] for one in asked if one["failed"]],
            "failed_at": [one["at"] for one in asked if one["failed"]],
            "said": sorted({one["said"] for one in asked if one["said"]}),
            "turns": [[one["conversation"], one["said"]] for one in asked if one["said"]],
            "last": [one["said"] for one in asked[-20:]],
            "processes": {name: self.processes(name) for name in SERVING},
            "ledger": {name: self.ledger(name) for name in SERVING},
        }
        self.results[name] = found
        (self.output / "results.json").write_text(json.dumps(self.results, indent=1))
        print(
            f"{name}: exit {code} after {found['seconds']} s, {len(asked)} requests, {len(found['failed'])} failed",
            flush=True,
        )
        return found

    def begin(self) -> None:
        """Set the fleet up, without which nothing can be seen."""
        told = self.play("first", "site.yml")
        if told["code"]:
            sys.exit(f"the fleet was not set up; the log ends with:\n{told['log']}")

    def client(self) -> list[dict[str, Any]]:
        """Return what the client saw so far."""
        place = self.output / "client.jsonl"
        return (
            [json.loads(line) for line in place.read_text().splitlines() if line.endswith("}")]
            if place.exists()
            else []
        )

    def on(self, host: str, code: str) -> str:
        """Run Python on a host."""
        command = [self.folder / "hosts" / host / "python", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def stand_in_for_reboots(self, host: str) -> None:
        """Have a host be rebooted as far as namespaces can."""
        root = self.folder / "hosts" / host
        program = Path(__file__).with_name("reboot.py")
        subprocess.run([root / "python", program, root, "prepare"], check=True)

    def wait_until_up(self, host: str) -> None:
        """Wait until a reboot that may have begun has ended."""
        # reboot.py takes the host down after one second.
        time.sleep(2)
        while (self.folder / "hosts" / host / "off").exists():
            time.sleep(0.1)

    def processes(self, host: str) -> str:
        """Return the process of the engine on a host, and what it was started with."""
        return self.on(host, PROCESSES).strip()

    def ledger(self, host: str) -> list[dict[str, Any]]:
        """Return the ledger of a host."""
        text = self.on(host, "print(open('/var/lib/llmfleet/ledger.jsonl').read())")
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def ask(self) -> subprocess.Popen[bytes]:
        """Start the client on the gateway."""
        secrets = yaml.safe_load((self.inventory / ".llm_secrets.yml").read_text())["secrets"]
        command = [self.folder / "hosts" / "gateway1" / "python", Path(__file__).with_name("client.py")]
        return subprocess.Popen(
            [*command, SOUTH, STREAMS, self.output / "client.jsonl"],
            env={**os.environ, "CLIENT_KEY": str(secrets["vllm_api_key"])},
        )

    def kill_in(self, name: str, playbook: str, words: str, **variables: Any) -> None:
        """Kill a playbook once its log has these words."""
        began = time.time()
        process = self.start(name, playbook, **variables)
        while process.poll() is None and words not in (self.output / f"{name}.log").read_text(errors="replace"):
            if time.time() > began + SECONDS:
                break
            time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        self.told(name, began, process.wait())


def main() -> None:
    """Run the changes."""
    fleet = Scenario(Path(sys.argv[1]), Path(sys.argv[2]))
    fleet.begin()
    fleet.tags = TAGS
    client = fleet.ask()
    time.sleep(2)
    rollout = "playbooks/rollout.yml"
    try:
        # The client goes on with the earlier key, as a gateway does that has not changed yet, until the end.
        fleet.play("rotated", "site.yml", llm_rotate="vllm_api_key")
        fleet.kill_in("killed", rollout, "TASK [Compare the new instances", model="chat", llm_fleet_prefix="new:")
        fleet.play("rolled", rollout, model="chat", llm_fleet_prefix="new:")
        bad = {"llm_fleet_prefix": "bad:", "llm_fleet_args": {"fail": True}}
        fleet.play("broken", rollout, model="chat", **bad)
        fleet.play("held", "site.yml", **bad)
        fleet.play("rollback", "playbooks/rollback.yml", model="chat", llm_fleet_prefix="new:")
        maintain = "playbooks/maintain.yml"
        fleet.play("out", maintain, host="serving1", do="hold", why="a fan is replaced")
        fleet.play("refused", maintain, host="serving2", do="hold")
        fleet.play("while_out", "site.yml")
        fleet.play("in", maintain, host="serving1", do="release")
        fleet.stand_in_for_reboots("serving1")
        fleet.kill_in("cut", maintain, "PLAY [Run the work on the host", host="serving1", do="reboot")
        fleet.wait_until_up("serving1")
        fleet.play("rebooted", maintain, host="serving1", do="reboot")
        # A trial finds nothing wrong with it: most requests that come through a gateway fail.
        faulty = {"llm_fleet_prefix": "bad:", "llm_fleet_args": {"fail-rate": 0.8}}
        fleet.play("faulty", rollout, model="chat", **faulty)
    finally:
        client.terminate()


if __name__ == "__main__":
    main()
