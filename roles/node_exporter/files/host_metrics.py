# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write metrics of this host that nobody else has into a file for the node exporter, again and again.

host_metrics.py SETTINGS

The settings are a JSON file that the role writes. What a host does not have is left out: a host without the gate has
no keys, one without cards no driver. No value of a key and no other secret is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from host_metrics_parts import (
    CardError,
    Sample,
    card_errors,
    certificate_ends,
    driver_versions,
    exposition,
    holds,
    instance_samples,
    joined,
    key_ends,
    newest_dumps,
    told_keys,
)

COMMAND_SECONDS = 30
JOURNAL = ["journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-unix", "--show-cursor"]
CURSOR = re.compile(r"^-- cursor: (.+)$", re.MULTILINE)


def read_json(path: str) -> Any:
    """Return the content of a JSON file; an empty dictionary if there is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def replace(path: str, text: str) -> None:
    """Put a file that all may read in the place of the one that is there, if any."""
    handle, new = tempfile.mkstemp(prefix=".host-", dir=os.path.dirname(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(new, 0o644)
        os.replace(new, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)


def output_of(command: list[str]) -> str:
    """Return what a program says; nothing if it is not there or fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout.decode("utf-8", "replace")


def size_of(folder: str) -> int:
    """Return the bytes of the files in a folder, those that links lead to included."""
    seen: dict[tuple[int, int], int] = {}
    for place, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                about = os.stat(os.path.join(place, name))
                seen[about.st_dev, about.st_ino] = about.st_size
    return sum(seen.values())


