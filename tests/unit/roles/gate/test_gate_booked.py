# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of the usage log is behind the place that the role usage tells."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import gate_booked
import pytest
from gate_metrics import Metrics

FIRST, SECOND = b'{"a": 1}\n', b'{"b": 2}\n'


def told(log: Path, first: bytes, offset: int) -> None:
    place = gate_booked.place(str(log))
    place.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256(first.rstrip(b"\n")).hexdigest() if first else ""
    place.write_text(json.dumps({"file": digest, "offset": offset, "time": 7.5}))


def test_bytes_behind_the_place_are_not_booked(tmp_path: Path) -> None:
    log = tmp_path / "usage.jsonl"
    log.write_bytes(FIRST + SECOND)
    assert gate_booked.lag(str(log), 8) is None
    told(log, FIRST, 0)
    assert gate_booked.lag(str(log), 8) == (len(FIRST + SECOND), 7.5)
    told(log, FIRST, len(FIRST))
    assert gate_booked.lag(str(log), 8) == (len(SECOND), 7.5)
    # The gate has begun another file.
    log.rename(f"{log}.1")
    log.write_bytes(SECOND)
    assert gate_booked.lag(str(log), 8) == (len(SECOND) * 2, 7.5)
    told(log, SECOND, len(SECOND))
    assert gate_booked.lag(str(log), 8) == (0, 7.5)
    # A place that is in no file: nothing of them is booked.
    for first in (b"", b"gone"):
        told(log, first, 3)
        assert gate_booked.lag(str(log), 8) == (len(FIRST + SECOND * 2), 7.5)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"file": "a", "offset": "x", "time": 1}', '{"file": "a", "offset": 1}']
)
def test_what_cannot_be_read_is_as_if_nobody_books(text: str, tmp_path: Path) -> None:
    log = tmp_path / "usage.jsonl"
    told(log, FIRST, 0)
    gate_booked.place(str(log)).write_text(text)
    assert gate_booked.lag(str(log), 8) is None


def test_metrics_say_nothing_where_nobody_books() -> None:
    metrics = Metrics()
    for lag, is_there in ((None, False), ((3, 7.5), True), ((4, 8.5), True), (None, False)):
        metrics.booking(lag)
        assert (b"llmfleet_gate_usage_unbooked_bytes" in metrics.text()) is is_there
    metrics.booking((5, 9.5))
    assert b"llmfleet_gate_usage_booked_timestamp_seconds 9.5" in metrics.text()
