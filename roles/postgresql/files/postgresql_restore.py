# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a dump of postgresql_backup.py back: postgresql_restore.py SETTINGS look|restore FILE.

`look` checks the file's sum and prints what is in the dump and what is in the server, as JSON. `restore` restores the
dump into a database beside the present one, which serves meanwhile, and then puts it in its place in one transaction.
It runs as the server's own user.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from postgresql_backup import TABLES, digest_of, parts_of
from postgresql_setup import admit_backup, literal, name

# Seconds until connections to the present database have ended.
SECONDS_TO_END = 30
USAGE = "SELECT to_regclass('usage.positions') IS NOT NULL;"
PRESENT = "SELECT json_object_agg(gateway, lines) FROM usage.positions;"


class Server:
    """The server that runs on this host, and its programs."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._environment = {**os.environ, "PGHOST": settings["socket"], "PGPORT": str(settings["port"])}

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run SQL, and return what it prints."""
        words = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"]
        return self._call("psql", words, sql).strip()

    def unpack(self, words: list[str]) -> str:
        """Call pg_restore, and return what it prints."""
        return self._call("pg_restore", words)

    def _call(self, program: str, words: list[str], text: str = "") -> str:
        command = [self._settings[program], *words]
        done = subprocess.run(command, input=text, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{program}: {done.stderr.strip() or 'it failed'}")
        return done.stdout


def checked(path: Path) -> tuple[str, float]:
    """Return the database of a dump and when it was taken; end the program if it is none, or was changed."""
    parts = parts_of(path.name)
    if not parts:
        raise SystemExit(f"{path.name}: a dump is named DATABASE-TIME.dump, such as llmfleet-20261128T060000Z.dump")
    try:
        wanted = path.with_name(f"{path.name}.sha256").read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError):
        raise SystemExit(
            f"{path.name}: {path.name}.sha256, with which it was written, is not beside the dump"
        ) from None
    if digest_of(path) != wanted:
        raise SystemExit(f"{path.name}: its sum is not that of {path.name}.sha256; take another dump")
    return parts


def places(copied: str) -> dict[str, dict[str, Any]]:
    """Return how far the log of each gateway is booked, from what pg_restore prints of the table usage.positions."""
    found: dict[str, dict[str, Any]] = {}
    names: list[str] = []
    for line in copied.splitlines():
        if line.startswith("COPY usage.positions ("):
            inside = line.partition("(")[2].rpartition(")")[0]
            (names,) = csv.reader([inside], skipinitialspace=True)
        elif line == "\\.":
            break
        elif names:
            row = dict(zip(names, line.split("\t")))
            place = {"file": row["file"], "offset": int(row["offset"]), "lines": int(row["lines"])}
            found[row["gateway"]] = place
    return found


def look(server: Server, path: Path) -> dict[str, Any]:
    """Return what is in a dump and what is in the server.

    ``places`` of the dump, by gateway: file and offset up to which its log is booked, and how many lines were booked;
    ``present``: how many lines are booked now; ``tables``: how many tables there are now.
    """
    database, taken = checked(path)
    copied = server.unpack(["--data-only", "--schema=usage", "--table=positions", "--file=-", str(path)])
    there = server.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(database)};")  # noqa: S608 # nosec B608
    present: dict[str, int] = {}
    if there and server.run(USAGE, database) == "t":
        present = json.loads(server.run(PRESENT, database) or "{}")
    tables = int(server.run(TABLES, database)) if there else 0
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken))
    return {"database": database, "taken": moment, "places": places(copied), "present": present, "tables": tables}


def replace(server: Server, old: str, new: str, aside: str) -> None:
    """Put a database in the place of another one, whose connections end."""
    if server.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(old)};"):  # noqa: S608 # nosec B608
        server.run(f"ALTER DATABASE {name(old)} ALLOW_CONNECTIONS false;")
        until = time.monotonic() + SECONDS_TO_END
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {literal(old)};"  # noqa: S608 # nosec B608
        while server.run(ended):
            if time.monotonic() > until:
                server.run(f"ALTER DATABASE {name(old)} ALLOW_CONNECTIONS true;")
                raise SystemExit(f"connections to {old} do not end; it is as it was")
            time.sleep(0.1)
        moved = f"ALTER DATABASE {name(old)} RENAME TO {name(aside)};"
    else:
        moved = ""
    server.run(f"BEGIN;\n{moved}\nALTER DATABASE {name(new)} RENAME TO {name(old)};\nCOMMIT;")
    server.run(f"DROP DATABASE IF EXISTS {name(aside)} WITH (FORCE);")


def restore(server: Server, path: Path, settings: dict[str, Any]) -> None:
    """Restore a dump."""
    database, _taken = checked(path)
    new, aside = f"{database}_restored", f"{database}_replaced"
    owner = settings["user"]
    found = server.run(f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {literal(database)};")  # noqa: S608 # nosec B608
    owner = found or owner
    for rest in (new, aside):
        server.run(f"DROP DATABASE IF EXISTS {name(rest)} WITH (FORCE);")
    server.run(f"CREATE DATABASE {name(new)} OWNER {name(owner)} ENCODING 'UTF8' TEMPLATE template0;")
    server.run(f"REVOKE ALL ON DATABASE {name(new)} FROM PUBLIC;")
    words = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", f"--role={owner}"]
    server.unpack([*words, f"--dbname={new}", str(path)])
    server.run("ANALYZE;", new)
    admit_backup(server, settings["backup_user"], new)
    replace(server, database, new, aside)


def main() -> None:
    """Run the program."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    what, path, server = sys.argv[2], Path(sys.argv[3]), Server(settings)
    if what == "look":
        print(json.dumps(look(server, path)))
    else:
        restore(server, path, settings)


if __name__ == "__main__":
    main()
