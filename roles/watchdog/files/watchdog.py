# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the engines of this host once, and restart those that stand still or give wrong answers.

watchdog.py SETTINGS            once, for a timer
watchdog.py SETTINGS SECONDS    every so many seconds, for a manager without timers

The settings are a JSON file that the role writes. The engines' key is in a file of its own, which root alone reads.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Mapping, Sequence

import watchdog_http as asking
import watchdog_rules as rules

RUNNING = {"systemd": "active", "supervisor": "RUNNING"}
COMMAND_SECONDS = 30


def read_json(path: str) -> Any:
    """Return the content of a JSON file; null if there is none, or it cannot be understood."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def replace(path: str, text: str, mode: int) -> None:
    """Put a file in the place of the one that is there, if any."""
    handle, new = tempfile.mkstemp(prefix=".watchdog-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(new, mode)
        os.replace(new, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)


def began(pid: str) -> float:
    """Return when a process began; 0 if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            # "pid (name) state parent ...": the 20th field after the name is the time after the boot, in ticks.
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/stat", encoding="utf-8") as file:
            boot = re.search(r"^btime (\d+)", file.read(), re.MULTILINE)
    except (OSError, ValueError, IndexError):
        return 0.0
    return int(boot[1]) + ticks / os.sysconf("SC_CLK_TCK") if boot else 0.0


