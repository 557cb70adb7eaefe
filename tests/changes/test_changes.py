# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to the demo on this machine: a rotated key, all services stopped, and a run that is killed and run again."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
import urllib.request
from typing import Any

import pytest
from demo import (
    CONTROL,
    DOOR,
    ENGINE,
    GATE,
    INVENTORY,
    OUTPUT,
    PAGE,
    ROOT,
    WITH_STORES,
    ask,
    listens,
    masters,
    play,
    require_demo,
    secret,
    south,
    start,
    wait_for,
)

KEY = "litellm_key_guide_only"
# Seconds by which a program may be late on a busy machine.
BUSY = 0.25


@pytest.fixture(scope="module", autouse=True)
def _demo() -> None:
    require_demo()


def test_a_request_is_explained_hop_by_hop() -> None:
    saved, request = OUTPUT / "explained.json", f"explained-{time.time_ns()}"
    tried = OUTPUT / "explained.txt"
    question = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    asked = urllib.request.Request(
        f"https://localhost:{DOOR}/v1/chat/completions",
        json.dumps(question).encode(),
        {"Authorization": f"Bearer {secret('litellm_key_demo')}", "X-Request-Id": request},
    )
    asked.add_header("Content-Type", "application/json")
    # This writes the authority of the demo's doors.
    subprocess.run([CONTROL / "python", "scripts/demo_env.py", INVENTORY], cwd=ROOT, check=True, capture_output=True)
    trusted = ssl.create_default_context(cafile=INVENTORY / ".llm_ca.pem")
    with urllib.request.urlopen(asked, timeout=60, context=trusted) as answer:
        assert answer.headers["x-request-id"] == request
    # Nginx writes its lines once a second.
    time.sleep(2)
    for form, path in (("json", saved), ("table", tried)):
        options = {"request": request, "format": form, "explain_file": str(path)}
        play(f"explain-{form}", "playbooks/explain.yml", "-e", json.dumps(options))
    (hops,) = json.loads(saved.read_text())["gateways"].values()
    north, gate, south_hop = hops
    assert [one["hop"] for one in hops] == ["north", "gate", "south"]
    assert [one["status"] for one in hops] == [200, 200, 200]
    # Each reads its own clock at its own end, and on a busy machine they do not end in one moment.
    assert north["seconds"] >= gate["seconds"] - BUSY >= south_hop["seconds"] - 2 * BUSY
    assert (gate["key"], gate["completion_tokens"]) == ("demo", 4)
    assert [server["name"] for server in south_hop["servers"]] == ["chat-0 on localhost"]
    assert "chat-0 on localhost" in tried.read_text()
    assert f"The engine knows it as {south_hop['request_id']}." in tried.read_text()


def test_a_model_is_measured_and_its_figures_are_kept() -> None:
    folder = OUTPUT / f"benchmarks-{time.time_ns()}"
    options = {"model": "chat", "rates": "2", "seconds": 1, "requests": 8, "input_len": 64, "output_len": 16}
    play("benchmark", "playbooks/benchmark.yml", "-e", json.dumps({**options, "benchmark_dir": str(folder)}))
    (figures,) = folder.glob("chat-gateway-64-16-*.json")
    done = json.loads(figures.read_text())
    sent = {row["name"]: (row["sent"], row["failed"], row["answer_tokens"]) for row in done["points"]}
    assert sent == {"one": (4, 0, 64), "2/s": (4, 0, 64), "context": (8, 0, 128)}
    assert done["promise"] == {"context": 2048, "at_once": 8, "kept": True}
    page = figures.with_suffix(".html").read_text()
    assert done["identity"]["digest"] in page
    log = (OUTPUT / "changes-benchmark.log").read_text(errors="replace")
    assert "kept" in log
    for key in (secret("litellm_key_verify"), secret("vllm_api_key")):
        assert key not in log + page + figures.read_text()


def test_a_rotated_key_is_another_one_and_nothing_restarts() -> None:
    before, old = masters(), secret(KEY)
    assert ask(old) == 200
    play("rotate", "site.yml", "--tags", "gate", "-e", f"llm_rotate={KEY}")
    new = secret(KEY)
    assert new != old
    wait_for("the new key is accepted", lambda: ask(new) == 200, 30)
    wait_for("the old key is refused", lambda: ask(old) == 401, 30)
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
    wait_for("the earlier key is refused", lambda: south("chat", old) == south("guide", old) == 401, 30)
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
    """The runs bring a cache and a database as well, with which test_stores.py goes on."""
    play("stop", "playbooks/stop.yml")
    assert not masters()
    assert not [port for port in (ENGINE, GATE, PAGE) if listens(port)]
    killed = start("killed", "site.yml", *WITH_STORES)
    wait_for("the first engine is started", lambda: "llm-vllm-chat-0" in masters() or killed.poll() is not None, 600)
    assert killed.poll() is None, "the run ended before it could be killed"
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    # Supervisor starts all services at once, and an engine takes longest until it listens.
    assert not listens(ENGINE), "nothing is left to do for the second run"
    play("finished", "site.yml", *WITH_STORES)
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
