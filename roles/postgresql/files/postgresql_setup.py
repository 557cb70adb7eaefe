# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create the user and the database of the fleet in a server that runs: postgresql_setup.py SETTINGS.

It runs as the server's own user, prints a line for each change and nothing otherwise. The password is in the variable
POSTGRESQL_SETUP_PASSWORD; the server gets a verifier of it (RFC 5803), so that no log can have the password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

# The number of rounds that PostgreSQL uses by itself.
ROUNDS = 4096
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")
SECONDS = 60
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres';"


def verifier(password: str, salt: bytes, rounds: int = ROUNDS) -> str:
    """Return what PostgreSQL keeps of a password."""
    plain = unicodedata.normalize("NFKC", password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", plain, salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = (base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256")))
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *parts)


def is_of(kept: str, password: str) -> bool:
    """Return whether a verifier is that of a password."""
    found = VERIFIER.fullmatch(kept)
    if not found:
        return False
    return hmac.compare_digest(kept, verifier(password, base64.b64decode(found[2]), int(found[1])))


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """Return a name as SQL has it."""
    return '"' + text.replace('"', '""') + '"'


class Server:
    """The server that runs on this host."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._command = [settings["psql"], "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-"]
        self._environment = {**os.environ, "PGHOST": settings["socket"], "PGPORT": str(settings["port"])}

    def run(self, sql: str) -> str:
        """Run SQL, and return what it prints."""
        done = subprocess.run(
            self._command,
            input=sql,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"PostgreSQL: {done.stderr.strip() or 'psql failed'}")
        return done.stdout.strip()


def create(server: Server, user: str, database: str, password: str) -> list[str]:
    """Create what is missing, and return what was changed."""
    told = []
    row = server.run(f"SELECT 'kept=' || coalesce(rolpassword, '') FROM pg_authid WHERE rolname = {literal(user)};")  # noqa: S608 # nosec B608
    if not row or not is_of(row.removeprefix("kept="), password):
        word, text = ("ALTER", "changed the password of") if row else ("CREATE", "created")
        kept = literal(verifier(password, secrets.token_bytes(16)))
        server.run(f"{word} ROLE {name(user)} LOGIN PASSWORD {kept};")
        told.append(f"{text} the user {user}")
    if not server.run(f"SELECT 1 FROM pg_database WHERE datname = {literal(database)};"):  # noqa: S608 # nosec B608
        server.run(f"CREATE DATABASE {name(database)} OWNER {name(user)} ENCODING 'UTF8' TEMPLATE template0;")
        server.run(f"REVOKE ALL ON DATABASE {name(database)} FROM PUBLIC;")
        told.append(f"created the database {database}")
    return told


def admit_backup(server: Any, user: str, database: str) -> list[str]:
    """Let the user of backups read a database, and return what was changed."""
    told = []
    of_user = f"SELECT 1 FROM pg_roles WHERE rolname = {literal(user)};"  # noqa: S608 # nosec B608
    if not server.run(of_user):
        server.run(f"CREATE ROLE {name(user)} LOGIN;\nGRANT pg_read_all_data TO {name(user)};")
        told.append(f"created the user {user}")
    if server.run(f"SELECT has_database_privilege({literal(user)}, {literal(database)}, 'CONNECT');") != "t":
        server.run(f"GRANT CONNECT ON DATABASE {name(database)} TO {name(user)};")
        told.append(f"let the user {user} read the database {database}")
    return told


def admit_exporter(server: Any, user: str) -> list[str]:
    """Let the user of the exporter read statistics, and return what was changed."""
    if server.run(f"SELECT 1 FROM pg_roles WHERE rolname = {literal(user)};"):  # noqa: S608 # nosec B608
        return []
    server.run(f"CREATE ROLE {name(user)} LOGIN;\nGRANT pg_monitor TO {name(user)};")
    return [f"created the user {user}"]


def main() -> None:
    """Create what is missing in the server that the settings name."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    password = os.environ.pop("POSTGRESQL_SETUP_PASSWORD")
    server = Server(settings)
    told = create(server, settings["user"], settings["database"], password)
    for database in server.run(DATABASES).splitlines():
        told += admit_backup(server, settings["backup_user"], database)
    told += admit_exporter(server, settings["exporter_user"])
    for line in told:
        print(line)


if __name__ == "__main__":
    main()
