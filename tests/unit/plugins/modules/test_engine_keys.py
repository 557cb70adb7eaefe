# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key is admitted to the engines of a host, and ends, in files that they read while they serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import keys
from ansible_collections.llmfleet.serving.plugins.module_utils.text import environment_file
from ansible_collections.llmfleet.serving.plugins.modules import engine_keys
from module_runner import run_module

OLD, NEW, LATEST = "sk-old-0123456789", "sk-new-0123456789", "sk-latest-0123456789"
Run = Callable[..., "dict[str, Any]"]


class Host:
    """The configuration of a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.record = root / "record"
        self.instances: list[dict[str, Any]] = []

    def add(self, name: str, *known: str, **secrets: str) -> None:
        """Add a recorded instance, with a file of keys if it has any."""
        self.instances.append({"name": name})
        self.record.write_text(json.dumps({"instances": self.instances}))
        folder = self.root / f"vllm-{name}"
        folder.mkdir()
        (folder / "secrets.env").write_text(environment_file(secrets))
        if known:
            (folder / keys.FILE).write_text(keys.text(map(keys.fingerprint, known)))
            (folder / keys.FILE).chmod(0o640)

    def has(self, name: str) -> list[str]:
        """Return the keys of an instance, by their fingerprints."""
        path = self.root / f"vllm-{name}" / keys.FILE
        assert path.stat().st_mode & 0o777 == 0o640
        names = {keys.fingerprint(key): key for key in (OLD, NEW, LATEST)}
        return [names[one] for one in path.read_text().splitlines()]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def run(host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(key: str, state: str = "admitted", **options: Any) -> dict[str, Any]:
        given = {"host": "gpu1", "key": key, "state": state, "config_root": str(host.root), "record": str(host.record)}
        found = run_module(engine_keys.main, {**given, **options}, monkeypatch, capsys)
        assert not [one for one in (OLD, NEW, LATEST) if one in json.dumps(found)], "a key is in the result"
        return found

    return call


def test_a_host_without_engines_has_nothing_to_admit(run: Run) -> None:
    found = run(NEW)
    assert (found["changed"], found["earlier"], found["ended"], found["single"]) == (False, [], 0, [])


def test_a_rotation_admits_the_new_key_and_ends_the_old_one(host: Host, run: Run) -> None:
    host.add("chat-0", OLD)
    host.add("chat-1", OLD)
    found = run(NEW)
    assert (found["changed"], found["earlier"]) == (True, [keys.fingerprint(OLD)])
    assert host.has("chat-0") == host.has("chat-1") == [NEW, OLD]
    assert not run(NEW)["changed"]
    found = run(NEW, "only")
    assert (found["changed"], found["earlier"], found["ended"]) == (True, [], 1)
    assert host.has("chat-0") == host.has("chat-1") == [NEW]
    assert not run(NEW, "only")["changed"]
    assert not run(NEW)["changed"]


def test_a_rotation_that_was_cut_short_and_another_one_lock_nobody_out(host: Host, run: Run) -> None:
    host.add("chat-0", OLD)
    host.add("chat-1", NEW, OLD)
    assert run(LATEST)["earlier"] == [keys.fingerprint(OLD), keys.fingerprint(NEW)]
    assert set(host.has("chat-0")) == set(host.has("chat-1")) == {LATEST, NEW, OLD}
    assert host.has("chat-0")[0] == LATEST
    assert run(OLD)["changed"], "somebody goes back to the key before"
    assert host.has("chat-0")[0] == OLD
    assert run(OLD, "only")["ended"] == 2


def test_check_mode_shows_hashes_and_changes_nothing(host: Host, run: Run) -> None:
    host.add("chat-0", OLD)
    found = run(NEW, _ansible_check_mode=True, _ansible_diff=True)
    (diff,) = found["diff"]
    assert found["changed"]
    assert diff["after"].split() == [keys.fingerprint(NEW), keys.fingerprint(OLD)]
    assert host.has("chat-0") == [OLD]


def test_the_key_of_an_engine_of_an_earlier_version_is_known_from_its_environment(host: Host, run: Run) -> None:
    host.add("chat-0", VLLM_API_KEY=OLD)
    found = run(NEW)
    assert (found["changed"], found["earlier"], found["single"]) == (False, [keys.fingerprint(OLD)], [])


def test_an_engine_that_takes_one_key_is_told_where_it_has_another(host: Host, run: Run) -> None:
    host.add("chat-0", OWN_KEY=OLD)
    assert run(OLD)["single"] == []
    assert run(NEW)["single"] == ["vllm-chat-0"]


def test_what_is_no_fingerprint_is_dropped(host: Host, run: Run) -> None:
    host.add("chat-0", OLD)
    (host.root / "vllm-chat-0" / keys.FILE).write_text(f"{OLD}\n{keys.fingerprint(OLD)[:-1]}\n")
    assert run(NEW)["earlier"] == []
    assert host.has("chat-0") == [NEW]
