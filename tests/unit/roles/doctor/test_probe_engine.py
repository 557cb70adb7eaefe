# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that the doctor runs in an engine's environment, with a stand-in for torch.

No GPU and no torch is needed: the stand-in has the functions that the program calls, FAKE_TORCH says what goes wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from patience import Watch

PROGRAM = Path(__file__).resolve().parents[4] / "roles/doctor/files/probe_engine.py"
MARK = "LLMFLEET-DOCTOR "
# A stand-in for torch with two GPUs.
TORCH = """
import os, sys, time
MODE = os.environ.get("FAKE_TORCH", "")
if MODE == "import hangs":
    time.sleep(600)
if MODE == "no torch":
    raise ModuleNotFoundError("No module named 'torch'")
__version__ = "2.99"


class version:
    cuda = None if MODE == "cpu" else "13.0"


class Tensor:
    def __init__(self, value, count):
        self.value, self.count = value, count

    def sum(self):
        return Tensor(0.0 if MODE == "miscounts" else self.value * self.count, 1)

    def item(self):
        return self.value

    min = max = item
    __float__ = item


def ones(count, device):
    if MODE == "no kernel":
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")
    return Tensor(1.0, count)


def full(shape, value, device):
    return Tensor(value, shape[0])


class _Properties:
    name = "NVIDIA Stand-in"

    def __init__(self, index):
        self.uuid = f"{index}" * 8


class cuda:
    @staticmethod
    def init():
        if MODE == "init hangs":
            print("NVRM is busy", flush=True)
            time.sleep(600)
        if MODE == "no driver":
            raise RuntimeError("Found no NVIDIA driver on your system.")
        if MODE == "dies":
            os.kill(os.getpid(), 9)

    device_count = staticmethod(lambda: 2)
    get_device_properties = staticmethod(_Properties)
    set_device = staticmethod(lambda rank: None)
    synchronize = staticmethod(lambda: None)
"""
DISTRIBUTED = """
import os, time
from torch import MODE
SIZE = [0]


def init_process_group(backend, init_method, rank, world_size, timeout):
    assert init_method.startswith("tcp://127.0.0.1:")
    assert backend == "gloo" or os.environ["NCCL_DEBUG"] == "WARN"
    SIZE[0] = world_size
    if MODE == "refused":
        print("node:1 NCCL WARN Bootstrap : no socket interface found", flush=True)
        raise RuntimeError("NCCL error: unhandled system error")


def all_reduce(tensor):
    without_p2p, without_shm = "NCCL_P2P_DISABLE" in os.environ, "NCCL_SHM_DISABLE" in os.environ
    if MODE == "p2p hangs" and not without_p2p or MODE == "shm hangs" and not without_shm or MODE == "all hangs":
        time.sleep(600)
    tensor.value = SIZE[0] * (SIZE[0] + 1) / 2 + (MODE == "wrong")
"""


@pytest.fixture
def torch(tmp_path: Path) -> Path:
    (tmp_path / "torch" / "distributed").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text(TORCH)
    (tmp_path / "torch" / "distributed" / "__init__.py").write_text(DISTRIBUTED)
    return tmp_path


def probe(torch: Path, mode: str = "", program: str = "", **request: Any) -> dict[str, Any]:
    asked = {
        "backend": "nccl",
        "ranks": 1,
        "load_seconds": 20,
        "cuda_seconds": 2,
        "reduce_seconds": 2,
        "total_seconds": 60,
        **request,
    }
    done = subprocess.run(
        [sys.executable, "-", json.dumps(asked)],
        input=program or PROGRAM.read_text().replace("VARIATION_SECONDS = 25", "VARIATION_SECONDS = 1"),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(torch), "FAKE_TORCH": mode},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    answer: dict[str, Any] = json.loads(line[len(MARK) :])
    return answer


def test_gpus_that_work(torch: Path) -> None:
    answer = probe(torch, ranks=2)
    assert answer["torch"] == {
        "version": "2.99",
        "cuda": "13.0",
        "devices": [{"name": "NVIDIA Stand-in", "uuid": "00000000"}, {"name": "NVIDIA Stand-in", "uuid": "11111111"}],
    }
    assert answer["shared_mib"] > 0
    heard = answer["all_reduce"]
    assert (heard["ok"], heard["backend"], heard["stage"], heard["error"]) == (True, "nccl", "summing up", "")
    assert heard["gbytes_per_second"] > 0


