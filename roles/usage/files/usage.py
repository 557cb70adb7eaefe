# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Books what the gate of this host passed on in PostgreSQL: usage.py SETTINGS.

It follows the gate's log, which is written whether the database is there or not, and books what it has not booked yet.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Mapping

import usage_lines
import usage_spool
from usage_spool import Position
from usage_store import Store, StoreError

LOG = logging.getLogger("usage")
# Size of a piece of the log that is booked at once.
PIECE_BYTES = 4 << 20
# Seconds between two looks for tables of months that are not kept.
FORGET_SECONDS = 3600.0
# Seconds after which the database is asked again how far the log is booked: a restore takes it back.
OPEN_SECONDS = 60.0


class Book:
    """What is booked of the log of a gateway."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._store = Store(settings["psql"], settings["environment"], settings["gateway"])
        self._position: Position | None = None
        self._looked: tuple[Any, ...] | None = None
        self._forgot = self._opened = 0.0
        self._problem = self._untold = ""

    def turn(self) -> bool:
        """Book a piece of the log, and return whether there may be more. A database that is away is met again."""
        try:
            more = self._book()
        except StoreError as error:
            if str(error) != self._problem:
                LOG.warning("usage is not booked now, and stays in the gate's log: %s", error)
            self._problem = str(error)
            # Whether the last piece was booked, only the database knows.
            self._position = None
            return False
        except OSError as error:
            LOG.error("the gate's log cannot be read (%s)", error.strerror)
            return False
        if self._problem:
            LOG.warning("usage is booked again")
            self._problem = ""
        self._tell()
        return more

    def _tell(self) -> None:
        """Tell the gate how far its log is booked, and when; its metrics have what is behind that."""
        if self._position is None:
            return
        said = {"file": self._position.file, "offset": self._position.offset, "time": round(time.time(), 3)}
        path = Path(self._settings["told"])
        new = path.with_suffix(".new")
        try:
            new.write_text(json.dumps(said), encoding="ascii")
            # The service's mask would hide it from the gate.
            new.chmod(0o644)
            new.replace(path)
            self._untold = ""
        except OSError as error:
            if str(error) != self._untold:
                LOG.warning("how far the log is booked cannot be told in %s (%s)", path, error.strerror)
            self._untold = str(error)

    def _book(self) -> bool:
        if self._position is None or time.monotonic() - self._opened > OPEN_SECONDS:
            before, self._position = self._position, self._store.open()
            self._opened = time.monotonic()
            if self._position != before:
                self._looked = None
        self._forget()
        state = self._state()
        if state == self._looked:
            return False
        begin = self._position
        piece = usage_spool.read(self._settings["spool"], begin, PIECE_BYTES)
        if piece.position == begin:
            self._looked = state
            return False
        rows, unreadable = usage_lines.summed(piece.lines, self._settings["prices"])
        if piece.missed:
            LOG.error("the gate began so many files that lines of the oldest are gone; they are not booked")
        if unreadable:
            LOG.error("%d lines of the gate's log cannot be read", unreadable)
        self._store.book(rows, begin, piece.position, len(piece.lines), unreadable, piece.missed)
        self._position = piece.position
        return True

    def _state(self) -> tuple[Any, ...]:
        """Return what changes with the newest file."""
        try:
            found = os.stat(self._settings["spool"])
        except FileNotFoundError:
            return ()
        return found.st_dev, found.st_ino, found.st_size

    def _forget(self) -> None:
        months, now = self._settings["months"], time.monotonic()
        if months and (not self._forgot or now - self._forgot > FORGET_SECONDS):
            for name in self._store.forget(months, time.time()):
                LOG.warning("usage.%s is dropped, because %d months are kept", name, months)
            self._forgot = now


def main() -> None:
    """Book until the program is stopped."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    signal.signal(signal.SIGINT, lambda _number, _frame: stopped.set())
    book = Book(settings)
    while not stopped.is_set():
        if not book.turn():
            stopped.wait(settings["interval"])


if __name__ == "__main__":
    main()
