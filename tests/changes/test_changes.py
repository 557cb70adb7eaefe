# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to the demo on this machine: a rotated key, all services stopped, and a run that is killed and run again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / os.environ.get("DEMO_INVENTORY", "inventories/local")
OUTPUT = ROOT / "tests" / "output"
CONTROL = ROOT / ".venv" / "control" / "bin"
KEY = "litellm_key_guide_only"
ENGINE, GATE, PAGE, SOUTH = 8100, 4200, 3000, 4100


def environment() -> dict[str, str]:
    shown = subprocess.run(
        [CONTROL / "python", "scripts/uv_env.py", "json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {**os.environ, **json.loads(shown.stdout), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false"}


def start(name: str, playbook: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a playbook in a process group of its own, with its output in a log."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    become = [] if os.geteuid() == 0 else ["--become"]
    with (OUTPUT / f"changes-{name}.log").open("wb") as log:
        return subprocess.Popen(
            [CONTROL / "ansible-playbook", "-i", INVENTORY, playbook, *become, *options],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def play(name: str, playbook: str, *options: str) -> None:
    code = start(name, playbook, *options).wait(timeout=600)
    log = (OUTPUT / f"changes-{name}.log").read_text(errors="replace")
    assert code == 0, f"{playbook} {' '.join(options)} exited with {code}: {log[-1500:]}"


def secret(name: str) -> str:
    return str(yaml.safe_load((INVENTORY / ".llm_secrets.yml").read_text())["secrets"][name])


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


def ask(key: str) -> int:
    """Return the status that the gate answers to a key."""
    request = urllib.request.Request(f"http://127.0.0.1:{GATE}/v1/models", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def south(model: str, key: str = "") -> int:
    """Return the status of the inner Nginx, or of the engine behind it, to a request with a key of the engines."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"http://127.0.0.1:{SOUTH}/{model}/v1/models", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def masters() -> dict[str, str]:
    """Return the processes that supervisor keeps, by name."""
    command = ["/opt/llmfleet/tools/bin/supervisorctl", "-c", "/etc/llmfleet/supervisord.conf", "status"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
    fields = [line.split() for line in said.splitlines()]
    return {words[0]: words[3].rstrip(",") for words in fields if words[1:2] == ["RUNNING"]}


@pytest.fixture(scope="module", autouse=True)
def _demo() -> None:
    if not (INVENTORY / ".llm_secrets.yml").exists() or not listens(GATE):
        pytest.fail("there is no demo on this machine: make demo", pytrace=False)


def test_a_rotated_key_is_another_one_and_nothing_restarts() -> None:
    before, old = masters(), secret(KEY)
    assert ask(old) == 200
    play("rotate", "site.yml", "--tags", "gate", "-e", f"llm_rotate={KEY}")
    new = secret(KEY)
    assert new != old
    wait_for("the new key is accepted", lambda: ask(new) == 200, 10)
    wait_for("the old key is refused", lambda: ask(old) == 401, 10)
    assert masters() == before, "a service restarted for a key"
    for log in OUTPUT.glob("changes-*.log"):
        text = log.read_text(errors="replace")
        assert new not in text, f"{log.name} holds the new key"
        assert old not in text, f"{log.name} holds the old key"


def test_another_key_of_the_engines_restarts_no_engine_and_no_gate_and_ends_the_earlier_one() -> None:
    before, old = masters(), secret("vllm_api_key")
    assert (south("chat", old), south("guide", old)) == (200, 200)
    play("engines", "site.yml", "-e", "llm_rotate=vllm_api_key")
    new, after = secret("vllm_api_key"), masters()
    assert (south("chat", new), south("guide", new)) == (200, 200)
    wait_for("the earlier key is refused", lambda: south("chat", old) == south("guide", old) == 401, 10)
    # LiteLLM and the loop of the watchdog read the key when they start.
    assert {name for name in before if before[name] != after.get(name)} == {"llm-litellm", "llm-watchdog"}
    log = (OUTPUT / "changes-engines.log").read_text(errors="replace")
    assert old not in log
    assert new not in log


def test_a_weight_changes_the_traffic_and_restarts_nothing() -> None:
    before = masters()
    assert (south("chat"), south("guide")) == (401, 401)
    out = {"llm_weights": [{"name": "guide-0", "host": "localhost", "weight": 0}]}
    play("out", "site.yml", "--tags", "nginx", "-e", json.dumps(out))
    assert (south("chat"), south("guide")) == (401, 503)
    play("in", "site.yml", "--tags", "nginx")
    assert (south("chat"), south("guide")) == (401, 401)
    assert masters() == before


def test_stopped_then_a_run_killed_in_the_middle_then_a_run_that_finishes() -> None:
    play("stop", "playbooks/stop.yml")
    assert not masters()
    assert not [port for port in (ENGINE, GATE, PAGE) if listens(port)]
    killed = start("killed", "site.yml")
    wait_for("the first engine is started", lambda: "llm-vllm-chat-0" in masters() or killed.poll() is not None, 240)
    assert killed.poll() is None, "the run ended before it could be killed"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    # Supervisor starts all services at once, and an engine takes longest until it listens.
    assert not listens(ENGINE), "nothing is left to do for the second run"
    play("finished", "site.yml")
    assert {
        "llm-vllm-chat-0",
        "llm-litellm",
        "llm-gate",
        "llm-nginx",
        "llm-nginx-south",
        "llm-open-webui",
        "llm-prometheus",
    } <= masters().keys()
    assert ask(secret(KEY)) == 200
    recap: Any = (OUTPUT / "changes-finished.log").read_text().rpartition("PLAY RECAP")[2]
    assert "failed=0" in recap