class Manager:
    """The manager of the host's services."""

    def __init__(self, kind: str, control: Sequence[str]) -> None:
        self._kind, self._control = kind, list(control)

    def _run(self, *words: str) -> str:
        try:
            done = subprocess.run(
                [*self._control, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"{' '.join([*self._control, *words])}: {error}", flush=True)
            return ""
        return done.stdout.decode("utf-8", "replace")

    def processes(self, units: Sequence[str]) -> dict[str, str]:
        """Return the process of each unit that runs; one that starts, stops or is stopped is left out."""
        if self._kind == "supervisor":
            return dict(re.findall(r"^(\S+)\s+RUNNING\s+pid (\d+)", self._run("status"), re.MULTILINE))
        text = self._run("show", "-p", "Id,ActiveState,MainPID", "--", *(f"{unit}.service" for unit in units))
        found = {}
        for block in text.split("\n\n"):
            told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if told.get("ActiveState") == "active" and told.get("MainPID", "0") != "0":
                found[told["Id"].removesuffix(".service")] = told["MainPID"]
        return found

    def restart(self, unit: str, at_once: bool) -> None:
        """Restart a unit without waiting for it.

        :param at_once: whether it may not end its requests first: it does not listen to a polite signal any more.
        """
        if self._kind == "supervisor":
            # supervisor starts a program again that ends; its own restart would wait for all requests.
            self._run("signal", "KILL" if at_once else "TERM", unit)
            return
        self._run("restart", "--no-block", "--", f"{unit}.service")
        if at_once:
            self._run("kill", "--signal=KILL", "--", f"{unit}.service")


class Watchdog:
    """The watchdog of a host."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.rules = settings["rules"]
        self.manager = Manager(settings["manager"], settings["control"])
        self.key = ""
        with contextlib.suppress(OSError), open(settings["key_file"], encoding="utf-8") as file:
            self.key = file.read().strip()
        self.state_file = f"{settings['state_root']}/watchdog.json"

    def paused(self) -> bool:
        """Return whether a run changes the host."""
        return rules.holds(read_json(f"{self.settings['state_root']}/run.json"), time.time())

    def look(self) -> None:
        """Look at every engine once, and act."""
        now = time.time()
        record = read_json(self.settings["record"])
        instances = record.get("instances") or [] if isinstance(record, dict) else []
        old = read_json(self.state_file)
        old = old if isinstance(old, dict) else {}
        services = {f"{one['engine']}-{one['name']}": one for one in instances}
        known = old.get("services") or {}
        state = {name: {**rules.fresh(), **(known.get(name) or {})} for name in services}
        paused = self.paused()
        if paused or not 0 <= now - old.get("when", 0.0) <= self.rules["gap_seconds"]:
            for memory in state.values():
                rules.forget_times(memory, now)
        if not paused and services:
            units = {name: f"{self.settings['prefix']}{name}" for name in services}
            processes = self.manager.processes(list(units.values()))
            with ThreadPoolExecutor(max_workers=len(services)) as pool:
                work = [
                    pool.submit(self.watch, units[name], one, state[name], processes.get(units[name], ""), now)
                    for name, one in services.items()
                ]
            for one in work:
                one.result()
        replace(self.state_file, json.dumps({"when": time.time(), "services": state}), 0o600)
        self.tell(services, state, paused)

    def tell(self, services: Mapping[str, Any], state: Mapping[str, Any], paused: bool) -> None:
        """Write the metrics, if the host has a place for them."""
        rows = [
            {
                "labels": {"model": one["model"], "replica": one.get("replica", ""), "service": name},
                "memory": state[name],
            }
            for name, one in services.items()
        ]
        folder = self.settings["metrics_dir"]
        if os.path.isdir(folder):
            replace(f"{folder}/llmfleet_watchdog.prom", rules.exposition(rows, time.time(), paused), 0o644)

    def watch(self, unit: str, one: Mapping[str, Any], memory: rules.Memory, pid: str, now: float) -> None:
        """Look at one engine, and act."""
        interface = one.get("interface") or {}
        place = (str(one.get("listen") or "127.0.0.1"), int(one["port"]))
        seen = self.read(place, interface, pid)
        if rules.observe(memory, seen, interface, self.rules, now):
            self.prove(unit, one, memory, place, interface)
        elif self.settings["prompts"].get(one["model"]) and rules.is_due(memory, self.rules, now):
            self.question(unit, one, memory, place)

    def read(self, place: asking.Place, interface: Mapping[str, Any], pid: str) -> rules.Seen:
        """Read what an engine says of itself."""
        if not pid:
            return rules.Seen(False)
        seconds = self.rules["answer_seconds"]
        health = asking.ask(place, interface.get("health_path") or "/health", seconds)
        metrics = asking.ask(place, interface.get("metrics_path") or "/metrics", seconds)
        text = metrics.text if metrics.status == asking.OK else None
        return rules.Seen(True, pid, began(pid), health.status == asking.OK, text)

    def prove(
        self,
        unit: str,
        one: Mapping[str, Any],
        memory: rules.Memory,
        place: asking.Place,
        interface: Mapping[str, Any],
    ) -> None:
        """Ask an engine that shows no sign of life for one token, and restart it if that does not come either."""
        model = str(one["model"])
        mode = self.settings["modes"].get(model) or "chat"
        answered = asking.answers(place, model, mode, self.key, self.rules["probe_seconds"])
        # A long step may have ended meanwhile, and the probe may still wait behind others.
        if answered or (memory["ready"] and rules.alive(memory, self.read(place, interface, memory["pid"]), interface)):
            rules.lives(memory, time.time())
            return
        if self.paused():
            return
        now = time.time()
        verdict = rules.permission(memory["restarts"], self.rules, now)
        quiet = f"no sign of life for {now - memory['since']:.0f} s, and no answer to a probe of one token"
        if not memory["ready"]:
            quiet = "it did not become ready in time, and gave no answer to a probe of one token"
        if verdict == rules.RESTART:
            self.restart(unit, one, memory, rules.STILL, quiet)
        elif verdict == rules.GIVE_UP and not memory["gave_up"]:
            memory["gave_up"] = True
            most = self.rules["per_hour"]
            self.note(one, "give up", f"{quiet}; it was restarted {most} times within an hour and is left alone now")

    def question(self, unit: str, one: Mapping[str, Any], memory: rules.Memory, place: asking.Place) -> None:
        """Ask for an answer that is known, and restart an engine that gives wrong ones."""
        memory["asked"] = time.time()
        right = True
        for asked in self.settings["prompts"][one["model"]]:
            said = asking.said(place, str(one["model"]), str(asked["prompt"]), self.key, self.rules["prompt_seconds"])
            # An engine that gives no answer is no matter of this probe.
            if said is None or self.paused():
                return
            right = right and re.search(str(asked["expect"]), said) is not None
        verdict = rules.judge_answer(memory, right, self.rules, time.time())
        wrong = f"{self.rules['prompt_failures']} wrong answers in a row to its semantic probe"
        if verdict == rules.RESTART:
            self.restart(unit, one, memory, rules.WRONG, wrong)
        elif verdict == rules.GIVE_UP:
            self.note(one, "give up", f"{wrong}, also after a restart; it is left alone")

    def restart(self, unit: str, one: Mapping[str, Any], memory: rules.Memory, reason: str, why: str) -> None:
        """Restart an engine, and say so in the ledger first."""
        rules.restarted(memory, reason, time.time())
        self.note(one, "restart", why)
        self.manager.restart(unit, at_once=reason == rules.STILL)

    def note(self, one: Mapping[str, Any], kind: str, verdict: str) -> None:
        """Append a line to the ledger of the host."""
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {"when": when, "run": "", "who": "watchdog", "playbook": "", "instance": one["name"]}
        more = {"model": one["model"], "kind": kind, "from": None, "to": None, "seconds": None, "verdict": verdict}
        line = json.dumps({**entry, **more, "figures": {}})
        path = f"{self.settings['state_root']}/ledger.jsonl"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            # A line that was cut short ends here. One call writes all of it, so lines of others do not mix.
            end = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(end + f"{line}\n".encode())
        print(f"{one['name']}: {kind}: {verdict}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Look once, or for ever."""
    settings = read_json(arguments[0])
    if settings is None:
        print(f"{arguments[0]} cannot be read: run site.yml, which writes it", file=sys.stderr)
        return 1
    watchdog = Watchdog(settings)
    watchdog.look()
    while len(arguments) > 1:
        time.sleep(float(arguments[1]))
        watchdog.look()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
