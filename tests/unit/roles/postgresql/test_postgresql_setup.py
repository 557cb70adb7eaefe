# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that creates the user and the database: what the server gets of a password, and what is changed when."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from load_file import load_file

setup = load_file(Path(__file__).resolve().parents[4] / "roles" / "postgresql" / "files" / "postgresql_setup.py")
# What PostgreSQL itself keeps of the password and the salt of RFC 7677.
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
KEYS = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
KEPT = f"SCRAM-SHA-256$4096:{SALT}${KEYS}"


def test_the_verifier_is_that_of_postgresql() -> None:
    assert setup.verifier("pencil", base64.b64decode(SALT)) == KEPT
    assert setup.is_of(KEPT, "pencil")
    assert not setup.is_of(KEPT, "pencils")
    assert not setup.is_of("md5abc", "pencil")


class Psql:
    """A server with a user and databases."""

    def __init__(self, kept: str | None, database: bool) -> None:
        self.kept, self.database, self.asked = kept, database, ""

    def __call__(self, argv: list[str], **given: Any) -> Any:
        sql = given["input"]
        self.asked += sql
        told = ""
        if "pg_authid" in sql and self.kept is not None:
            told = f"kept={self.kept}"
        if "pg_database" in sql and self.database:
            told = "1"
        if "fail" in sql:
            return SimpleNamespace(returncode=1, stdout="", stderr="ERROR: no")
        return SimpleNamespace(returncode=0, stdout=told + "\n", stderr="")


def made(psql: Psql, monkeypatch: pytest.MonkeyPatch, user: str = "it's") -> list[str]:
    monkeypatch.setattr(setup, "subprocess", SimpleNamespace(run=psql))
    server = setup.Server({"psql": "/psql", "socket": "/run", "port": 5432})
    return list(setup.create(server, user, 'a"b', "pencil"))


def test_what_is_missing_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = Psql(None, False)
    assert made(psql, monkeypatch) == ["created the user it's", 'created the database a"b']
    assert "CREATE ROLE \"it's\" LOGIN PASSWORD 'SCRAM-SHA-256$4096:" in psql.asked
    assert "rolname = 'it''s'" in psql.asked
    assert 'CREATE DATABASE "a""b" OWNER' in psql.asked
    assert "pencil" not in psql.asked


def test_another_password_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = Psql("", True)
    assert made(psql, monkeypatch) == ["changed the password of the user it's"]
    assert "ALTER ROLE" in psql.asked


def test_a_second_run_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = Psql(KEPT, True)
    assert made(psql, monkeypatch) == []
    assert "ROLE" not in psql.asked


def test_an_error_of_the_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="PostgreSQL: ERROR: no"):
        made(Psql(None, False), monkeypatch, user="fail")


def test_it_prints_what_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "setup.json"
    settings = {"psql": "/psql", "socket": "/run", "port": 1, "user": "u", "database": "d", "backup_user": "b"}
    settings["exporter_user"] = "e"
    path.write_text(json.dumps(settings))
    monkeypatch.setattr(sys, "argv", ["postgresql_setup.py", str(path)])
    monkeypatch.setenv("POSTGRESQL_SETUP_PASSWORD", "pencil")
    monkeypatch.setattr(setup, "subprocess", SimpleNamespace(run=Psql(None, True)))
    setup.main()
    # The stand-in names one database, which is called 1.
    lines = ["created the user u", "created the user b", "let the user b read the database 1", "created the user e"]
    assert capsys.readouterr().out.splitlines() == lines
