# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Books usage in PostgreSQL by way of psql, the distribution's client.

A piece of the log is booked in one transaction with the place behind it, so it is booked once, whatever ends meanwhile.
"""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timezone
from typing import Mapping

import usage_schema
from usage_lines import Row, Sums, start_of
from usage_spool import BEGINNING, Position

COLUMNS = ("minute", "gateway", "key", "team", "person", "model", "instance", "outcome")
CONFLICT = ", ".join(COLUMNS)
ADDED = ", ".join(f"{name} = usage.minutes.{name} + excluded.{name}" for name in Sums.NAMES)
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
FIXED = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "llm-usage", "PGCLIENTENCODING": "UTF8"}
# What psql writes before an error of the server.
PLACE_OF_ERROR = "psql:<stdin>:"


class StoreError(Exception):
    """The database does not book now; nothing of the piece is booked, or all of it."""


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def month_of(minute: int) -> tuple[int, int]:
    """Return year and month of a minute."""
    start = start_of(minute)
    return start.year, start.month


def after(month: tuple[int, int], months: int = 1) -> tuple[int, int]:
    """Return the month so many months later."""
    number = month[0] * 12 + month[1] - 1 + months
    return number // 12, number % 12 + 1


def partition(month: tuple[int, int]) -> str:
    """Return the SQL that makes the table of a month."""
    (year, number), (next_year, next_number) = month, after(month)
    return (
        f"CREATE TABLE IF NOT EXISTS usage.minutes_{year}_{number:02d} PARTITION OF usage.minutes "
        f"FOR VALUES FROM ('{year}-{number:02d}-01 00:00+00') TO ('{next_year}-{next_number:02d}-01 00:00+00');"
    )


def copied(rows: Mapping[Row, Sums], gateway: str) -> str:
    """Return rows in the text form of COPY."""
    lines = []
    for row, sums in rows.items():
        fields = [start_of(row.minute).isoformat(), gateway, *row[1:]]
        amounts = [format(getattr(sums, name), "f" if name == "cost" else "") for name in Sums.NAMES]
        lines.append("\t".join([*(field.translate(ESCAPED) for field in fields), *amounts]))
    return "\n".join([*lines, "\\."])


class Store:
    """The database, for one gateway."""

    def __init__(self, psql: str, environment: Mapping[str, str], gateway: str, seconds: float = 120.0) -> None:
        """Connect to nothing yet.

        :param environment: variables of libpq that say how to connect.
        :param seconds: time that a transaction may take.
        """
        self._command = [psql, "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        self._environment = {**os.environ, **FIXED, **environment}
        self._gateway, self._seconds = gateway, seconds
        self._months: set[tuple[int, int]] = set()

    def run(self, sql: str) -> list[list[str]]:
        """Run SQL, and return the rows that it prints.

        :raises StoreError: if it does not run to its end.
        """
        try:
            done = subprocess.run(
                self._command,
                input=sql.encode(),
                env=self._environment,
                capture_output=True,
                timeout=self._seconds,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError(f"psql does not run to its end ({type(error).__name__})") from None
        if done.returncode:
            first = done.stderr.decode(errors="replace").strip().splitlines()[:1]
            raise StoreError(first[0].replace(PLACE_OF_ERROR, "line ") if first else "psql failed")
        return [line.split("\t") for line in done.stdout.decode().splitlines()]

    def open(self) -> Position:
        """Make the tables where they are missing, and return how far the log of this gateway is booked."""
        if self.run(usage_schema.VERSION) != [["t"]]:
            self._change(usage_schema.BEGIN_STEPS)
        number = self._step()
        if number > len(usage_schema.STEPS):
            raise StoreError(f"its tables are of step {number}, and this program knows {len(usage_schema.STEPS)}")
        if number < len(usage_schema.STEPS):
            # Another gateway may have made the steps before this one had the lock.
            self._change(f"LOCK TABLE usage.steps;\n{self._guarded(number)}")
        self._months = set()
        here = literal(self._gateway)
        beginning = f"({here}, {literal(BEGINNING.file)}, {BEGINNING.offset})"
        rows = self.run(
            f'INSERT INTO usage.positions (gateway, file, "offset") VALUES {beginning} ON CONFLICT DO NOTHING;\n'  # nosec B608
            f'SELECT file, "offset" FROM usage.positions WHERE gateway = {here};'
        )
        return Position(rows[0][0], int(rows[0][1]))

    def _step(self) -> int:
        return int(self.run("SELECT coalesce(max(number), 0) FROM usage.steps;")[0][0])

    def _guarded(self, number: int) -> str:
        """Return the steps behind a number, which run only while that number is the last one."""
        done = f"SELECT coalesce(max(number), 0) = {number} AS due FROM usage.steps \\gset"  # nosec B608
        return f"{done}\n\\if :due\n{usage_schema.missing(number)}\n\\endif"

    def _change(self, sql: str) -> None:
        """Change tables, which one program does at a time."""
        self.run(f"BEGIN;\n{usage_schema.LOCK}\n{sql}\nCOMMIT;")

    def book(
        self, rows: Mapping[Row, Sums], begin: Position, end: Position, lines: int, unreadable: int, missed: bool
    ) -> None:
        """Book what is between two places of the log.

        :raises StoreError: if it was not booked, or nobody knows whether it was.
        """
        months = {month_of(row.minute) for row in rows} - self._months
        if months:
            self._change("\n".join(map(partition, sorted(months))))
            self._months |= months
        places = f"{literal(begin.file)}, {begin.offset}, {literal(end.file)}, {end.offset}"
        names = ", ".join(Sums.NAMES)
        moved = f"{literal(self._gateway)}, {places}, {lines}, {unreadable}, {int(missed)}"
        self.run(
            f"BEGIN;\nSELECT usage.advance({moved});\n"  # nosec B608
            f"CREATE TEMPORARY TABLE piece (LIKE usage.minutes) ON COMMIT DROP;\n"
            f"COPY piece ({CONFLICT}, {names}) FROM STDIN;\n{copied(rows, self._gateway)}\n"
            f"INSERT INTO usage.minutes ({CONFLICT}, {names}) SELECT {CONFLICT}, {names} FROM piece "
            f"ON CONFLICT ({CONFLICT}) DO UPDATE SET {ADDED};\nCOMMIT;"
        )

    def forget(self, months: int, now: float) -> list[str]:
        """Drop the tables of months that are older than so many, and return their names.

        :param months: whole months before the present one that are kept.
        :param now: seconds since 1970.
        """
        present = datetime.fromtimestamp(now, timezone.utc)
        year, number = after((present.year, present.month), -months)
        first = f"minutes_{year}_{number:02d}"
        found = self.run(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "  # nosec B608
            f"WHERE i.inhparent = 'usage.minutes'::regclass AND c.relname < {literal(first)} ORDER BY 1;"
        )
        names = [row[0] for row in found]
        if names:
            self._change("\n".join(f"DROP TABLE IF EXISTS usage.{name};" for name in names))
            self._months = set()
        return names
