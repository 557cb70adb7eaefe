# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real vLLM, on processors with the demo's model: loaded to its extremes, priorities, killed as by the kernel."""

from __future__ import annotations

import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import proofs  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.modules import prove_engines  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import PYTHON  # noqa: E402

MODEL = next(iter(glob.glob("/var/lib/llmfleet/models/demo/*/config.json")), "")
KEY = "key-of-a-test"
SECONDS_TO_START = 240


class Running:
    """A real engine, whose log is where supervisor would have it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        flags = ["--model", str(Path(MODEL).parent), "--served-model-name", "m", "--host", "127.0.0.1"]
        flags += ["--port", str(self.port), "--max-model-len", "1024", "--max-num-seqs", "6", "--enforce-eager"]
        flags += ["--max-num-batched-tokens", "512", "--kv-cache-memory-bytes", str(64 * 1024**2)]
        flags += ["--scheduling-policy", "priority"]
        quiet = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "TORCH_COMPILE_DISABLE": "1", "VLLM_API_KEY": KEY}
        with (folder / "vllm-m-0.log").open("w") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "vllm.entrypoints.openai.api_server", *flags],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **quiet},
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it is healthy."""
        client, end = http_client.Client("test"), time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with client.open(f"http://127.0.0.1:{self.port}/health", 2.0) as answer:
                    if answer.status == 200:
                        return
            except http_client.TroubleError:
                time.sleep(1)
        pytest.fail(f"the engine did not start:\n{(self.folder / 'vllm-m-0.log').read_text()[-3000:]}")

    def load(self) -> dict[str, Any]:
        """Return what the module says of it."""
        instance = {"name": "m-0", "model": "m", "listen": "127.0.0.1", "port": self.port, "device": "cpu"}
        sizes = {"max_model_len": 1024, "max_num_seqs": 6, "max_num_batched_tokens": 512, "gpus": []}
        given = {
            "api_key": KEY,
            "earlier": [],
            "seconds": 60,
            "prefix": "llm-",
            "log_root": str(self.folder),
            "modes": {},
            "image_models": [],
            "prompts": 32,
            "packages": {},
            "instances": [],
        }
        return prove_engines.prove({**instance, **sizes, "cpu": {"kv_cache_space_gib": 1}}, given, "here")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if not PYTHON or not MODEL:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it", pytrace=False)
    engine = Running(tmp_path_factory.mktemp("load"))
    try:
        engine.wait()
        yield engine
    finally:
        os.killpg(engine.process.pid, signal.SIGKILL)
        engine.process.wait()


def test_it_holds_its_extremes_in_seconds(running: Running) -> None:
    said = running.load()
    assert said["outcome"] == proofs.HELD
    assert said["done"] == ["6 sequences", "a step of 512 tokens", "a context of 1024 tokens"]
    assert said["left_out"] == []
    assert said["seconds"] < 30


def complete(running: Running, priority: int, tokens: int) -> None:
    """Send a prompt as the gate does for a key with a priority, and wait until its answer is complete."""
    body = {"model": "m", "prompt": "hello", "max_tokens": tokens, "ignore_eos": True}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "X-Vllm-Priority": str(priority)}
    url = f"http://127.0.0.1:{running.port}/v1/completions"
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=300) as answer:
        assert json.load(answer)["usage"]["completion_tokens"] == tokens


def test_a_request_of_high_priority_comes_before_those_that_wait(running: Running) -> None:
    found = subprocess.run(["pgrep", "-s", str(running.process.pid)], capture_output=True, text=True, check=True)
    computes = [pid for pid in map(int, found.stdout.split()) if pid != running.process.pid]
    with ThreadPoolExecutor(25) as pool:
        # While what computes stands still, the API's process takes all of them, in this order.
        for pid in computes:
            os.kill(pid, signal.SIGSTOP)
        try:
            low = [pool.submit(complete, running, 10, 100) for _number in range(24)]
            time.sleep(3)
            high = pool.submit(complete, running, -10, 20)
            time.sleep(1)
            assert not high.done()
        finally:
            for pid in computes:
                os.kill(pid, signal.SIGCONT)
        high.result()
        # Six are computed at a time: in order of arrival, at most six of the others would still be open then.
        assert sum(not one.done() for one in low) > 12
        for one in low:
            one.result()


def test_a_process_that_the_kernel_killed_ran_out_of_memory(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = prove_engines.Engine.loaded

    def killed(engine: prove_engines.Engine, load: Any) -> str:
        found = subprocess.run(["pgrep", "-s", str(running.process.pid)], capture_output=True, text=True, check=True)
        for pid in map(int, found.stdout.split()):
            if pid != running.process.pid:
                os.kill(pid, signal.SIGKILL)
        return loaded(engine, load)

    monkeypatch.setattr(prove_engines.Engine, "loaded", killed)
    said = running.load()
    assert (said["outcome"], said["at"]) == (proofs.RAN_OUT, "6 sequences"), said
    assert said["short"] == 1024**3 // 2
