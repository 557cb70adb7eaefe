# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup brings a lost database back on a fresh server, and every line of the gate stays booked once."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.database import restore
from patience import within
from usage_bench import FILES, ROOT, Booking, Gate, Server, booked, program, sums

PROGRAMS = ROOT / "roles" / "postgresql" / "files"
Make = Callable[[str], "Host"]


class Host:
    """A host with a server and what the role postgresql puts beside it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.dumps = folder, folder / "dumps"
        self.dumps.mkdir()
        self.server = Server(folder / "cluster")
        self.server.start()
        settings = {name: program(name) for name in ("psql", "pg_dump", "pg_restore")}
        own = {"socket": str(self.server.folder), "port": 5432, "folder": str(self.dumps), "hours": 24, "days": 14}
        names = {"database": "llmfleet", "user": "llmfleet", "backup_user": "backup"}
        (folder / "settings.json").write_text(json.dumps({**settings, **own, **names}))
        self.call("setup", POSTGRESQL_SETUP_PASSWORD="of-the-fleet")
        # The database as the program sees it that books.
        self.usage = copy.copy(self.server)
        self.usage.environment = {**self.server.environment, "PGDATABASE": "llmfleet", "PGUSER": "llmfleet"}

    def call(self, name: str, *words: str, user: str = "fleet", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the role."""
        argv = [sys.executable, "-B", str(PROGRAMS / f"postgresql_{name}.py"), str(self.folder / "settings.json")]
        environment = {**os.environ, "PGUSER": user, **more}
        return subprocess.run([*argv, *words], env=environment, capture_output=True, text=True, check=False)

    def backup(self) -> Path:
        """Dump the database, as the user who may read alone."""
        done = self.call("backup", "now", user="backup")
        assert done.returncode == 0, done.stderr
        (name,) = done.stdout.split()
        return self.dumps / name

    def look(self, dump: Path, booking: Booking) -> list[str]:
        """Return what a restore of a dump would lose."""
        done = self.call("restore", "look", str(dump))
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        place = seen["places"]["gateway1"]
        argv = [sys.executable, "-B", str(FILES / "usage_behind.py"), str(booking.folder / "usage.json")]
        argv += [place["file"], str(place["offset"])]
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        found = restore.problems(seen, {"gateway1": int(lines)}, [], "llmfleet")
        return [problem.problem for problem in found]


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory, cluster: Server) -> Iterator[Make]:
    """Make hosts, whose servers end with the test; the folder of the shared one can be reached by its user."""
    made: list[Host] = []

    def of_name(name: str) -> Host:
        made.append(Host(cluster.folder.parent / f"{tmp_path_factory.mktemp('host').name}-{name}"))
        made[-1].folder.chmod(0o755)
        return made[-1]

    yield of_name
    for host in made:
        host.server.end(signal.SIGKILL)


def test_a_backup_on_a_fresh_server_and_the_log_are_all_that_was_used(
    tmp_path: Path, make: Make, book: Callable[..., Booking]
) -> None:
    """The server and its data are gone; the program has begun to book in the fresh one, and the gate goes on."""
    gate, lost = Gate(tmp_path, most_bytes=200_000, most_files=400), make("lost")
    gate.write(2000)
    booking = book(gate.path, of=lost.usage)
    booking.start()
    booked(lost.usage, gate)
    dump = lost.backup()
    assert dump.stat().st_mode & 0o777 == 0o600
    assert subprocess.run(["sha256sum", "--check", f"{dump}.sha256"], cwd=dump.parent, check=False).returncode == 0
    gate.write(1500)
    booked(lost.usage, gate)
    by_key = "SELECT key, model, sum(prompt_tokens) FROM usage.minutes GROUP BY 1, 2 ORDER BY 1, 2;"
    was = lost.usage.ask(by_key)
    lost.server.end(signal.SIGKILL)
    booking.end()

    fresh = make("fresh")
    again = book(gate.path, of=fresh.usage)
    again.start()
    booked(fresh.usage, gate)
    assert fresh.look(dump, again) == []
    stopped = threading.Event()
    writer = threading.Thread(target=lambda: [gate.write(5) for _turn in iter(lambda: stopped.wait(0.02), True)])
    writer.start()
    done = fresh.call("restore", "restore", str(dump))
    stopped.set()
    writer.join()
    assert done.returncode == 0, done.stderr
    gate.write(1)
    booked(fresh.usage, gate)
    lines = fresh.usage.ask("SELECT lines, missed FROM usage.positions;")
    assert lines == [[str(gate.requests), "0"]]
    assert [row[:2] for row in fresh.usage.ask(by_key)] == [row[:2] for row in was]
    names = fresh.server.ask("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1;")
    assert names == [["llmfleet"], ["postgres"]]
    assert fresh.backup().exists()


