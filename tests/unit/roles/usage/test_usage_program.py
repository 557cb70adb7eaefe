# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that books usage: the spool as it is, and psql as a stand-in; tests/usage has a real server."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gate_booked
import pytest
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "usage" / "files"
lines, spool, schema, store, usage = (
    load_file(FILES / f"{name}.py") for name in ("usage_lines", "usage_spool", "usage_schema", "usage_store", "usage")
)
behind = load_file(FILES / "usage_behind.py")
NOVEMBER = 1793491200
MANY = 1 << 20


def line(number: int = 0, **changed: Any) -> bytes:
    entry = {"time": NOVEMBER + number, "request_id": str(number), "key": "a", "model": "chat", "status": 200}
    return json.dumps({**entry, **changed}).encode()


def write(path: Path, *numbers: int, mode: str = "ab") -> None:
    with path.open(mode) as file:
        for number in numbers:
            file.write(line(number) + b"\n")


def numbers(piece: Any) -> list[int]:
    return [int(json.loads(one)["request_id"]) for one in piece.lines]


def test_the_log_is_read_on_over_files(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    assert spool.read(str(path), spool.BEGINNING, MANY) == ([], spool.BEGINNING, False)
    write(path, 1, 2)
    first = spool.read(str(path), spool.BEGINNING, MANY)
    assert numbers(first) == [1, 2]
    write(path, 3)
    path.rename(f"{path}.1")
    write(path, 4)
    # The first line of the newest file is not complete yet.
    second = spool.read(str(path), first.position, MANY)
    assert (numbers(second), second.missed) == ([3, 4], False)
    Path(f"{path}.1").rename(f"{path}.2")
    path.rename(f"{path}.1")
    path.write_bytes(b'{"half')
    (tmp_path / "usage.jsonl.gz").write_bytes(b"no file of the gate\n")
    third = spool.read(str(path), second.position, MANY)
    assert (third.lines, third.position) == ([], second.position)
    # Everything is read again from the beginning, the oldest first.
    assert numbers(spool.read(str(path), spool.BEGINNING, MANY)) == [1, 2, 3, 4]


def test_a_piece_is_not_larger_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    write(path, *range(10))
    path.rename(f"{path}.1")
    write(path, *range(10, 15))
    found, position = [], spool.BEGINNING
    for _turn in range(20):
        piece = spool.read(str(path), position, 3 * len(line(1)))
        found, position = found + numbers(piece), piece.position
    assert found == list(range(15))
    path.write_bytes(line(1) + b"\n" + b"x" * 400)
    end = spool.read(str(path), spool.BEGINNING, MANY).position
    assert spool.read(str(path), end, 100).lines == [b"x" * 100]


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    write(path, 1)
    position = spool.read(str(path), spool.BEGINNING, MANY).position
    path.unlink()
    assert spool.read(str(path), position, MANY) == ([], position, False)
    write(path, 2)
    piece = spool.read(str(path), position, MANY)
    assert (numbers(piece), piece.missed) == ([2], True)


@pytest.mark.parametrize(
    "first",
    [line(), b"", b"\r", b" " + line(), b"\xff\x00", b"x" * ((1 << 16) - 1), b"x" * (1 << 16), b"x" * (1 << 17)],
    ids=["line", "empty", "return", "space", "bytes", "65535", "65536", "131072"],
)
def test_the_gate_knows_a_file_by_the_same_digest(first: bytes, tmp_path: Path) -> None:
    """The gate and the program are installed apart and run as users of their own, so each has the rule."""
    path = tmp_path / "usage.jsonl"
    path.write_bytes(line(7) + b"\n")
    path.rename(f"{path}.1")
    path.write_bytes(first + b"\n" + line(1) + b"\n")
    position = spool.read(str(path), spool.BEGINNING, MANY).position
    # Of a first line that is too long for the digest, neither knows the file.
    known = len(first) < spool.MOST_FIRST_BYTES
    assert (position.file == hashlib.sha256(first).hexdigest()) is known
    told = gate_booked.place(str(path))
    told.parent.mkdir()
    told.write_text(json.dumps({"file": position.file, "offset": position.offset, "time": 7.5}))
    behind_it = sum(len(one) + 1 for one in spool.read(str(path), position, MANY).lines)
    assert behind_it == 0
    assert gate_booked.lag(str(path), 8) == (0 if known else path.stat().st_size, 7.5)


@pytest.mark.parametrize(
    ("month", "months", "expected"),
    [((2026, 11), 1, (2026, 12)), ((2026, 12), 1, (2027, 1)), ((2026, 1), -1, (2025, 12)), ((2026, 3), -14, (2025, 1))],
)
def test_months_are_counted(month: tuple[int, int], months: int, expected: tuple[int, int]) -> None:
    assert store.after(month, months) == expected


def test_rows_are_written_as_copy_reads_them() -> None:
    rows, _unreadable = lines.summed([line(key="a\\b", prompt_tokens=3), line(1, key="a\\b", prompt_tokens=4)], {})
    text = store.copied(rows, "gateway1")
    fields = ["2026-11-01T00:00:00+00:00", "gateway1", "a\\\\b", "", "", "chat", "", "answered"]
    assert text == "\t".join([*fields, "2", "7", "0", "0", "0", "0.0", "0.0", "0", "2"]) + "\n\\."
    table = store.partition((2026, 12))
    assert table.startswith("CREATE TABLE IF NOT EXISTS usage.minutes_2026_12 PARTITION OF usage.minutes")
    assert "FROM ('2026-12-01 00:00+00') TO ('2027-01-01 00:00+00')" in table


class Psql:
    """Answers by words of the SQL that it gets."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = {"to_regclass": "t", "max(number)": str(len(schema.STEPS)), "SELECT file": "\t0"}
        self.problem: Any = None

    def __call__(self, argv: list[str], **given: Any) -> Any:
        sql = given["input"].decode()
        self.asked.append(sql)
        if isinstance(self.problem, Exception):
            raise self.problem
        if self.problem:
            return SimpleNamespace(returncode=3, stdout=b"", stderr=self.problem.encode())
        told = next((answer for word, answer in self.answers.items() if word in sql), "")
        return SimpleNamespace(returncode=0, stdout=told.encode() + b"\n" if told else b"", stderr=b"")


@pytest.fixture
def psql(monkeypatch: pytest.MonkeyPatch) -> Psql:
    stand_in = Psql()
    monkeypatch.setattr(store, "subprocess", SimpleNamespace(run=stand_in, TimeoutExpired=subprocess.TimeoutExpired))
    return stand_in


def settings(tmp_path: Path, **changed: Any) -> dict[str, Any]:
    place = {"spool": f"{tmp_path}/usage.jsonl", "gateway": "it's", "psql": "/psql", "environment": {}}
    return {**place, "prices": {}, "interval": 0.01, "months": 0, "told": f"{tmp_path}/position.json", **changed}


def test_tables_are_made_where_they_are_missing(psql: Psql) -> None:
    psql.answers.update({"to_regclass": "f", "max(number)": "0"})
    assert store.Store("/psql", {}, "it's").open() == spool.BEGINNING
    made = "\n".join(psql.asked)
    assert "CREATE SCHEMA IF NOT EXISTS usage" in made
    assert "\\if :due" in made
    assert "VALUES ('it''s', '', 0)" in made
    assert "INSERT INTO usage.steps VALUES (1);" in schema.missing(0)


def test_a_piece_is_booked_in_one_transaction(tmp_path: Path, psql: Psql) -> None:
    write(tmp_path / "usage.jsonl", 1, 2)
    book = usage.Book(settings(tmp_path))
    assert book.turn()
    piece = psql.asked[-1]
    assert piece.startswith("BEGIN;\nSELECT usage.advance('it''s', '', 0, ")
    assert piece.endswith("COMMIT;")
    assert any("minutes_2026_11" in sql for sql in psql.asked)
    count = len(psql.asked)
    # Nothing is new, and then a line is; its month has a table.
    assert not book.turn()
    assert not book.turn()
    assert len(psql.asked) == count
    write(tmp_path / "usage.jsonl", 3)
    assert book.turn()
    assert len(psql.asked) == count + 1
    (tmp_path / "usage.jsonl").unlink()
    assert not book.turn()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("psql:<stdin>:3: ERROR:  no", "line 3: ERROR:  no"),
        (subprocess.TimeoutExpired("psql", 1), "TimeoutExpired"),
        (FileNotFoundError(), "FileNotFoundError"),
    ],
)
def test_a_database_that_is_away_is_met_again(
    problem: Any, words: str, tmp_path: Path, psql: Psql, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "usage.jsonl", 1)
    book = usage.Book(settings(tmp_path))
    psql.problem = problem
    assert not book.turn()
    assert not book.turn()
    assert words in caplog.text
    assert caplog.text.count("not booked now") == 1
    psql.problem = None
    assert book.turn()
    assert "booked again" in caplog.text


def test_a_database_that_was_restored_is_noticed(tmp_path: Path, psql: Psql, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "usage.jsonl", 1, 2)
    book = usage.Book(settings(tmp_path))
    assert book.turn()
    assert not book.turn()
    monkeypatch.setattr(usage, "OPEN_SECONDS", 0.0)
    asked = len(psql.asked)
    # Its answer is the beginning of the log, as that of a backup would be.
    assert book.turn()
    assert any("usage.advance(" in sql and "'', 0," in sql for sql in psql.asked[asked:])


def test_lines_behind_a_place_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "usage.jsonl.1", 1, 2, 3)
    write(tmp_path / "usage.jsonl", 4, 5)
    (tmp_path / "usage.json").write_text(json.dumps(settings(tmp_path)))
    place = spool.read(str(tmp_path / "usage.jsonl"), spool.BEGINNING, len(line(1)) + 1).position
    for position, expected in ((place, 4), (spool.BEGINNING, 5), (spool.Position("gone", 9), 5)):
        argv = ["usage_behind.py", str(tmp_path / "usage.json"), position.file, str(position.offset)]
        monkeypatch.setattr(sys, "argv", argv)
        behind.main()
        assert capsys.readouterr().out == f"{expected}\n"


def test_the_gate_is_told_how_far_its_log_is_booked(tmp_path: Path, psql: Psql, caplog: Any) -> None:
    write(tmp_path / "usage.jsonl", 1)
    book = usage.Book(settings(tmp_path))
    assert book.turn()
    told = json.loads((tmp_path / "position.json").read_text())
    first = hashlib.sha256(line(1)).hexdigest()
    assert (told["file"], told["offset"]) == (first, len(line(1)) + 1)
    assert abs(told["time"] - time.time()) < 60
    # What fails says so once, and books on.
    missing = usage.Book(settings(tmp_path, told="/nowhere/position.json"))
    assert missing.turn()
    assert not missing.turn()
    assert caplog.text.count("cannot be told in /nowhere/position.json") == 1


def test_tables_of_a_newer_program_are_left_alone(tmp_path: Path, psql: Psql, caplog: pytest.LogCaptureFixture) -> None:
    psql.answers["max(number)"] = "99"
    assert not usage.Book(settings(tmp_path)).turn()
    assert "its tables are of step 99" in caplog.text


def test_what_cannot_be_read_is_told(tmp_path: Path, psql: Psql, caplog: pytest.LogCaptureFixture) -> None:
    psql.answers["SELECT file"] = "gone\t7"
    (tmp_path / "usage.jsonl").write_bytes(b"broken\n")
    assert usage.Book(settings(tmp_path)).turn()
    assert "1 lines of the gate's log cannot be read" in caplog.text
    assert "lines of the oldest are gone" in caplog.text
    (tmp_path / "usage.jsonl").unlink()
    (tmp_path / "usage.jsonl").mkdir()
    assert not usage.Book(settings(tmp_path)).turn()
    assert "the gate's log cannot be read" in caplog.text


def test_old_months_are_dropped(tmp_path: Path, psql: Psql, caplog: pytest.LogCaptureFixture) -> None:
    psql.answers["pg_inherits"] = "minutes_2020_01"
    caplog.set_level(logging.WARNING)
    book = usage.Book(settings(tmp_path, months=3))
    book.turn()
    book.turn()
    assert sum("DROP TABLE IF EXISTS usage.minutes_2020_01;" in sql for sql in psql.asked) == 1
    assert "3 months are kept" in caplog.text


def test_it_ends_by_a_signal(tmp_path: Path, psql: Psql, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "usage.json"
    path.write_text(json.dumps(settings(tmp_path)))
    monkeypatch.setattr(sys, "argv", ["usage.py", str(path)])
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    turns = []

    def turn(_book: Any) -> bool:
        turns.append(1)
        if len(turns) == 3:
            handlers[signal.SIGTERM](signal.SIGTERM, None)
        return len(turns) == 1

    monkeypatch.setattr(usage.Book, "turn", turn)
    usage.main()
    assert len(turns) == 3
