#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets and stop at the first that fails. Each step's output is shown and kept in tests/output/.

    tests/run.py GROUP...

Groups run one after the other. The lanes of a group, joined by "+", run side by side; the steps of a lane, joined by
",", one after the other: "lint unit" are two steps in order, "lint,importer+unit" runs lint, importer beside unit.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "tests" / "output"
# The longest silence before the steps that still run are named.
SILENCE_SECONDS = 60.0
# What a step gets to clean up after it was told to stop: a scenario removes its hosts.
STOP_SECONDS = 180.0
TAIL_LINES, TAIL_LINE = 15, 300


def parse(words: list[str]) -> list[list[list[str]]]:
    """Read groups of lanes of steps; a name that stands twice is refused, because its log would be overwritten."""
    groups = [[[step for step in lane.split(",") if step] for lane in word.split("+")] for word in words]
    steps = [step for group in groups for lane in group for step in lane]
    twice = sorted({step for step in steps if steps.count(step) > 1})
    if twice:
        raise SystemExit(f"run.py: named more than once: {', '.join(twice)}")
    return [[lane for lane in group if lane] for group in groups]


def family(pid: int) -> list[int]:
    """Name a process and all that descend from it.

    They share our process group, because sudo asks for a password at the terminal of the foreground alone.
    """
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before the last parenthesis may hold anything.
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def send(pids: list[int], number: int) -> None:
    """Send a signal to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


@dataclass
class Step:
    """A make target, its log, and what became of it."""

    name: str
    log: Path
    prefix: str = ""
    started: float = 0.0
    seconds: float = 0.0
    outcome: str = "not run"
    process: subprocess.Popen[str] | None = field(default=None, repr=False)


class Runner:
    """Runs the steps, writes their output line by line and remembers the first failure."""

    def __init__(self, groups: list[list[list[str]]], output: Path, make: list[str]) -> None:
        self.make = make
        self.begun = self.heard = time.monotonic()
        self.failed: Step | None = None
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.steps: list[Step] = []
        self.groups: list[list[list[Step]]] = []
        for group in groups:
            lanes = []
            for lane in group:
                steps = []
                for name in lane:
                    step = Step(name, output / f"{len(self.steps) + 1}-{name}.log")
                    step.prefix = f"{name} | " if len(group) > 1 else ""
                    self.steps.append(step)
                    steps.append(step)
                lanes.append(steps)
            self.groups.append(lanes)

    def say(self, text: str) -> None:
        """Print whole lines, one step at a time."""
        with self.lock:
            self.heard = time.monotonic()
            sys.stdout.write(text)
            sys.stdout.flush()

    def so_far(self) -> int:
        """Seconds since the start."""
        return round(time.monotonic() - self.begun)

    def run_step(self, step: Step) -> bool:
        """Run one step to its end."""
        number = self.steps.index(step) + 1
        self.say(f"\n==> [{number}/{len(self.steps)}] {step.name} ({self.so_far()} s so far)\n")
        step.started = time.monotonic()
        with self.lock:
            if self.stopping.is_set():
                return False
            step.outcome = "running"
            step.process = subprocess.Popen(
                [*self.make, step.name],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        assert step.process.stdout is not None
        with step.log.open("w", encoding="utf-8") as log:
            for line in step.process.stdout:
                log.write(line)
                self.say(step.prefix + line if line.endswith("\n") else f"{step.prefix}{line}\n")
        code = step.process.wait()
        step.seconds = time.monotonic() - step.started
        with self.lock:
            stopped = self.stopping.is_set()
            step.outcome = "passed" if code == 0 else "stopped" if stopped else "FAILED"
            if step.outcome == "FAILED":
                self.failed = step
                self.stopping.set()
        if len(step.prefix) > 0 or code != 0:
            self.say(f"==> {step.name} {step.outcome} after {step.seconds:.0f} s\n")
        return code == 0

    def run_lane(self, lane: list[Step]) -> None:
        """Run the steps of a lane in order, until one fails here or in another lane."""
        for step in lane:
            if self.stopping.is_set() or not self.run_step(step):
                return

    def running(self) -> list[Step]:
        """Steps that have not ended."""
        return [step for step in self.steps if step.outcome == "running"]

    def stop(self, lanes: list[threading.Thread], told: bool = False) -> None:
        """Tell running steps to stop, unless the terminal has told them, and end those that do not in time."""
        self.stopping.set()
        started = [pid for step in self.running() if step.process is not None for pid in family(step.process.pid)]
        if not told:
            send(started, signal.SIGTERM)
        end = time.monotonic() + STOP_SECONDS
        for lane in lanes:
            lane.join(max(0.0, end - time.monotonic()))
        if any(lane.is_alive() for lane in lanes):
            send(started, signal.SIGKILL)

    def run_group(self, group: list[list[Step]]) -> None:
        """Run the lanes of a group side by side and wait for all."""
        lanes = [threading.Thread(target=self.run_lane, args=(lane,), daemon=True) for lane in group]
        for lane in lanes:
            lane.start()
        try:
            while any(lane.is_alive() for lane in lanes) and not self.stopping.is_set():
                self.stopping.wait(0.2)
                if time.monotonic() - self.heard > SILENCE_SECONDS:
                    names = [f"{step.name} for {time.monotonic() - step.started:.0f} s" for step in self.running()]
                    self.say(f"==> still running: {', '.join(names)}\n")
            if self.stopping.is_set():
                names = [step.name for step in self.running()]
                if names:
                    self.say(f"==> stopping {', '.join(names)}\n")
                self.stop(lanes)
        except KeyboardInterrupt as interrupt:
            self.say("==> interrupted: waiting for what runs to clean up\n")
            # From the keyboard every program of the terminal gets the signal.
            self.stop(lanes, told=not isinstance(interrupt, Terminated))
            raise

    def run(self) -> bool:
        """Run every group, until one fails."""
        for group in self.groups:
            if self.stopping.is_set():
                break
            self.run_group(group)
        return self.failed is None

    def summary(self) -> str:
        """One line for each step, and the end of the log of the one that failed."""
        lines = ["", f"==> Summary, {self.so_far()} s"]
        for step in self.steps:
            took = f"{step.seconds:5.0f} s" if step.outcome != "not run" else ""
            lines.append(f"    {step.name:<14} {step.outcome:<7} {took}".rstrip())
        if self.failed is not None:
            name, log = self.failed.name, self.failed.log
            where = os.path.relpath(log, ROOT)
            lines += ["", f"{name} failed: the end of {where} follows; again alone with: make {name}"]
            text = log.read_text(encoding="utf-8", errors="replace").splitlines()
            lines += [f"    | {line[:TAIL_LINE]}" for line in text[-TAIL_LINES:]]
        passed = sum(step.outcome == "passed" for step in self.steps)
        lines += ["", f"{passed} passed, {int(self.failed is not None)} failed"]
        return "\n".join(lines)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which this program alone has got."""


def raise_terminated(_number: int, _frame: object) -> None:
    """End as after an interrupt from the keyboard, so that no step outlives this program."""
    raise Terminated


def main(words: list[str], output: Path = OUTPUT, make: tuple[str, ...] = ("make", "--no-print-directory")) -> int:
    """Run the groups named on the command line."""
    groups = parse(words)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    runner = Runner(groups, output, list(make))
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        passed = runner.run()
    except KeyboardInterrupt:
        print(runner.summary())
        return 130
    print(runner.summary())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
