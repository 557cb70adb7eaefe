# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo on this machine: its playbooks, secrets and services."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / os.environ.get("DEMO_INVENTORY", "inventories/local")
# The demo with a cache and a database, and with answers that are kept.
WITH_STORES = ("-i", str(ROOT / "tests" / "changes" / "stores.yml"))
OUTPUT = ROOT / "tests" / "output"
CONTROL = ROOT / ".venv" / "control" / "bin"
ENGINE, GATE, PAGE, SOUTH, DOOR = 8100, 4200, 3000, 4100, 8443
SUPERVISORCTL = ("/opt/llmfleet/tools/bin/supervisorctl", "-c", "/etc/llmfleet/supervisord.conf")


def require_demo() -> None:
    if not (INVENTORY / ".llm_secrets.yml").exists() or not listens(GATE):
        pytest.fail("there is no demo on this machine: make demo", pytrace=False)


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
    code = start(name, playbook, *options).wait(timeout=1200)
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
    said = subprocess.run([*SUPERVISORCTL, "status"], capture_output=True, text=True, check=False, timeout=30).stdout
    fields = [line.split() for line in said.splitlines()]
    return {words[0]: words[3].rstrip(",") for words in fields if words[1:2] == ["RUNNING"]}
