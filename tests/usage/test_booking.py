# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every line of the gate is booked once and only once, whatever ends meanwhile."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gate_booked
import pytest
from patience import within
from usage_bench import PRICES, Booking, Gate, Server, booked, sums

Make = Callable[..., Booking]


def test_lines_are_summed_by_minute(tmp_path: Path, server: Server, book: Make) -> None:
    gate = Gate(tmp_path)
    gate.write(500)
    book(gate.path).start()
    booked(server, gate)
    # 500 requests at four a second are in three minutes.
    assert server.ask("SELECT count(DISTINCT minute) FROM usage.minutes;") == [["3"]]
    assert server.ask("SELECT DISTINCT key FROM usage.minutes WHERE key LIKE 'it%';") == [["it's\\"]]
    cost = server.ask(
        "SELECT sum(cost) = sum(prompt_tokens) * 0.000001 + sum(completion_tokens) * 0.000004 FROM usage.minutes"
        " WHERE model = 'chat';"
    )
    assert cost == [["t"]], PRICES
    assert server.ask("SELECT sum(cost) FROM usage.minutes WHERE model = 'guide';") == [["0"]]
    months = server.ask("SELECT month, sum(requests) FROM usage.months GROUP BY 1;")
    assert months == [["2026-11-01", "500"]]
    assert server.ask("SELECT sum(first_requests), sum(seconds) FROM usage.days;") == [["250", "750"]]


def test_kill_9_of_the_program_and_of_the_server(tmp_path: Path, server: Server, book: Make) -> None:
    """Twenty times, ten of them of the server too, while lines are written; some kills hit psql or a commit."""
    gate, booking = Gate(tmp_path, most_bytes=200_000, most_files=400), book(f"{tmp_path}/usage.jsonl")
    stopped = threading.Event()

    def write() -> None:
        while not stopped.is_set():
            gate.write(20)
            time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    chance, progress, pace = random.Random(3), set(), 1.0
    try:
        for turn in range(20):
            booking.start()
            time.sleep(pace * chance.uniform(0.2, 1.0))
            if turn % 2:
                server.end(signal.SIGKILL)
                server.start()
            booking.end(signal.SIGKILL)
            done = sums(server)[0]
            # A machine on which it was killed before it began gets more time.
            pace = min(pace * 1.5, 5.0) if done in progress else pace
            progress.add(done)
    finally:
        stopped.set()
        writer.join()
    # It was killed in the middle of its work, and not before it began.
    assert len(progress) > 5
    booking.start()
    booked(server, gate)
    assert server.ask("SELECT lines, unreadable, missed FROM usage.positions;") == [[str(gate.requests), "0", "0"]]


def test_the_log_is_the_spool_while_the_server_is_away(tmp_path: Path, server: Server, book: Make) -> None:
    gate, booking = Gate(tmp_path, most_bytes=100_000), book(f"{tmp_path}/usage.jsonl")
    gate.write(200)
    booking.start()
    booked(server, gate)
    server.end()
    # It begins ten files meanwhile.
    gate.write(4000)
    within(10, lambda: "not booked now" in booking.said(), "the program says that it cannot book")
    behind, when = gate_booked.lag(gate.path, 64) or (0, 0.0)
    assert 900_000 < behind < sum(path.stat().st_size for path in tmp_path.glob("usage.jsonl*"))
    assert 0 < time.time() - when < 60
    server.start()
    booked(server, gate)
    within(5, lambda: (gate_booked.lag(gate.path, 64) or (1,))[0] == 0, "the gate knows that all is booked")
    within(5, lambda: "booked again" in booking.said(), "the program says that it books again")
    assert booking.said().count("not booked now") <= 2
    assert booking.end() == 0


def test_two_gateways_and_two_programs_of_one(tmp_path: Path, server: Server, book: Make) -> None:
    """Two programs of one gateway get in each other's way, and book nothing twice."""
    gates = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gates.append(Gate(tmp_path / name))
        gates[-1].write(3000)
    for path, gateway in ((gates[0].path, "a"), (gates[1].path, "b"), (gates[1].path, "b")):
        book(path, gateway=gateway).start()
    for _turn in range(20):
        for gate in gates:
            gate.write(50)
        time.sleep(0.05)
    booked(server, *gates)
    time.sleep(0.5)
    booked(server, *gates)


def test_lines_that_are_gone_are_told(tmp_path: Path, server: Server, book: Make) -> None:
    gate, booking = Gate(tmp_path, most_bytes=20_000, most_files=3), book(f"{tmp_path}/usage.jsonl")
    gate.write(50)
    booking.start()
    booked(server, gate)
    booking.end()
    gate.write(1000)
    left = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("usage.jsonl*"))
    booking.start()
    within(10, lambda: sums(server)[0] == 50 + left, "what is left is booked")
    assert server.ask("SELECT missed FROM usage.positions;") == [["1"]]
    assert "are gone" in booking.said()


