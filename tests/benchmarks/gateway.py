#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway costs: ours, a plain LiteLLM of the same version and the model server alone, side by side.

    gateway.py --uv uv --work DIR [--json FILE] [--url NAME=URL=KEY ...]

Every contender answers the same requests of the same stub backend (stub_backend.py), and they take turns in short
rounds, so that whatever else the machine does hits them alike. `plain` is `pip install litellm[proxy]
prometheus-client` with the same models, one key and the prometheus callback, started as LiteLLM's documentation says.
`ours` is what roles/gate deploys, in front of what roles/litellm deploys, both rendered by Ansible; requests for chat
completions pass the gate alone, as in a fleet. Numbers of requests and rounds are bounded; the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROLES = HERE.parents[1] / "roles"
KEY, MASTER_KEY, METRICS_KEY = "sk-benchmark-of-a-client", "sk-benchmark-of-the-master", "sk-benchmark-of-metrics"
GATE_KEY = "sk-benchmark-of-the-gate"
# High enough never to be reached, so that their bookkeeping is measured.
LIMITS = {"rpm": 10**6, "tpm": 10**9, "max_parallel_requests": 1000}
START_DEADLINE = 180.0
ROUND_DEADLINE = 60.0
PACED_TOKENS = 120


@dataclass(frozen=True)
class Load:
    """One kind of request in a round."""

    title: str
    prompt: str
    requests: int
    parallel: int
    stream: bool = False


@dataclass(frozen=True)
class Sample:
    """What one round of one load gave."""

    requests: float
    latency: float
    tokens: float
    cpu: float


@dataclass
class Contender:
    """Something that speaks the API. The CPU time of its session is counted where it is known."""

    name: str
    url: str
    key: str
    session: int = 0
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, load: str, value: str) -> float:
        return float(statistics.median(getattr(sample, value) for sample in self.samples[load]))


def cpu_seconds(session: int) -> float:
    """CPU time of all threads of a session, in the scheduler's nanoseconds: ticks are 10 ms, and sampled."""
    spent = 0
    for entry in Path("/proc").glob("[0-9]*/stat") if session else ():
        with contextlib.suppress(OSError):
            if int(entry.read_text().rpartition(") ")[2].split()[3]) == session:
                spent += sum(int(thread.read_text().split()[0]) for thread in entry.parent.glob("task/*/schedstat"))
    return spent / 1e9


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one HTTP/1.1 response."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        return status, await reader.readexactly(int(length[1]))
    parts = []
    tail = b""
    while tail != b"0\r\n\r\n":
        data = await reader.read(1 << 18)
        if not data:
            raise ConnectionError("the stream was cut")
        parts.append(data)
        tail = (tail + data)[-5:]
    return status, b"".join(parts)


async def run(contender: Contender, load: Load, context: ssl.SSLContext | None) -> Sample:
    """Send a load over as many connections as it has parallel requests. Anything but 200 ends the benchmark."""
    url = urlsplit(contender.url)
    body = {"model": "chat", "messages": [{"role": "user", "content": load.prompt}], "stream": load.stream}
    payload = json.dumps(body).encode()
    head = (
        f"POST {url.path}/chat/completions HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {contender.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    )
    latencies: list[float] = []
    tokens = 0
    todo = iter(range(load.requests))

    async def client() -> None:
        nonlocal tokens
        secure = context if url.scheme == "https" else None
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=secure, limit=1 << 20)
        for _request in todo:
            started = time.perf_counter()
            writer.write(head.encode() + payload)
            status, text = await answer(reader)
            if status != 200:
                raise SystemExit(f"{contender.name} answers {status}: {text[:500].decode(errors='replace')}")
            latencies.append(time.perf_counter() - started)
            tokens += text.count(b" tok")
        writer.close()

    before, started = cpu_seconds(contender.session), time.perf_counter()
    await asyncio.wait_for(asyncio.gather(*(client() for _ in range(load.parallel))), ROUND_DEADLINE)
    seconds, cpu = time.perf_counter() - started, cpu_seconds(contender.session) - before
    return Sample(load.requests / seconds, statistics.median(latencies), tokens / seconds, cpu / load.requests)


def measure(contenders: list[Contender], loads: list[Load], rounds: int, context: ssl.SSLContext | None) -> None:
    """Let the contenders take turns. The first round warms them up and does not count."""
    for number in range(rounds + 1):
        for load in loads:
            for contender in contenders:
                sample = asyncio.run(run(contender, load, context))
                if number:
                    contender.samples.setdefault(load.title, []).append(sample)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(name: str, command: list[str], environment: Mapping[str, str], ready: str, folder: Path) -> Iterator[int]:
    """Run a server until the block ends; its log stays in the folder."""
    log = folder / f"{name}.log"
    base = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**base, **environment}, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_DEADLINE
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(ready, timeout=2).close()
                break
            time.sleep(0.3)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment_of(uv: str, folder: Path, arguments: list[str]) -> Path:
    """A Python environment; an existing one is used again."""
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", "/usr/bin/python3", str(folder)], check=True)
        subprocess.run([uv, "pip", *arguments, "--quiet", "--compile-bytecode", "--python", str(python)], check=True)
        (folder / ".complete").touch()
    return folder / "bin"


