# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo with a cache and a database: kept answers, a backup, booked usage, servers that go away; then without them.

The last run of test_changes.py brings them, so that this costs no run of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo import GATE, OUTPUT, SUPERVISORCTL, WITH_STORES, masters, play, require_demo, secret, wait_for

LOG = Path("/var/lib/llmfleet/gate/usage.jsonl")
STORES = {"llm-postgresql", "llm-postgresql-backup", "llm-usage", "llm-valkey"}
# How the names of all services begin that come with them.
OWN = ("llm-postgresql", "llm-usage", "llm-valkey")
SECRETS = ("postgresql_password", "valkey_gate_password")
NAMES = ("key", "model", "instance")
# Seconds for which the database is away, and the cache for half of them; the program books every five.
AWAY = 6.0


def ask(words: str, model: str = "guide", **fields: Any) -> tuple[int, str]:
    """Return status and `cache-status` of an answer, and what a refusal says in place of the latter."""
    said = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 2, **fields}
    headers = {"Authorization": f"Bearer {secret('litellm_key_demo')}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{GATE}/v1/chat/completions"
    asked = urllib.request.Request(url, json.dumps(said).encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            answer.read()
            return answer.status, answer.headers.get("cache-status", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def logged() -> Counter[tuple[str, ...]]:
    """Return the requests in the gate's log by key, model and instance."""
    files = [LOG, *LOG.parent.glob(f"{LOG.name}.[0-9]*")]
    lines = [json.loads(line) for path in files if path.exists() for line in path.read_text().splitlines()]
    return Counter(tuple(line.get(name) or "" for name in NAMES) for line in lines)


def booked(name: str) -> Counter[tuple[str, ...]]:
    """Return the requests in the database by the same, as playbooks/usage.yml reports them."""
    saved = OUTPUT / f"usage-{name}.json"
    options = {"by": ",".join(NAMES), "format": "json", "usage_file": str(saved)}
    play(f"usage-{name}", "playbooks/usage.yml", *WITH_STORES, "-e", json.dumps(options))
    report = json.loads(saved.read_text())
    return Counter({tuple(row[name] for name in NAMES): row["requests"] for row in report})


def wait_until_booked() -> None:
    """Wait until the program has told the gate that it has booked the last line of the log."""
    told = LOG.parent / "booked" / "position.json"
    wait_for("usage is booked", lambda: json.loads(told.read_text())["offset"] == LOG.stat().st_size, 90)


class Load(threading.Thread):
    """A few requests a second, one after the other in each of two threads, until it is ended."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._ended, self.answers = name, threading.Event(), Counter[tuple[int, str]]()

    def run(self) -> None:
        number = 0
        while not self._ended.wait(0.2):
            number += 1
            status, said = ask(f"{self._name} {number}")
            self.answers[status, said if status != 200 else ""] += 1

    def end(self) -> Counter[tuple[int, str]]:
        self._ended.set()
        self.join()
        return self.answers


@pytest.fixture(scope="module", autouse=True)
def _stores() -> Iterator[None]:
    require_demo()
    if not masters().keys() >= STORES:
        play("stores", "site.yml", *WITH_STORES)
    yield
    if masters().keys() & STORES:
        play("stores-away", "site.yml")


def test_a_second_run_changes_nothing() -> None:
    """That of what has to do with them, because tests/collection/again.sh runs the rest again."""
    before = masters()
    assert before.keys() >= STORES
    play("stores-again", "site.yml", *WITH_STORES, "--diff", "--tags", "postgresql,valkey,gate,usage,monitoring")
    recap = (OUTPUT / "changes-stores-again.log").read_text().rpartition("PLAY RECAP")[2]
    assert re.search(r"changed=0\s+unreachable=0\s+failed=0", recap), recap
    assert masters() == before


def test_equal_requests_are_answered_once() -> None:
    words = f"stores {time.time_ns()}"
    told = [ask(words, "chat", temperature=0) for _turn in range(2)]
    assert [status for status, _said in told] == [200, 200]
    assert "fwd=miss" in told[0][1]
    assert "hit" in told[1][1]


def test_a_backup_is_fetched_and_brought_back(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    play("backup", "playbooks/backup.yml", *WITH_STORES, "-e", f"backup_to={folder}")
    (dump,) = folder.glob("*.dump")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert dump.stat().st_mode & 0o777 == 0o600
    assert ask(f"after the backup {time.time_ns()}")[0] == 200
    for name, options in (("check", ["--check", "--diff"]), ("restore", [])):
        play(name, "playbooks/restore.yml", *WITH_STORES, "-e", f"backup={dump}", *options)
        assert not Path("/var/lib/llmfleet/postgresql/restore").exists()


def test_no_request_fails_and_none_is_lost_while_a_server_is_away() -> None:
    """What was used after the backup is booked again, too, because the program asks the server anew when it is back."""
    loads = [Load(f"{time.time_ns()} {number}") for number in range(2)]
    for load in loads:
        load.start()
    for name, seconds in (("llm-valkey", AWAY / 2), ("llm-postgresql", AWAY)):
        subprocess.run([*SUPERVISORCTL, "stop", name], check=True, capture_output=True, timeout=60)
        time.sleep(seconds)
        subprocess.run([*SUPERVISORCTL, "start", name], check=True, capture_output=True, timeout=60)
    answers = sum((load.end() for load in loads), Counter())
    assert set(answers) == {(200, "")}, answers
    assert answers.total() > 10
    wait_until_booked()
    assert booked("away") == logged()


def test_without_the_stores_the_demo_is_as_it_was() -> None:
    play("stores-away", "site.yml")
    assert not [name for name in masters() if name.startswith(OWN)]
    assert not [path for path in Path("/etc/llmfleet").iterdir() if f"llm-{path.name}".startswith(OWN)]
    told = [ask(f"without {time.time_ns()}", "chat", temperature=0) for _turn in range(2)]
    assert told == [(200, "")] * 2
    for log in OUTPUT.glob("changes-*.log"):
        text = log.read_text(errors="replace")
        assert not [name for name in SECRETS if secret(name) in text], log.name
