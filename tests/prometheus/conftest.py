# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Prometheus and one node exporter for all tests of this folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

# Tests are imported by path; what they share is a module beside them.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from prometheus_bench import TOKEN, Bench, Target, get, wait_for


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    server = Target()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, target: Target) -> Bench:
    made = Bench(tmp_path_factory.mktemp("prometheus"), target)
    result = made.render()
    assert result.returncode == 0, result.stdout + result.stderr
    assert TOKEN not in result.stdout + result.stderr
    return made


@pytest.fixture(scope="session")
def node_exporter(bench: Bench) -> Iterator[str]:
    process = bench.start("node_exporter")
    url = f"http://127.0.0.1:{bench.node_port}/metrics"
    wait_for(lambda: bool(get(url)), f"the node exporter answers: {bench.log}")
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def prometheus(bench: Bench, node_exporter: str) -> Iterator[subprocess.Popen[bytes]]:
    process = bench.start("prometheus")
    wait_for(lambda: "Ready" in get(f"{bench.url}/-/ready"), f"Prometheus is ready: {bench.log}")
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, bench.log.read_text()