def locked(uv: str, work: Path, role: str) -> Path:
    """The environment of a role's lock."""
    lock = ROLES / role / "files" / f"{role}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return environment_of(uv, work / f"venv-{role}-{digest}", ["sync", str(lock)])


def render(application: str, parameters: dict[str, object], folder: Path) -> dict[str, Any]:
    """A role's own service, as Ansible renders it."""
    roots = {
        "application": application,
        "service_config_root": str(folder / "etc"),
        "service_state_root": str(folder / "var"),
        "render_validate": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parameters.json").write_text(json.dumps({**roots, **parameters}))
    beside = Path(sys.executable).with_name("ansible-playbook")
    playbook = str(beside) if beside.exists() else str(shutil.which("ansible-playbook"))
    command = [playbook, "-i", "localhost,", "-e", f"@{folder / 'parameters.json'}", str(HERE / "gateway_render.yml")]
    subprocess.run(command, check=True, cwd=HERE.parents[1], stdout=subprocess.DEVNULL)
    service: dict[str, Any] = json.loads((folder / "etc" / f"{application}.json").read_text())
    return service


def litellm_parameters(bin_folder: Path, backend: str) -> dict[str, object]:
    """What the role litellm is given."""
    programs = {name: str(bin_folder / name) for name in ("litellm", "uvicorn")}
    return {
        "service_packages": {"litellm": {"python": str(bin_folder / "python"), "programs": programs}},
        "litellm_egress": [],
        "litellm_listen": "127.0.0.1",
        "litellm_port": free_port(),
        "litellm_num_workers": 1,
        "litellm_request_timeout": 600,
        "litellm_master_key": MASTER_KEY,
        "litellm_gate_key": GATE_KEY,
        "litellm_upstream_api_key": "stub",
        "litellm_deployments": [
            {
                "name": "chat",
                "aliases": [],
                "api_base": f"{backend}/chat/v1",
                "max_input_tokens": 8192,
                "max_parallel_requests": 1000,
                "mode": "chat",
            }
        ],
    }


def gate_parameters(bin_folder: Path, backend: str, translator: str) -> dict[str, object]:
    """What the role gate is given."""
    python = str(bin_folder / "python")
    return {
        "service_packages": {"gate": {"python": python, "programs": {"python": python}}},
        "gate_egress": [],
        "gate_listen": "127.0.0.1",
        "gate_port": free_port(),
        "gate_engines_url": backend,
        "gate_translator_url": translator,
        "gate_engine_api_key": "stub-key-of-the-engines",
        "gate_translator_api_key": GATE_KEY,
        "gate_metrics_key": METRICS_KEY,
        "gate_request_timeout": 600,
        "gate_max_choices": 8,
        "gate_max_prompts": 32,
        "gate_teams": [],
        "gate_store_url": "",
        "gate_store_ca_file": "",
        "gate_answer_cache_mib": 64,
        "gate_keys_resolved": [{"alias": "benchmark", "key": KEY, **LIMITS}],
        "gate_models": [{"name": "chat", "context": 8192, "max_parallel_requests": 1000}],
    }


def started(service: dict[str, Any], folder: Path) -> contextlib.AbstractContextManager[int]:
    """Run a rendered service until the block ends."""
    values = {name: str(value) for name, value in {**service["environment"], **service["secrets"]}.items()}
    return running(folder.name, [str(part) for part in service["command"]], values, service["ready"]["url"], folder)


@contextlib.contextmanager
def ours(litellm_bin: Path, gate_bin: Path, backend: str, folder: Path) -> Iterator[Contender]:
    """The gate in front of LiteLLM, as the roles deploy them; its processor time is the gate's alone."""
    litellm = render("litellm", litellm_parameters(litellm_bin, backend), folder / "litellm")
    translator = str(litellm["ready"]["url"]).removesuffix("/health/liveliness")
    gate = render("gate", gate_parameters(gate_bin, backend, translator), folder / "gate")
    with started(litellm, folder / "litellm"), started(gate, folder / "gate") as session:
        yield Contender("ours", str(gate["ready"]["url"]).removesuffix("/health") + "/v1", KEY, session)


@contextlib.contextmanager
def plain(bin_folder: Path, backend: str, folder: Path) -> Iterator[Contender]:
    """LiteLLM with what its documentation asks for to serve the same models to the same keys with the same metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("llmfleet_gateway.py", "llmfleet_log.py"):
        shutil.copy(ROLES / "litellm" / "files" / name, folder)
    config = {
        "model_list": [
            {
                "model_name": "chat",
                "litellm_params": {"model": "hosted_vllm/chat", "api_base": f"{backend}/v1", "api_key": "stub"},
            }
        ],
        "litellm_settings": {"callbacks": ["prometheus"], "enable_post_custom_auth_checks": True},
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "custom_auth": "llmfleet_gateway.authenticate",
            "custom_auth_run_common_checks": True,
        },
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    port = free_port()
    command = [str(bin_folder / "litellm"), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1"]
    environment = {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LLMFLEET_GATE_KEY": KEY,
    }
    url = f"http://127.0.0.1:{port}"
    command += ["--port", str(port)]
    with running(folder.name, command, environment, f"{url}/health/liveliness", folder) as session:
        yield Contender(folder.name, f"{url}/v1", KEY, session)


def ratio(reference: Contender, contender: Contender, load: str) -> str:
    """How many times the CPU time of a contender the reference takes: the median of the rounds, each by itself."""
    if not contender.session:
        return ""
    pairs = zip(reference.samples[load], contender.samples[load])
    return f"{statistics.median(first.cpu / second.cpu for first, second in pairs):.1f}"


def table(contenders: list[Contender], interval: int) -> str:
    """Markdown. Ratios are to `plain` with a chunk per token, as engines stream by default."""
    by_name = {contender.name: contender for contender in contenders}
    direct, reference = by_name["direct"], by_name["plain"]
    titles = ["", "requests/s", "x plain", "CPU ms/request", "plain/this", "one request alone, ms", "added, ms"]
    titles += [
        "tokens/s, 1 per chunk",
        f"tokens/s, {interval} per chunk",
        "x plain",
        "CPU us/paced chunk",
        "plain/this",
    ]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for contender in contenders:
        requests, chunked = contender.median("parallel", "requests"), contender.median("chunked", "tokens")
        alone = contender.median("alone", "latency") * 1000
        cells = [
            contender.name,
            f"{requests:.0f}",
            f"{requests / reference.median('parallel', 'requests'):.2f}",
            f"{contender.median('parallel', 'cpu') * 1000:.2f}" if contender.session else "",
            ratio(reference, contender, "parallel"),
            f"{alone:.1f}",
            f"{alone - direct.median('alone', 'latency') * 1000:.1f}",
            f"{contender.median('stream', 'tokens'):.0f}",
            f"{chunked:.0f}",
            f"{chunked / reference.median('stream', 'tokens'):.2f}",
            f"{contender.median('paced', 'cpu') / PACED_TOKENS * 1e6:.0f}" if contender.session else "",
            ratio(reference, contender, "paced"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="requests, latency and streamed tokens through the gateway")
    parser.add_argument("--uv", default="uv", help="the uv that builds the environments")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for environments and logs; kept for the next run"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--interval", type=int, default=8, help="tokens per chunk, as vLLM's --stream-interval")
    parser.add_argument(
        "--backend-port", type=int, default=0, help="port of the stub, for a proxy that is set up before"
    )
    parser.add_argument("--url", action="append", default=[], metavar="NAME=URL=KEY", help="measure this too")
    parser.add_argument("--ca", help="certificate authority of an https --url")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    if not 1 <= options.rounds <= 20:
        parser.error("--rounds must be from 1 to 20")

    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    version = re.search(r"^litellm\[proxy\]==(\S+)", (ROLES / "litellm/files/litellm.in").read_text(), re.M)
    assert version
    requirements = [f"litellm[proxy]=={version[1]}", "prometheus-client"]
    plain_bin = environment_of(options.uv, work / f"venv-plain-{version[1]}", ["install", *requirements])
    litellm_bin, gate_bin = (locked(options.uv, work, name) for name in ("litellm", "gate"))

    port = options.backend_port or free_port()
    backend = f"http://127.0.0.1:{port}"
    stub = [sys.executable, str(HERE / "stub_backend.py"), "--port", str(port)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running("stub", stub, {}, f"{backend}/health", work))
        contenders = [
            Contender("direct", f"{backend}/v1", "stub"),
            stack.enter_context(ours(litellm_bin, gate_bin, backend, work / "ours")),
            stack.enter_context(plain(plain_bin, backend, work / "plain")),
        ]
        contenders += [Contender(*extra.split("=", 2)) for extra in options.url]
        loads = [
            Load("parallel", "tokens=16", 160, 16),
            Load("alone", "tokens=16", 40, 1),
            Load("stream", "tokens=400", 8, 8, stream=True),
            Load("chunked", f"tokens=400 interval={options.interval}", 24, 8, stream=True),
            # What a person sees: eight answers at reading speed, of one token a chunk.
            Load("paced", f"tokens={PACED_TOKENS} rate=60", 8, 8, stream=True),
        ]
        context = ssl.create_default_context(cafile=options.ca) if options.ca else None
        measure(contenders, loads, options.rounds, context)

    print(table(contenders, options.interval))
    if options.json:
        figures = {
            contender.name: {
                load: {value: contender.median(load, value) for value in ("requests", "latency", "tokens", "cpu")}
                for load in contender.samples
            }
            for contender in contenders
        }
        result = {"litellm": version[1], "rounds": options.rounds, "interval": options.interval, "figures": figures}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
