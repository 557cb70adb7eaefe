# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps the databases of the server on this host into files: postgresql_backup.py SETTINGS [now].

It runs as a user of its own that may read all tables and change none, and dumps a database when its newest dump is old
enough; with `now` it dumps all of them once and prints the names of the files. A dump gets its name when it is whole,
and `sha256sum --check` knows the file beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator, Mapping
from urllib.parse import quote, unquote

LOG = logging.getLogger("backup")
# A dump's name has the database, percent-encoded where a name of a file cannot have a letter, and its time in UTC.
NAME = re.compile(r"(?P<database>[^/]+)-(?P<time>\d{8}T\d{6}Z)\.dump")
TIME = "%Y%m%dT%H%M%SZ"
# Seconds between two looks at what is due, which is also the pause after a dump that failed.
PAUSE = 300.0
SECONDS_OF_AN_HOUR, SECONDS_OF_A_DAY = 3600, 86400
# Databases that a restore makes and ends on its way.
ON_THE_WAY = ("_restored", "_replaced")
# A database without a table has nothing that a dump could bring back.
TABLES = (
    "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema');"
)
DATABASES = (
    "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres' ORDER BY 1;"
)


class BackupError(Exception):
    """A database was not dumped."""


def name_of(database: str, taken: float) -> str:
    """Return the name of a dump, taken so many seconds after 1970."""
    return f"{quote(database, safe=' ')}-{datetime.fromtimestamp(taken, timezone.utc):{TIME}}.dump"


def parts_of(name: str) -> tuple[str, float] | None:
    """Return the database of a dump and when it was taken, in seconds since 1970; None for another file."""
    found = NAME.fullmatch(name)
    if not found:
        return None
    taken = datetime.strptime(found["time"], TIME).replace(tzinfo=timezone.utc)
    return unquote(found["database"]), taken.timestamp()


def too_old(names: list[str], days: int, now: float) -> list[str]:
    """Return the dumps that are not kept: older than so many days, and not the newest one of their database."""
    known = sorted(((parts_of(name), name) for name in names if parts_of(name)), key=lambda one: one[0] or ("", 0.0))
    newest = {place[0]: name for place, name in known if place}
    least = now - days * SECONDS_OF_A_DAY
    return [name for place, name in known if place and place[1] < least and newest[place[0]] != name]


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write(path: Path, text: str) -> None:
    """Write a file that others see when it is whole."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(path)


class Backup:
    """The dumps of a server."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings, self._folder = settings, Path(settings["folder"])
        self._environment = {**os.environ, "PGHOST": settings["socket"], "PGPORT": str(settings["port"])}
        self._running: subprocess.Popen[bytes] | None = None
        self._ended = False

    def end(self) -> None:
        """End what runs."""
        self._ended = True
        if self._running:
            self._running.terminate()

    def due(self, now: float) -> list[str]:
        """Return the databases of which there is no dump that is new enough."""
        least = now - self._settings["hours"] * SECONDS_OF_AN_HOUR
        taken: dict[str, float] = {}
        for name in self.names():
            database, moment = parts_of(name) or ("", 0.0)
            taken[database] = max(moment, taken.get(database, 0.0))
        return [database for database in self.databases() if taken.get(database, 0.0) <= least]

    def names(self) -> list[str]:
        """Return the names of the dumps."""
        return sorted(path.name for path in self._folder.iterdir() if parts_of(path.name))

    def databases(self) -> list[str]:
        """Return the databases with tables."""
        found = [name for name in self._ask("postgres", DATABASES) if not name.endswith(ON_THE_WAY)]
        return [name for name in found if self._ask(name, TABLES) != ["0"]]

    def _ask(self, database: str, sql: str) -> list[str]:
        command = [self._settings["psql"], "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        environment = {**self._environment, "PGDATABASE": database}
        try:
            done = subprocess.run(
                command, input=sql, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired:
            raise BackupError("the server does not answer") from None
        if done.returncode:
            raise BackupError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else "psql failed")
        return done.stdout.splitlines()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process dumps."""
        with (self._folder / ".lock").open("a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for part in self._folder.glob(".*.part"):
                part.unlink()
            yield

    def dump(self, database: str) -> str:
        """Dump a database, and return the name of the file.

        :raises BackupError: if there is no dump of it.
        """
        name = name_of(database, time.time())
        part = self._folder / f".{name}.part"
        command = [self._settings["pg_dump"], "--format=custom", "--lock-wait-timeout=60s", "--no-password"]
        try:
            with part.open("wb") as file:
                environment = {**self._environment, "PGDATABASE": database}
                self._running = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, env=environment)
                if self._ended:
                    self._running.terminate()
                _nothing, said = self._running.communicate()
                os.fsync(file.fileno())
            if self._running.returncode:
                lines = said.decode(errors="replace").strip().splitlines()
                raise BackupError(lines[0] if lines else "pg_dump failed")
            # What lists its contents can be restored: the list is at the end of the file.
            if subprocess.run(
                [self._settings["pg_restore"], "--list", part], capture_output=True, check=False
            ).returncode:
                raise BackupError("pg_restore cannot read the dump")
            write(self._folder / f"{name}.sha256", f"{digest_of(part)}  {name}\n")
            part.rename(self._folder / name)
        finally:
            self._running = None
            part.unlink(missing_ok=True)
        return name

    def prune(self, now: float) -> None:
        """Remove what is not kept, and sums of dumps that are gone."""
        for name in too_old(self.names(), self._settings["days"], now):
            (self._folder / name).unlink()
            LOG.info("%s is removed, because dumps are kept for %d days", name, self._settings["days"])
        for path in self._folder.glob("*.dump.sha256"):
            if not path.with_suffix("").exists():
                path.unlink()

    def turn(self, everything: bool = False) -> list[str]:
        """Dump what is due, or everything, and return the names of the files.

        :raises BackupError: if one was not dumped; the others are tried before.
        """
        names, problems = [], []
        with self.alone():
            for database in self.databases() if everything else self.due(time.time()):
                try:
                    names.append(self.dump(database))
                except (BackupError, OSError) as error:
                    problems.append(f"{database}: {error}")
            self.prune(time.time())
        if problems:
            raise BackupError("; ".join(problems))
        return names


def main() -> None:
    """Dump once, or again and again until the program is stopped."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    backup = Backup(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    if sys.argv[2:] == ["now"]:
        try:
            print("\n".join(backup.turn(everything=True)))
        except BackupError as error:
            sys.exit(f"not dumped: {error}")
        return
    stopped = threading.Event()

    def stop(_number: int, _frame: Any) -> None:
        stopped.set()
        backup.end()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    problem = ""
    while not stopped.is_set():
        try:
            for name in backup.turn():
                LOG.info("%s is written", name)
            problem = ""
        except (BackupError, OSError) as error:
            if str(error) != problem and not stopped.is_set():
                LOG.error("not dumped, and tried again: %s", error)
            problem = str(error)
        stopped.wait(PAUSE)


if __name__ == "__main__":
    main()
