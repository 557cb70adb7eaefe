#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a Molecule scenario stage by stage, measure each stage and search its output for secrets.

    tests/bench/scenario.py [SCENARIO] [--from STAGE] [--to STAGE] [--keep] [--unless-green]

Molecule's own test sequence knows no second check mode that asserts "nothing changed", keeps no output and takes no
times; every stage here is one Molecule command whose exit code counts. A whole green run leaves a record of its inputs
in tests/bench/green/; with --unless-green the scenario is skipped where they are still the same.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import green
import yaml

ROOT = Path(__file__).resolve().parents[2]
Scan = runpy.run_path(str(ROOT / "tests" / "leaks" / "scan_secrets.py"))["Scan"]
# What scenarios share, there already unless this is the first run on the machine.
SETUP: dict[str, list[str]] = {
    "engine": ["tests/bench/docker.sh"],
    "images": ["tests/bench/images.sh"],
}
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
# Stages that restart nothing, so that hosts need not be taken one after another.
ALL_AT_ONCE = {"check-virgin", "check-converged", "idempotence"}
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
                env={**self.environment, **({"BENCH_SERIAL": "100"} if stage in ALL_AT_ONCE else {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    sink.write(line)
                    sys.stdout.write(line)
                code = process.wait(timeout=STAGE_LIMIT_SECONDS)
            except BaseException:
                process.terminate()
                process.wait()
                raise
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
            command = ["docker", "exec", host, "sh", "-c", look]
            subprocess.run(command, env=self.environment, check=False, timeout=60)

    def set_up(self) -> bool:
        """Bring the engine and the images; two scenarios that start at once do it one after the other."""
        with (self.logs.parent / "setup.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return all(self.run(stage, command) for stage, command in SETUP.items())

    def run_stages(self, stages: list[str]) -> str:
        """Run the stages in order; return the reason of the first that failed, '' when all passed."""
        for stage in stages:
            command, *rest = STAGES[stage]
            if not self.run(stage, ["molecule", command, "--scenario-name", self.name, *rest]):
                self.diagnose()
                return f"{stage}:\n{self.reason(stage)}"
        return ""

    def destroy(self) -> bool:
        """Remove the hosts, whoever wants this program to end meanwhile."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        return self.run("cleanup", ["molecule", "destroy", "--scenario-name", self.name])


def terminated(_number: int, _frame: object) -> None:
    """End as after an interrupt from the keyboard, so that no host stays behind."""
    raise KeyboardInterrupt


def main() -> int:
    stages = [*SETUP, *STAGES]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="?", default="default")
    parser.add_argument("--from", dest="first", choices=STAGES, default="destroy", help="first stage to run")
    parser.add_argument("--to", dest="last", choices=stages, default="removal", help="last stage to run")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    parser.add_argument(
        "--unless-green", action="store_true", help="skip it where no input changed since it was seen green"
    )
    arguments = parser.parse_args()

    between = stages[stages.index(arguments.first) : stages.index(arguments.last) + 1]
    wanted = [stage for stage in between if stage in STAGES]
    seen = green.seen_green(ROOT, arguments.scenario) if arguments.unless_green else None
    if seen is not None:
        if wanted:
            print(green.skipped(arguments.scenario, seen))
        return 0

    signal.signal(signal.SIGTERM, terminated)
    before = green.digest_of_inputs(ROOT, arguments.scenario)
    scenario = Scenario(arguments.scenario)
    reason, interrupted, destroyed = "", False, True
    try:
        passed = scenario.set_up()
        if passed:
            reason = scenario.run_stages(wanted)
    except KeyboardInterrupt:
        passed, interrupted = False, True
        print(f"bench: {scenario.name}: interrupted, removing the hosts")
    if wanted and not arguments.keep:
        destroyed = scenario.destroy()

    leaks = scenario.leaks()
    for leak in leaks:
        print(f"bench: {leak}", file=sys.stderr)
    (scenario.logs / "seconds.json").write_text(json.dumps(scenario.seconds, indent=2) + "\n", encoding="utf-8")
    width = max(map(len, scenario.seconds), default=0)
    for stage, seconds in scenario.seconds.items():
        print(f"  {stage:<{width}}  {seconds:>7.1f} s")
    passed = passed and not reason and destroyed and not leaks
    outcome = "passed" if passed else "FAILED"
    print(f"bench: {scenario.name}: {outcome}, its output searched for {len(scenario.secrets)} secrets")
    if reason:
        print(f"bench: {scenario.name}: {reason}")
    if passed and wanted == list(STAGES) and not arguments.keep:
        print(green.record_run(ROOT, scenario.name, before, scenario.environment))
    return 130 if interrupted else 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
