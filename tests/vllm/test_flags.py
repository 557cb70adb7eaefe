# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines for GPUs, from the plan through the role's template, read by the real vLLM's own parser.

No GPU is needed for that: parser and model configuration judge them, as the role does before it stops anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import config as checkpoint_config  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan  # noqa: E402
from ansible_collections.llmfleet.serving.tests.unit.roles.vllm import test_specs  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import MODELS, PYTHON, SMALL  # noqa: E402

GIB = 1024**3
GPUS = [
    {
        "uuid": f"GPU-{index}",
        "index": index,
        "product_name": "NVIDIA H100 80GB HBM3",
        "compute_capability": "9.0",
        "memory_total_mib": 81559,
        "memory_reserved_mib": 551,
        "health": "ok",
    }
    for index in range(2)
]


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that the program's child, which is nobody, can read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def planned(folder: Path) -> list[dict[str, Any]]:
    """Plan a model on one GPU and a large one, with an fp8 cache, on both."""
    config = {**SMALL, **MODELS["full attention"][1]}
    (folder / "config.json").write_text(json.dumps(config))
    facts = checkpoint_config.describe(config)
    raw = [
        {"name": "chat", "source": f"path:{folder}", "facts": {**facts, "weight_bytes": 10 * GIB}, "concurrency": 8},
        {
            "name": "large",
            "source": f"path:{folder}",
            "facts": {**facts, "weight_bytes": 90 * GIB},
            "args": {"kv-cache-dtype": "fp8", "max-num-batched-tokens": 4096},
        },
    ]
    host = {"device": "cuda", "address": "127.0.0.1", "gpu_facts": {"gpus": GPUS}}
    plan = serving_plan.plan([models.complete(model) for model in raw], {"gpu1": host})
    assert plan["problems"] == []
    assert sorted(one["tensor_parallel_size"] for one in plan["instances"]) == [1, 2]
    return list(plan["instances"])


def test_the_parser_takes_what_is_planned(readable: Path, tmp_path: Path) -> None:
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    paths = {"chat": str(readable), "large": str(readable)}
    rendered = test_specs.render(tmp_path, planned(readable), vllm_model_paths=paths)
    commands = [[spec["command"], {}, spec["user_environment"]] for spec in rendered["specs"]]
    flags = [part for command, _environment, _given in commands for part in command]
    for wanted in ("--tensor-parallel-size=2", "--kv-cache-dtype=fp8", "--max-num-batched-tokens=4096"):
        assert wanted in flags
    assert sum(flag.startswith("--kv-cache-memory-bytes=") for flag in flags) == 2
    program = readable / "check_flags.py"
    program.write_bytes((ROOT / "roles/vllm/files/programs/check_flags.py").read_bytes())
    request = json.dumps({"host": "gpu1", "stamp": "", "commands": commands})
    command = [PYTHON, str(program)]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr[-2000:]) == (0, "")