def test_what_is_in_neither_backup_nor_log_is_told(tmp_path: Path, make: Make, book: Callable[..., Booking]) -> None:
    gate, host = Gate(tmp_path, most_bytes=20_000, most_files=3), make("one")
    gate.write(50)
    booking = book(gate.path, of=host.usage)
    booking.start()
    booked(host.usage, gate)
    dump = host.backup()
    assert host.look(dump, booking) == []
    for _turn in range(100):
        gate.write(10)
        booked(host.usage, gate)
    left = sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("usage.jsonl*"))
    (told,) = host.look(dump, booking)
    assert f"{gate.requests - 50 - left} requests of gateway1 are booked that are neither in the backup" in told
    assert host.look(host.backup(), booking) == []


def test_a_program_that_is_idle_notices_a_restore(
    tmp_path: Path, make: Make, book: Callable[..., Booking], monkeypatch: Any
) -> None:
    """Nobody writes a line after the restore; the lines behind the backup are booked all the same."""
    gate, host = Gate(tmp_path), make("idle")
    gate.write(100)
    booking = book(gate.path, of=host.usage)
    source = booking.folder / "usage.py"
    source.write_text(source.read_text().replace("OPEN_SECONDS = 60.0", "OPEN_SECONDS = 1.0"))
    booking.start()
    booked(host.usage, gate)
    dump = host.backup()
    gate.write(100)
    booked(host.usage, gate)
    assert host.call("restore", "restore", str(dump)).returncode == 0
    within(10, lambda: sums(host.usage)[0] == 200, "the lines behind the backup are booked again")


def test_a_dump_that_was_changed_or_cut_is_refused(tmp_path: Path, make: Make, book: Callable[..., Booking]) -> None:
    gate, host = Gate(tmp_path), make("cut")
    assert host.call("backup", "now", user="backup").stdout.split() == [], "a database without tables needs no dump"
    gate.write(20)
    book(gate.path, of=host.usage).start()
    booked(host.usage, gate)
    dump = host.backup()
    kept = dump.read_bytes()
    dump.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert "its sum is not that of" in host.call("restore", "look", str(dump)).stderr
    dump.with_name(f"{dump.name}.sha256").unlink()
    assert "is not beside the dump" in host.call("restore", "restore", str(dump)).stderr
    assert sums(host.usage)[0] == 20
    refused = copy.copy(host.usage)
    refused.environment = {**host.usage.environment, "PGUSER": "backup"}
    with pytest.raises(subprocess.CalledProcessError):
        refused.ask("DELETE FROM usage.minutes;")


def test_a_backup_that_is_killed_leaves_no_dump_and_old_ones_go(
    tmp_path: Path, make: Make, book: Callable[..., Booking]
) -> None:
    gate, host = Gate(tmp_path), make("killed")
    gate.write(20)
    book(gate.path, of=host.usage).start()
    booked(host.usage, gate)
    argv = [sys.executable, "-B", str(PROGRAMS / "postgresql_backup.py"), str(host.folder / "settings.json"), "now"]
    for seconds in (0.1, 0.2, 0.3, 0.4):
        running = subprocess.Popen(argv, env={**os.environ, "PGUSER": "backup"}, start_new_session=True)
        time.sleep(seconds)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        for dump in host.dumps.glob("*.dump"):
            assert (
                subprocess.run(["sha256sum", "--check", f"{dump}.sha256"], cwd=host.dumps, check=False).returncode == 0
            )
    old = host.backup().rename(host.dumps / "llmfleet-20200101T000000Z.dump")
    time.sleep(1)
    host.backup()
    assert not old.exists()
    assert not [*host.dumps.glob(".*.part")]
    assert len([*host.dumps.glob("*.sha256")]) == len([*host.dumps.glob("*.dump")])
