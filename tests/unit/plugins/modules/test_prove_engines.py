# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module against a stand-in of an engine that answers, dies of its load, refuses it, or is too slow."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import prove_engines
from module_runner import run_module

GIB = 1024**3
LACKED = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB "
    "of which 512.00 MiB is free. Including non-PyTorch memory, this process has 78.60 GiB memory in use.\n"
)


class Standin(ThreadingHTTPServer):
    """An engine of which tests say how it takes its load."""

    def __init__(self, log: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.log = log
        self.asked: list[tuple[str, Any]] = []
        self.status = 200
        self.said = ""
        self.slow = 0.0
        self.dead = False

    @property
    def instance(self) -> dict[str, Any]:
        """The instance that it stands for."""
        memory = {"total": 80 * GIB, "headroom": 2 * GIB, "margin": GIB, "kv_cache": 40 * GIB}
        return {
            "name": "m-0",
            "model": "m",
            "source": "hf://o/m",
            "device": "cuda",
            "gpus": ["GPU-0"],
            "listen": "127.0.0.1",
            "port": self.server_address[1],
            "max_model_len": 64,
            "max_num_seqs": 70,
            "max_num_batched_tokens": 32,
            "kv_cache_memory_bytes": 40 * GIB,
            "memory": memory,
        }


class Answers(BaseHTTPRequestHandler):
    """Its answers."""

    server: Standin

    def do_GET(self) -> None:
        """Answer for health, and for the context."""
        self.tell(503 if self.server.dead else 200, {"data": [{"max_model_len": 48}]})

    def do_POST(self) -> None:
        """Take a load."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        time.sleep(self.server.slow)
        if self.server.said:
            with self.server.log.open("a") as log:
                log.write(self.server.said)
            self.server.dead = True
        self.tell(self.server.status, {"error": "no chat template"} if self.server.status != 200 else {})

    def tell(self, status: int, value: Any) -> None:
        """Send an answer."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Standin]:
    log = tmp_path / "vllm-m-0.log"
    log.write_text("CUDA out of memory, at an earlier start\n")
    server = Standin(log)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def run(engine: Standin, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(prove_engines, "SECONDS_TO_DIE", 1)
    monkeypatch.setattr(prove_engines, "SECONDS_TO_SHOW", 0.2)

    def call(check: bool = False, **params: Any) -> Any:
        given = {"instances": [engine.instance], "names": ["m-0"], "api_key": "key-of-a-stand-in", "host": "gpu1"}
        given = {**given, **params, "log_root": str(engine.log.parent), "_ansible_check_mode": check}
        return run_module(prove_engines.main, {**given, "_ansible_remote_tmp": "/tmp"}, monkeypatch, capsys)

    return call


def test_it_brings_every_extreme(engine: Standin, run: Any) -> None:
    said = run(modes={"m": "chat"}, image_models=["m"])
    assert (said["changed"], said["ran_out"], said["problems"]) == (False, [], [])
    (proof,) = said["proofs"]
    assert proof["outcome"] == "held"
    assert proof["done"] == [
        "70 sequences",
        "a step of 32 tokens",
        "a context of 64 tokens",
        "an image of 4096 x 4096",
    ]
    prompts = [prompt for path, body in engine.asked if path == "/v1/completions" for prompt in body["prompt"]]
    assert len(prompts) == 70 + 1 + 1
    assert sorted(map(len, prompts))[-2:] == [32, 63]
    assert len({tuple(prompt) for prompt in prompts}) == 72
    assert max(len(body["prompt"]) for path, body in engine.asked if "prompt" in body) == 32
    assert "used" not in proof


def test_embeddings_and_other_modes(engine: Standin, run: Any) -> None:
    assert run(modes={"m": "embedding"})["proofs"][0]["done"][0] == "70 sequences"
    assert {path for path, _body in engine.asked} == {"/v1/embeddings"}
    engine.asked.clear()
    assert run(modes={"m": "rerank"})["proofs"][0]["done"] == []
    assert engine.asked == []


def test_a_context_that_the_engine_chose_is_asked_for(engine: Standin, run: Any) -> None:
    one = {**engine.instance, "max_model_len": None, "max_num_seqs": 2}
    (proof,) = run(instances=[one])["proofs"]
    assert proof["done"] == ["2 sequences", "a step of 32 tokens", "a context of 48 tokens"]


def test_what_ran_out_of_memory_is_no_failure_at_first(engine: Standin, run: Any) -> None:
    engine.status, engine.said = 500, LACKED
    first = run()
    (proof,) = first["ran_out"]
    assert (proof["outcome"], proof["at"], proof["lacked"]) == ("out of memory", "70 sequences", 2 * GIB)
    # What was lacking, and the largest of the margin, 2 % of the card and half a GiB.
    assert proof["short"] == 2 * GIB + 80 * GIB // 50
    assert first["problems"] == []
    engine.dead = False
    again = run(earlier=first["ran_out"])
    (sentence,) = again["problems"]
    assert again["proofs"][0]["short"] == 2 * proof["short"]
    assert sentence.startswith("gpu1: instance m-0 ran out of memory twice under the load that it is planned for (with")
    assert "2.0 GiB were lacking" in sentence
    assert sentence.endswith("in its args, or give it more memory")


def test_a_process_that_vanishes_was_killed(engine: Standin, run: Any) -> None:
    engine.status, engine.said = 500, "Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.\n"
    assert run()["ran_out"][0]["lacked"] == 0
    engine.said, engine.dead = "nothing of interest\n", False
    assert run()["ran_out"][0]["lacked"] == 0


def test_another_death_fails_with_the_log(engine: Standin, run: Any) -> None:
    engine.status, engine.said = 500, "Traceback (most recent call last):\nRuntimeError: no kernel image is available\n"
    said = run()
    assert said["failed"]
    assert said["msg"].startswith("gpu1: instance m-0 did not survive 70 sequences, which it was planned for")
    assert "no kernel image is available" in said["msg"]
    assert "earlier start" not in said["msg"]


def test_an_engine_that_is_not_there_is_not_loaded(engine: Standin, run: Any) -> None:
    engine.dead = True
    said = run()
    assert said["failed"]
    assert said["msg"].startswith("gpu1: instance m-0 does not answer, so it cannot be loaded")


def test_what_is_refused_or_late_is_told(engine: Standin, run: Any) -> None:
    engine.status = 400
    (proof,) = run()["proofs"]
    assert (proof["outcome"], proof["done"]) == ("held", [])
    assert proof["left_out"][0] == '70 sequences (400 {"error": "no chat template"})'
    engine.status, engine.slow = 200, 1.5
    (proof,) = run(seconds=1)["proofs"]
    assert proof["left_out"][0] == "70 sequences (no answer within 1 s)"


def test_an_error_of_an_engine_that_lives_is_no_lack_of_memory(engine: Standin, run: Any) -> None:
    """A model may fail a kind of request that nobody sends it: its KV cache stays, and it is told."""
    engine.status = 500
    said = run()
    assert said["ran_out"] == []
    (proof,) = said["proofs"]
    assert (proof["outcome"], proof["done"]) == ("held", [])
    assert proof["left_out"][0] == '70 sequences (500 {"error": "no chat template"})'


def test_check_mode_sends_nothing(engine: Standin, run: Any) -> None:
    assert run(check=True)["proofs"] == []
    assert engine.asked == []


def test_memory_in_use_counts_for_an_instance_alone(
    engine: Standin, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU-1, 5'\necho 'GPU-0, 71680'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert run()["proofs"][0]["used"] == 70 * GIB
    neighbour = {**engine.instance, "name": "n-0"}
    assert "used" not in run(instances=[engine.instance, neighbour])["proofs"][0]
