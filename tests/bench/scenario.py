#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a Molecule scenario stage by stage, measure each stage and search its output for secrets.

    tests/bench/scenario.py [SCENARIO] [--from STAGE] [--to STAGE] [--keep]

Molecule's own test sequence knows no second check mode that asserts "nothing changed", keeps no output and takes no
times; every stage here is one Molecule command whose exit code counts.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
Scan = runpy.run_path(str(ROOT / "tests" / "leaks" / "scan_secrets.py"))["Scan"]
STAGES: dict[str, list[str]] = {
    "destroy": ["destroy"],
    "create": ["create"],
    "prepare": ["prepare", "--force"],
    "check-virgin": ["check"],
    "converge": ["converge"],
    "check-converged": ["idempotence", "--", "--check"],
    "idempotence": ["idempotence"],
    "verify": ["verify"],
    "removal": ["side-effect"],
}
STAGE_LIMIT_SECONDS = 3000
REASON_LINES, REASON_LINE = 4, 300


class Scenario:
    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = ROOT / "molecule" / name
        self.logs = ROOT / "build" / "bench" / name
        self.logs.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = {}
        self.secrets: set[str] = set()
        bin_directory = str(Path(sys.executable).parent)
        self.environment = {
            **os.environ,
            "PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}",
            "PY_COLORS": "0",
            "NO_COLOR": "1",
        }

    def run(self, stage: str, command: list[str]) -> bool:
        """Run one command, show and keep its output; the exit code decides."""
        print(f"bench: {self.name}: {stage}", flush=True)
        started = time.monotonic()
        log = self.logs / f"{stage}.log"
        with log.open("w", encoding="utf-8") as sink:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout is not None
            for line in process.stdout:
                sink.write(line)
                sys.stdout.write(line)
            code = process.wait(timeout=STAGE_LIMIT_SECONDS)
        self.seconds[stage] = round(time.monotonic() - started, 1)
        self.remember_secrets()
        outcome = "passed" if code == 0 else "FAILED"
        print(f"bench: {self.name}: {stage} {outcome} in {self.seconds[stage]} s", flush=True)
        return code == 0

    def remember_secrets(self) -> None:
        """Read the secrets while they exist: destroying the hosts forgets them."""
        file = self.directory / "inventory" / ".llm_secrets.yml"
        if file.exists():
            self.secrets.update(yaml.safe_load(file.read_text(encoding="utf-8"))["secrets"].values())

    def leaks(self) -> list[str]:
        """Name each log that holds a secret; never the secret."""
        found = []
        scan = Scan({str(number): secret for number, secret in enumerate(sorted(self.secrets))})
        for log in sorted(self.logs.glob("*.log")):
            hits = len(list(scan.found_in(log.read_bytes())))
            if hits:
                found.append(f"{log.relative_to(ROOT)} holds {hits} of the fleet's secrets")
        return found

    def reason(self, stage: str) -> str:
        """The failed task and what it said, short enough to be the last words of a long log."""
        text = (self.logs / f"{stage}.log").read_text(encoding="utf-8", errors="replace")
        said, task = [], ""
        for line in text.splitlines():
            if line.startswith(("TASK [", "RUNNING HANDLER [")):
                task = line.rstrip(" *")
            elif line.startswith(("fatal: ", "failed: ", "FAILED ", "ERROR ", "[ERROR]")):
                said += [task, line] if task and task not in said else [line]
        return "\n".join(line[:REASON_LINE] for line in said[-REASON_LINES:])

    def hosts(self) -> list[str]:
        inventory = yaml.safe_load((self.directory / "inventory" / "hosts.yml").read_text(encoding="utf-8"))
        return list(inventory["bench"]["hosts"])

    def diagnose(self) -> None:
        """Show what a person would look at first after a failure."""
        look = (
            "systemctl list-units --all --no-legend --plain 'llm-*'; systemctl --failed --no-legend --plain; "
            "for unit in $(systemctl list-units --all --no-legend --plain 'llm-*' | cut -d' ' -f1); do "
            'journalctl --no-pager -q -n 15 -o short-iso -u "$unit" | cut -c1-300; done'
        )
        for host in self.hosts():
            print(f"bench: {self.name}: state of {host}", flush=True)
            subprocess.run(["docker", "exec", host, "sh", "-c", look], check=False, timeout=60)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="?", default="default")
    parser.add_argument("--from", dest="first", choices=STAGES, default="destroy", help="first stage to run")
    parser.add_argument("--to", dest="last", choices=STAGES, default="removal", help="last stage to run")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    arguments = parser.parse_args()

    names = list(STAGES)
    wanted = names[names.index(arguments.first) : names.index(arguments.last) + 1]
    scenario = Scenario(arguments.scenario)
    passed = scenario.run("engine", ["tests/bench/docker.sh"]) and scenario.run("images", ["tests/bench/images.sh"])
    reason = ""
    for stage in wanted if passed else []:
        command, *rest = STAGES[stage]
        if not scenario.run(stage, ["molecule", command, "--scenario-name", scenario.name, *rest]):
            scenario.diagnose()
            passed, reason = False, f"{stage}:\n{scenario.reason(stage)}"
            break
    if not arguments.keep:
        passed = scenario.run("cleanup", ["molecule", "destroy", "--scenario-name", scenario.name]) and passed

    leaks = scenario.leaks()
    for leak in leaks:
        print(f"bench: {leak}", file=sys.stderr)
    (scenario.logs / "seconds.json").write_text(json.dumps(scenario.seconds, indent=2) + "\n", encoding="utf-8")
    width = max(map(len, scenario.seconds))
    for stage, seconds in scenario.seconds.items():
        print(f"  {stage:<{width}}  {seconds:>7.1f} s")
    passed = passed and not leaks
    outcome = "passed" if passed else "FAILED"
    print(f"bench: {scenario.name}: {outcome}, its output searched for {len(scenario.secrets)} secrets")
    if reason:
        print(f"bench: {scenario.name}: {reason}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
