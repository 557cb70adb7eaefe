# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that write dumps and bring them back, with stand-ins for those of PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "postgresql" / "files"
sys.path.insert(0, str(FILES))
backup = load_file(FILES / "postgresql_backup.py")
restore = load_file(FILES / "postgresql_restore.py")
NOW = 1795860000.0
COPIED = """SET x = y;
COPY usage.positions (gateway, file, "offset", booked, lines, unreadable, missed) FROM stdin;
gateway1\tabc\t120\t2026-11-28 06:00:00+00\t7\t0\t0
gateway2\t\t0\t2026-11-28 06:00:00+00\t0\t0\t0
\\.
nothing\tmore
"""
# It answers each question with the lines of the file that is named after the first word that the question has.
PSQL = """#!/usr/bin/env python3
import os, sys
from pathlib import Path
sql, folder = sys.stdin.read(), Path(sys.argv[0]).parent
with open(folder / "asked", "a") as file: file.write(f"{os.environ.get('PGDATABASE', '')}: {sql}\\n")
for path in sorted(folder.glob("answer-*")):
    word = path.name.removeprefix("answer-")
    if word in sql or word == os.environ.get("PGDATABASE"):
        text = path.read_text()
        if text.startswith("fail"): sys.exit(text)
        print(text); break
"""
DUMP = "#!/bin/sh\n[ ! -e \"$(dirname $0)/broken\" ] || { echo 'no rights' >&2; exit 1; }\necho dumped $PGDATABASE\n"
UNPACK = '#!/bin/sh\n[ ! -e "$(dirname $0)/unreadable" ] || exit 1\ncat "$(dirname $0)/copied" 2>/dev/null || :\n'


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Settings whose programs are stand-ins."""
    for name, text in (("psql", PSQL), ("pg_dump", DUMP), ("pg_restore", UNPACK)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "dumps").mkdir()
    (tmp_path / "answer-FROM pg_database").write_text("llmfleet\nllmfleet_restored")
    (tmp_path / "answer-pg_class").write_text("3")
    (tmp_path / "copied").write_text(COPIED)
    programs = {name: str(tmp_path / name) for name in ("psql", "pg_dump", "pg_restore")}
    own = {"socket": "/run", "port": 5432, "folder": str(tmp_path / "dumps"), "hours": 24, "days": 14}
    return {**programs, **own, "user": "llmfleet", "backup_user": "backup"}


def test_a_name_tells_the_database_and_the_time() -> None:
    name = backup.name_of("a-b/c d", NOW)
    assert name == "a-b%2Fc d-20261128T100000Z.dump"
    assert backup.parts_of(name) == ("a-b/c d", NOW)
    assert backup.parts_of(f"{name}.sha256") is None


def test_old_dumps_go_but_the_newest_of_each_database() -> None:
    days = {age: backup.name_of("usage", NOW - age * 86400) for age in (1, 13, 15, 40)}
    other = [backup.name_of("chats", NOW - age * 86400) for age in (20, 30)]
    assert sorted(backup.too_old([*days.values(), *other, "notes"], 14, NOW)) == sorted([days[15], days[40], other[1]])


def test_a_dump_is_whole_with_its_sum_and_due_once(tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / "dumps" / ".old.part").touch()
    (tmp_path / "dumps" / "gone-20200101T000000Z.dump.sha256").touch()
    writer = backup.Backup(settings)
    (name,) = writer.turn()
    text = (tmp_path / "dumps" / name).read_bytes()
    assert text == b"dumped llmfleet\n"
    assert (tmp_path / "dumps" / f"{name}.sha256").read_text() == f"{hashlib.sha256(text).hexdigest()}  {name}\n"
    assert sorted(path.name for path in (tmp_path / "dumps").iterdir()) == [".lock", name, f"{name}.sha256"]
    assert writer.turn() == []
    assert writer.due(time.time() + 90000) == ["llmfleet"]


@pytest.mark.parametrize(
    ("broken", "told"), [("broken", "llmfleet: no rights"), ("unreadable", "llmfleet: pg_restore cannot read the dump")]
)
def test_what_was_not_dumped_is_told(broken: str, told: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    (tmp_path / broken).touch()
    with pytest.raises(backup.BackupError, match=told):
        backup.Backup(settings).turn()
    assert [path.name for path in (tmp_path / "dumps").iterdir()] == [".lock"]


def test_the_program_dumps_once_or_until_it_is_stopped(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: Any, capsys: Any, caplog: Any
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(settings))
    monkeypatch.setattr(sys, "argv", ["postgresql_backup.py", str(path), "now"])
    backup.main()
    assert capsys.readouterr().out.startswith("llmfleet-")
    (tmp_path / "answer-FROM pg_database").write_text("fail")
    with pytest.raises(SystemExit, match="not dumped: fail"):
        backup.main()
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(backup.signal, "signal", handlers.__setitem__)

    class Event:
        """An event whose first waiter gets the signal."""

        stopped = False

        def is_set(self) -> bool:
            return self.stopped

        def set(self) -> None:
            self.stopped = True

        def wait(self, _seconds: float) -> None:
            handlers[signal.SIGTERM](signal.SIGTERM, None)

    monkeypatch.setattr(backup.threading, "Event", Event)
    monkeypatch.setattr(sys, "argv", ["postgresql_backup.py", str(path)])
    backup.main()
    assert "not dumped, and tried again: fail" in caplog.text


def dump_in(folder: Path) -> Path:
    """Write a dump with its sum."""
    path = folder / "dumps" / "llmfleet-20261128T100000Z.dump"
    path.write_text("dumped")
    path.with_name(f"{path.name}.sha256").write_text(f"{hashlib.sha256(b'dumped').hexdigest()}  {path.name}\n")
    return path


def test_places_are_read_from_the_dump() -> None:
    assert restore.places(COPIED) == {
        "gateway1": {"file": "abc", "offset": 120, "lines": 7},
        "gateway2": {"file": "", "offset": 0, "lines": 0},
    }
    assert restore.places("") == {}


def test_a_look_tells_what_is_there(tmp_path: Path, settings: dict[str, Any], monkeypatch: Any, capsys: Any) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "answer-FROM pg_database").write_text("1")
    (tmp_path / "answer-to_regclass").write_text("t")
    (tmp_path / "answer-json_object_agg").write_text('{"gateway1": 9}')
    words = ["postgresql_restore.py", str(tmp_path / "settings.json"), "look", str(dump_in(tmp_path))]
    monkeypatch.setattr(sys, "argv", words)
    restore.main()
    seen = json.loads(capsys.readouterr().out)
    assert (seen["database"], seen["taken"], seen["tables"]) == ("llmfleet", "2026-11-28T10:00:00Z", 3)
    assert (seen["present"], seen["places"]["gateway1"]["lines"]) == ({"gateway1": 9}, 7)


def test_a_restore_takes_the_place_in_one_transaction(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: Any
) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "answer-FROM pg_database").write_text("llmfleet")
    words = ["postgresql_restore.py", str(tmp_path / "settings.json"), "restore", str(dump_in(tmp_path))]
    monkeypatch.setattr(sys, "argv", words)
    restore.main()
    asked = (tmp_path / "asked").read_text()
    moved = 'ALTER DATABASE "llmfleet" RENAME TO "llmfleet_replaced";'
    assert f'BEGIN;\n{moved}\nALTER DATABASE "llmfleet_restored" RENAME TO "llmfleet";\nCOMMIT;' in asked
    assert asked.index("REVOKE ALL") < asked.index("ANALYZE") < asked.index("ALLOW_CONNECTIONS false")
    (tmp_path / "asked").unlink()
    (tmp_path / "answer-FROM pg_database").unlink()
    restore.main()
    assert "ALLOW_CONNECTIONS" not in (tmp_path / "asked").read_text()


def test_connections_that_do_not_end_leave_the_database_as_it_was(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: Any
) -> None:
    (tmp_path / "answer-pg_terminate_backend").write_text("t")
    (tmp_path / "answer-FROM pg_database").write_text("1")
    monkeypatch.setattr(restore, "SECONDS_TO_END", 0)
    with pytest.raises(SystemExit, match="do not end; it is as it was"):
        restore.replace(restore.Server(settings), "llmfleet", "new", "aside")
    assert "ALLOW_CONNECTIONS true" in (tmp_path / "asked").read_text()


def test_a_dump_without_its_sum_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = dump_in(tmp_path)
    path.write_text("changed")
    with pytest.raises(SystemExit, match="its sum is not that of"):
        restore.checked(path)
    path.with_name(f"{path.name}.sha256").unlink()
    with pytest.raises(SystemExit, match="is not beside the dump"):
        restore.checked(path)
    with pytest.raises(SystemExit, match="a dump is named DATABASE-TIME"):
        restore.checked(tmp_path / "psql")
    (tmp_path / "unreadable").touch()
    with pytest.raises(SystemExit, match="pg_restore: it failed"):
        restore.Server(settings).unpack([])