def test_a_single_gpu_has_nobody_to_sum_up_with(torch: Path) -> None:
    assert "all_reduce" not in probe(torch)


def test_processors(torch: Path) -> None:
    answer = probe(torch, "cpu", backend="gloo", ranks=3)
    assert answer["torch"] == {"version": "2.99", "cuda": None, "devices": []}
    assert answer["all_reduce"]["ok"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("no driver", "RuntimeError: Found no NVIDIA driver"),
        ("no kernel", "no kernel image is available"),
        ("no torch", "No module named 'torch'"),
        ("miscounts", "device 0 sums 1024 ones to 0.0"),
        ("init hangs", "CUDA did not initialise within 2 s, or its process died: NVRM is busy"),
        ("dies", "CUDA did not initialise"),
    ],
)
def test_what_keeps_cuda_from_working(torch: Path, mode: str, words: str) -> None:
    answer = probe(torch, mode, ranks=2)
    assert words in answer["torch"]["error"]
    assert "all_reduce" not in answer


def test_an_environment_that_does_not_load(torch: Path) -> None:
    answer = probe(torch, "import hangs", load_seconds=1)
    assert answer["torch"]["error"].startswith("torch did not load within 1 s")


@pytest.mark.parametrize(
    ("mode", "works"),
    [
        ("p2p hangs", "NCCL_P2P_DISABLE"),
        ("shm hangs", "NCCL_P2P_DISABLE and NCCL_SHM_DISABLE"),
        ("all hangs", None),
    ],
)
def test_an_all_reduce_that_hangs_is_given_up_and_explained(torch: Path, mode: str, works: str | None) -> None:
    watch = Watch()
    heard = probe(torch, mode, ranks=2, reduce_seconds=1)["all_reduce"]
    assert watch.seconds() < 20
    assert (heard["ok"], heard["stage"], heard.get("works_with")) == (False, "joining", works)


def test_an_all_reduce_that_is_refused(torch: Path) -> None:
    heard = probe(torch, "refused", ranks=2)["all_reduce"]
    assert heard["error"] == "RuntimeError: NCCL error: unhandled system error"
    assert heard["said"] == "node:1 NCCL WARN Bootstrap : no socket interface found"


def test_an_all_reduce_that_sums_up_wrongly(torch: Path) -> None:
    heard = probe(torch, "wrong", ranks=2)["all_reduce"]
    assert (heard["ok"], heard["wrong"]) == (False, True)


def running(torch: Path) -> list[str]:
    """Processes that were started with this stand-in and still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(torch).encode() in environment and state != "Z":
            found.append(folder.name)
    return found


def test_no_process_is_left(torch: Path) -> None:
    probe(torch, "all hangs", ranks=3, reduce_seconds=1)
    assert running(torch) == []


def test_it_ends_by_itself_whatever_happens(torch: Path) -> None:
    watch = Watch()
    with pytest.raises(subprocess.CalledProcessError) as stop:
        probe(torch, "import hangs", total_seconds=1)
    assert watch.seconds() < 10
    assert stop.value.returncode == 3
    time.sleep(0.2)
    assert running(torch) == []


def test_a_real_torch_if_there_is_one(tmp_path: Path) -> None:
    """Where the tests' Python has torch, or LLMFLEET_TEST_TORCH names one that has, Gloo sums up for real."""
    python = os.environ.get("LLMFLEET_TEST_TORCH") or sys.executable
    if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode:
        pytest.skip("no torch here")
    asked = {
        "backend": "gloo",
        "ranks": 2,
        "load_seconds": 120,
        "cuda_seconds": 60,
        "reduce_seconds": 60,
        "total_seconds": 300,
    }
    done = subprocess.run(
        [python, "-", json.dumps(asked)],
        input=PROGRAM.read_text(),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert json.loads(done.stdout.partition(MARK)[2])["all_reduce"]["ok"]