class Host:
    """What is told of this host."""

    def __init__(self, settings: Mapping[str, Any], proc: str = "/proc", run: str = "/run") -> None:
        self._settings, self._proc, self._run = settings, proc, run
        self._cursor, self._errors = "", dict[tuple[str, str], CardError]()
        self._problems: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def certificates(self) -> Iterator[Sample]:
        """Tell when certificates end to be valid."""
        for name, path in self._settings["certificates"].items():
            with contextlib.suppress(FileNotFoundError):
                text = Path(path).read_text(encoding="utf-8", errors="replace")
                ends = certificate_ends(text)
                yield Sample("llmfleet_certificate_expires_timestamp_seconds", ends, {"certificate": name})

    def keys(self) -> Iterator[Sample]:
        """Tell when keys of clients end."""
        for name, ends in told_keys(key_ends(read_json(self._settings["keys_file"])), time.time()):
            yield Sample("llmfleet_key_expires_timestamp_seconds", ends, {"key": name})

    def backups(self) -> Iterator[Sample]:
        """Tell how old the dumps of PostgreSQL are: a dump has its name once it was read again."""
        settings = read_json(self._settings["backup_settings"])
        if not settings:
            return
        yield Sample("llmfleet_backup_interval_seconds", settings["hours"] * 3600, {})
        folder = Path(settings["folder"])
        dumps = newest_dumps(os.listdir(folder)) if folder.is_dir() else {}
        for database, taken in dumps.items():
            yield Sample("llmfleet_backup_last_timestamp_seconds", taken, {"database": database})
        # The program that dumps creates the file when it begins for the first time, and never writes to it.
        begun = folder / ".lock"
        if not dumps and begun.exists():
            yield Sample("llmfleet_backup_last_timestamp_seconds", begun.stat().st_mtime, {"database": ""})

    def instances(self) -> Iterator[Sample]:
        """Tell what is in force, and what room the models' disk has for a further one."""
        root = Path(self._settings["generations"])
        present, sizes = {}, {}
        for place in sorted(root.iterdir()) if root.is_dir() else []:
            number = read_json(str(place / "present.json")).get("generation")
            present[place.name] = read_json(str(place / str(number) / "generation.json")) if number else {}
            snapshot = present[place.name].get("snapshot") or ""
            if os.path.isdir(snapshot):
                # A snapshot of a revision does not change, and may be on a slow file system.
                sizes[snapshot] = self._sizes.get(snapshot) or size_of(snapshot)
        self._sizes = sizes
        yield from instance_samples(read_json(self._settings["record"]), present)
        if sizes:
            largest = max(sizes, key=lambda one: sizes[one])
            about = os.statvfs(largest)
            yield Sample("llmfleet_models_free_bytes", about.f_bavail * about.f_frsize, {})
            yield Sample("llmfleet_models_largest_bytes", sizes[largest], {})

    def run(self) -> Iterator[Sample]:
        """Tell whether a run changes this host."""
        yield Sample("llmfleet_run_active", float(holds(read_json(self._settings["lock"]), time.time())), {})

    def reboot(self) -> Iterator[Sample]:
        """Tell whether the distribution asks for a reboot."""
        yield Sample("llmfleet_reboot_required", float(os.path.exists(f"{self._run}/reboot-required")), {})

    def driver(self) -> Iterator[Sample]:
        """Tell whether the driver in the kernel is the one that its library belongs to, and which errors cards had."""
        version = Path(f"{self._proc}/driver/nvidia/version")
        if not version.exists():
            return
        names = [name for folder in self._settings["libraries"] if os.path.isdir(folder) for name in os.listdir(folder)]
        kernel, libraries = driver_versions(version.read_text(encoding="utf-8"), names)
        if kernel and libraries:
            labels = {"kernel": kernel, "library": " ".join(libraries)}
            yield Sample("llmfleet_driver_matches", float(libraries == [kernel]), labels)
        for (card, code), one in self._card_errors().items():
            labels = {"gpu": card, "xid": code, "fatal": "yes" if one.fatal else "no"}
            yield Sample("llmfleet_gpu_xid_count", one.times, labels)
            yield Sample("llmfleet_gpu_xid_last_timestamp_seconds", one.last, labels)

    def _card_errors(self) -> Mapping[tuple[str, str], CardError]:
        """Return the errors since the boot; the journal is read on from where it was read to."""
        boot = re.search(r"^btime (\d+)", Path(f"{self._proc}/stat").read_text(encoding="utf-8"), re.MULTILINE)
        booted = float(boot[1]) if boot else 0.0
        said = output_of([*JOURNAL, f"--after-cursor={self._cursor}"] if self._cursor else JOURNAL)
        earlier = self._errors if self._cursor else {}
        if said:
            found = CURSOR.findall(said)
            self._cursor = found[-1] if found else ""
        elif not self._cursor:
            said = output_of(["dmesg"])
        self._errors = joined(earlier, card_errors(said, booted))
        return self._errors

    def samples(self) -> list[Sample]:
        """Return all that is told. A part that cannot be read is named, and the others are told."""
        found: list[Sample] = []
        for name in ("certificates", "keys", "backups", "instances", "run", "reboot", "driver"):
            problem = ""
            try:
                found += list(getattr(self, name)())
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                problem = f"{type(error).__name__}: {error}"
            # A problem is said once in the log. Files with secrets are read, but no message of these errors shows them.
            if problem != self._problems.get(name, ""):
                print(f"{name}: {problem or 'can be read again'}", flush=True)
            self._problems[name] = problem
            found.append(Sample("llmfleet_host_metrics_failed", float(bool(problem)), {"part": name}))
        found.append(Sample("llmfleet_host_metrics_timestamp_seconds", time.time(), {}))
        return found

    def write(self) -> None:
        """Write the file; others see it whole."""
        replace(self._settings["metrics_file"], exposition(self.samples()))


def main(arguments: list[str]) -> None:
    """Write until the program is stopped."""
    settings = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    host = Host(settings)
    while True:
        try:
            host.write()
        except OSError as error:
            print(f"{settings['metrics_file']} is not written: {error}", flush=True)
        time.sleep(settings["interval"])


if __name__ == "__main__":
    main(sys.argv[1:])
