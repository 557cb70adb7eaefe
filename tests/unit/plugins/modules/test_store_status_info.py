# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stores of a host tell of themselves, with stand-ins for psql and the server of the cache."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import store_status_info
from module_runner import run_module

FIRST = b'{"time": 1}\n'


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(**more: Any) -> list[dict[str, Any]]:
        roots = {"config_root": str(tmp_path / "etc"), "state_root": str(tmp_path / "state")}
        result = run_module(store_status_info.main, {**roots, **more}, monkeypatch, capsys)
        assert result["changed"] is False
        stores: list[dict[str, Any]] = result["stores"]
        return stores

    return call


def test_a_host_without_stores_has_no_rows(asked: Any) -> None:
    assert asked() == []


def test_the_database_tells_version_and_size_and_files_the_newest_dump(tmp_path: Path, asked: Any) -> None:
    folder, dumps = tmp_path / "etc" / "postgresql-backup", tmp_path / "dumps"
    dumps.mkdir()
    for name in ("a-20261127T060000Z.dump", "a-20261128T060501Z.dump", "a-20261128T060501Z.dump.sha256", "x"):
        (dumps / name).touch()
    (dumps / ".a-20261129T060501Z.dump.part").touch()
    beside = program(folder / "beside", 'shift; exec "$@"')
    psql = program(tmp_path / "psql", "printf '15.14 (Debian 15.14-0+deb12u1)\\t8123456\\n'")
    settings = {"psql": psql, "socket": "/nowhere", "port": 5432, "folder": str(dumps)}
    (folder / "backup.json").write_text(json.dumps(settings))
    (row,) = asked()
    assert row == {
        "name": "postgresql",
        "version": "15.14",
        "bytes": 8123456,
        "backup": "2026-11-28T06:05:01Z",
        "unbooked_bytes": None,
        "booked": None,
        "problem": "",
    }
    program(Path(psql), "echo 'connection refused' >&2; exit 2")
    (row,) = asked()
    assert (row["version"], row["bytes"], row["backup"]) == (None, None, "2026-11-28T06:05:01Z")
    assert row["problem"] == "ended with status 2 connection refused"
    settings["folder"] = "/nowhere"
    (folder / "backup.json").write_text(json.dumps(settings))
    assert asked()[0]["backup"] is None
    assert Path(beside).exists()


def test_the_cache_tells_its_version_and_files_its_size(tmp_path: Path, asked: Any) -> None:
    (tmp_path / "etc" / "valkey").mkdir(parents=True)
    (tmp_path / "etc" / "valkey" / "valkey.conf").touch()
    (tmp_path / "state" / "valkey" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "state" / "valkey" / "appendonlydir" / "one").write_bytes(b"x" * 700)
    server = program(tmp_path / "server", "echo 'Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64'")
    (row,) = asked(cache_program=server)
    assert (row["name"], row["version"], row["bytes"], row["problem"]) == ("valkey", "7.0.15", 700, "")
    assert asked()[0]["version"] is None


def test_how_far_usage_is_booked(tmp_path: Path, asked: Any) -> None:
    log = tmp_path / "usage.jsonl"
    (tmp_path / "etc" / "usage").mkdir(parents=True)
    (tmp_path / "etc" / "usage" / "usage.json").write_text(json.dumps({"spool": str(log)}))
    assert asked()[0]["problem"] == "nothing has been booked yet"
    log.write_bytes(FIRST + b'{"time": 2}\n')
    (tmp_path / "booked").mkdir()
    told = {"file": hashlib.sha256(FIRST.strip()).hexdigest(), "offset": len(FIRST), "time": 1793491200.5}
    (tmp_path / "booked" / "position.json").write_text(json.dumps(told))
    (row,) = asked()
    assert (row["name"], row["unbooked_bytes"], row["booked"]) == ("usage", 12, "2026-11-01T00:00:00Z")
