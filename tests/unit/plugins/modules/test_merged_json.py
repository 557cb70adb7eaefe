# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module merged_json on real files: check mode, diff, for real, again, and back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import merged_json
from module_runner import run_module

VALUES = {"registry-mirrors": ["https://ours"], "data-root": "/data"}


class Bench:
    """A file, the memory of what is ours of it, and the module."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self.record = root / "etc" / "daemon.json", root / "state" / "record.json"
        self.root, self.monkeypatch, self.capsys = root, monkeypatch, capsys

    def run(self, check: bool = False, **params: Any) -> dict[str, Any]:
        args = {
            "path": str(self.path),
            "record": str(self.record),
            **params,
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            "_ansible_remote_tmp": str(self.root),
        }
        return run_module(merged_json.main, args, self.monkeypatch, self.capsys)

    def put(self, text: str, mode: int = 0o640) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text)
        self.path.chmod(mode)

    def says(self) -> Any:
        return json.loads(self.path.read_text())

    def mode(self) -> int:
        return self.path.stat().st_mode & 0o7777


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, monkeypatch, capsys)


def test_where_nothing_is(bench: Bench) -> None:
    told = bench.run(check=True, values=VALUES)
    assert told["changed"]
    assert told["diff"]["before"] == ""
    assert not bench.path.parent.exists()
    assert not bench.record.exists()
    done = bench.run(values=VALUES)
    assert done["diff"] == told["diff"]
    assert json.loads(done["diff"]["after"]) == bench.says() == VALUES
    assert bench.mode() == 0o644
    assert bench.record.stat().st_mode & 0o7777 == 0o600
    assert "/data" not in bench.record.read_text()
    stamp = bench.path.stat().st_mtime_ns, bench.record.stat().st_mtime_ns
    assert not bench.run(values=VALUES)["changed"]
    assert not bench.run(check=True, values=VALUES)["changed"]
    assert (bench.path.stat().st_mtime_ns, bench.record.stat().st_mtime_ns) == stamp
    assert bench.run(check=True, state="absent")["changed"]
    assert bench.path.exists()
    assert bench.run(state="absent")["changed"]
    assert not bench.path.exists()
    assert not bench.record.exists()
    assert not bench.run(state="absent")["changed"]


def test_what_others_wrote_stays(bench: Bench) -> None:
    bench.put('{"debug": true, "registry-mirrors": ["https://theirs"]}')
    done = bench.run(values=VALUES, backup=True)
    assert json.loads(Path(done["backup_file"]).read_text())["debug"] is True
    assert bench.says()["registry-mirrors"] == ["https://theirs", "https://ours"]
    assert bench.mode() == 0o640
    assert bench.run(values={"data-root": "/data"})["changed"]
    assert bench.says() == {"debug": True, "registry-mirrors": ["https://theirs"], "data-root": "/data"}
    assert bench.run(state="absent")["changed"]
    assert bench.says() == {"debug": True, "registry-mirrors": ["https://theirs"]}


def test_a_file_of_others_stays_although_nothing_is_in_it(bench: Bench) -> None:
    bench.put("{}")
    bench.run(values=VALUES)
    bench.run(state="absent")
    assert bench.says() == {}


def test_nothing_wanted_makes_nothing(bench: Bench) -> None:
    assert not bench.run()["changed"]
    assert not bench.path.exists()


def test_what_we_made_and_is_wanted_no_more_goes(bench: Bench) -> None:
    bench.run(values=VALUES)
    assert bench.run()["changed"]
    assert not bench.path.exists()


def test_fallback(bench: Bench) -> None:
    fallback = {"log-driver": "local", "log-opts": {"max-size": "10m"}}
    bench.run(values=VALUES, fallback=fallback)
    assert bench.says() == {**fallback, **VALUES}
    assert not bench.run(values=VALUES, fallback=fallback)["changed"]
    bench.put('{"log-driver": "journald"}')
    bench.record.unlink()
    bench.run(fallback=fallback)
    assert bench.says() == {"log-driver": "journald"}


def test_mode(bench: Bench) -> None:
    bench.put("{}", 0o644)
    assert bench.run(values=VALUES, mode="0600")["changed"]
    assert bench.mode() == 0o600
    bench.path.chmod(0o644)
    assert bench.run(check=True, values=VALUES, mode="0600")["changed"]
    assert bench.run(values=VALUES, mode="0600")["changed"]
    assert bench.mode() == 0o600
    assert not bench.run(values=VALUES, mode="0600")["changed"]


@pytest.mark.parametrize("text", ["{broken", "[]"])
def test_no_json_is_never_overwritten(bench: Bench, text: str) -> None:
    bench.put(text)
    for check in (True, False):
        failed = bench.run(check=check, values=VALUES)
        assert failed["failed"]
        assert failed["msg"].startswith(f'{os.uname().nodename}: path is "{bench.path}": it holds no JSON object (')
        assert failed["msg"].endswith("correct it or move it away.")
    assert bench.path.read_text() == text


@pytest.mark.parametrize("check", [True, False])
def test_what_the_program_refuses_is_not_written(bench: Bench, check: bool) -> None:
    refuse = ["/bin/sh", "-c", 'echo "$0: unknown key" >&2; grep -q data-root "$0" && exit 1', "%s"]
    failed = bench.run(check=check, values=VALUES, validate=refuse)
    assert failed["failed"]
    told = f"rejects the new content of {bench.path}; nothing was changed; correct the settings that go into it. "
    assert f"{told}{bench.path}: unknown key" in failed["msg"]
    assert not bench.path.exists()
    accept = ["/bin/sh", "-c", 'grep -q data-root "$0"', "%s"]
    assert bench.run(check=check, values=VALUES, validate=accept)["changed"]