def test_a_line_that_is_none_is_counted(tmp_path: Path, server: Server, book: Make) -> None:
    gate = Gate(tmp_path)
    gate.write(10)
    gate.write_text(b'broken\n[1]\n{"time": 1e400, "status": 200}\n{"half')
    book(gate.path).start()
    booked(server, gate)
    assert server.ask("SELECT lines, unreadable FROM usage.positions;") == [["13", "3"]]


def test_months_that_are_not_kept_are_dropped(tmp_path: Path, server: Server, book: Make) -> None:
    gate = Gate(tmp_path)
    gate.write(10, start=time.time() - 400 * 86400)
    gate.write(10, start=time.time())
    booking = book(gate.path)
    booking.start()
    booked(server, gate)
    booking.end()
    later = book(gate.path, months=2)
    later.start()
    within(10, lambda: sums(server)[0] == 10, "the older month is dropped")
    assert "2 months are kept" in later.said()


def test_a_newer_program_made_the_tables(tmp_path: Path, server: Server, book: Make) -> None:
    gate = Gate(tmp_path)
    gate.write(10)
    first = book(gate.path)
    first.start()
    booked(server, gate)
    first.end()
    server.ask("INSERT INTO usage.steps VALUES (99);")
    second = book(gate.path)
    second.start()
    within(10, lambda: "step 99" in second.said(), "it says that it does not know the tables")


@pytest.mark.parametrize("form", ["rows", "budgets"])
def test_the_report_of_the_database_is_that_of_the_log(
    form: str, tmp_path: Path, server: Server, book: Make, monkeypatch: Any, capsys: Any
) -> None:
    from ansible_collections.llmfleet.serving.plugins.modules import usage_info
    from module_runner import run_module

    gate, booking = Gate(tmp_path, most_bytes=50_000), book(f"{tmp_path}/usage.jsonl")
    gate.write(800)
    booking.start()
    booked(server, gate)

    budget = {"amount": 100, "per": "month"}
    keys = {"keys": [{"alias": name, "budget": budget} for name in ("team-a", "nobody")]}
    known = {"keys.json": keys, "gate.json": {"models": [{"name": "chat", "budget": budget}]}}
    for name, document in known.items():
        (tmp_path / name).write_text(json.dumps(document))
    # The lines are of November 2026.
    monkeypatch.setattr(usage_info.time, "time", lambda: 1793491200 + 86400)

    def report(settings: str, **more: Any) -> Any:
        params = {"by": ["key", "month", "outcome"], "log": gate.path, "prices": PRICES, "settings": settings, **more}
        params["gate"] = str(tmp_path)
        return run_module(usage_info.main, {**params, "_ansible_remote_tmp": "/tmp"}, monkeypatch, capsys)

    from_log, from_database = report("/nowhere"), report(f"{booking.folder}/usage.json")
    assert (from_log["source"], from_database["source"]) == ("log", "database")
    assert from_log[form] == from_database[form]
    assert sum(row["requests"] for row in from_log["rows"]) == 800
    assert [one["spent"] != "0" for one in from_log["budgets"]] == [False, True, True]
    assert report(f"{booking.folder}/usage.json", month="2026-10")["rows"] == []
    assert report(f"{booking.folder}/usage.json", by=[])["rows"] == report("/nowhere", by=[])["rows"]
    server.end()
    failed = report(f"{booking.folder}/usage.json")
    assert failed["failed"]
    assert "llm-postgresql" in failed["msg"]
    with pytest.raises(subprocess.CalledProcessError):
        server.ask("SELECT 1;")


@pytest.mark.slow
def test_the_report_of_a_month_with_a_million_minutes(server: Server, tmp_path: Path, book: Make) -> None:
    """A million rows in a month: 40 000 minutes of 25 keys; the sizes are printed."""
    from ansible_collections.llmfleet.serving.plugins.module_utils.usage import report

    gate = Gate(tmp_path)
    gate.write(10)
    book(gate.path).start()
    booked(server, gate)
    server.ask(
        "INSERT INTO usage.minutes SELECT '2026-11-01 00:00+00'::timestamptz + minute * interval '1 minute', 'b',"
        " 'team-' || key, 'team', '', 'chat', '', 'answered', 3, 3000, 600, 1000, 0.0054, 12.5, 1.5, 3, 0"
        " FROM generate_series(0, 39999) AS minute, generate_series(1, 25) AS key; ANALYZE usage.minutes;"
    )
    for by in (["key", "model"], ["team", "day"], ["month"]):
        began = time.monotonic()
        rows = server.ask(report.query(by, "2026-11"))
        seconds = time.monotonic() - began
        print(f"by {', '.join(by)}: {len(rows)} rows in {seconds:.2f} s")
        assert seconds < 2
    sizes = "pg_size_pretty(pg_table_size(t)), pg_size_pretty(pg_indexes_size(t))"
    print("table and index:", server.ask(f"SELECT {sizes} FROM (SELECT 'usage.minutes_2026_11'::regclass AS t) AS t;"))
