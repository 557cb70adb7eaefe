# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dry start, run with the real vLLM: its own decisions and refusals, for cards that this machine does not have."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import config as checkpoint_config  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import extras, kv_cache  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import MODELS, PYTHON, SMALL  # noqa: E402

PROGRAMS = ROOT / "roles" / "vllm" / "files" / "programs"
H100 = {"name": "NVIDIA H100 80GB HBM3", "capability": "9.0", "memory_mib": 81559}
T4 = {"name": "Tesla T4", "capability": "7.5", "memory_mib": 15360}
# Two idle cores take less; this also bounds a busy machine.
SECONDS_FOR_ALL = 300
KV_BYTES = 40_000_000
DRAFTER, EAGLE, FOREIGN = "drafter", "eagle", "foreign drafter"


def config(name: str, **own: Any) -> dict[str, Any]:
    """The configuration of a small model."""
    return {**SMALL, **MODELS[name][1], **own}


QUESTIONS: dict[str, dict[str, Any]] = {
    "dense": {"card": H100, "lengths": [8192], "kv_cache_bytes": [KV_BYTES]},
    "stages": {"card": H100, "flags": {"tensor-parallel-size": 2, "pipeline-parallel-size": 3}},
    "bfloat16 on Turing": {"card": T4, "flags": {"dtype": "bfloat16"}},
    "automatic on Turing": {"card": T4},
    "heads": {"card": H100, "flags": {"tensor-parallel-size": 3}},
    "thinks": {"card": H100, "flags": {"reasoning-parser": "qwen3", "tool-call-parser": "hermes"}},
    "no such flag": {"card": H100, "flags": {"no-such-flag": 3}},
    "adapters": {"card": H100, "flags": {"enable-lora": True}},
    "code of its own": {"card": H100, "files": {"config.json": {"auto_map": {"AutoConfig": "c.C"}, "model_type": "z"}}},
    "this machine": {"flags": {"max-model-len": 4096}, "lengths": [4096]},
}


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    if not PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    files = {"files": {"config.json": config("full attention")}}
    lines = [json.dumps({"id": name, **files, **question}) for name, question in QUESTIONS.items()]
    with tempfile.TemporaryDirectory() as folder:
        # The program becomes nobody before it imports its modules.
        Path(folder).chmod(0o755)
        draft = Path(folder, "draft")
        draft.mkdir()
        (draft / "config.json").write_text(json.dumps(config("full attention", num_hidden_layers=1)))
        foreign = Path(folder, "foreign")
        foreign.mkdir()
        (foreign / "config.json").write_text(json.dumps(config("full attention", num_hidden_layers=1, vocab_size=2048)))
        for name, place, method in ((DRAFTER, draft, {}), (EAGLE, draft, {"method": "eagle"}), (FOREIGN, foreign, {})):
            drafter = {"model": str(place), "num_speculative_tokens": 2, **method}
            lines.append(
                json.dumps(
                    {"id": name, **files, "card": H100, "flags": {"speculative-config": drafter}, "lengths": [8192]}
                )
            )
        programs = shutil.copytree(PROGRAMS, Path(folder, "programs"))
        command = [PYTHON, str(programs / "dry_start.py")]
        done = subprocess.run(
            command, input="\n".join(lines), capture_output=True, text=True, check=True, timeout=SECONDS_FOR_ALL
        )
    return {said["id"]: said for said in map(json.loads, done.stdout.splitlines())}


def test_every_question_is_answered(answers: dict[str, dict[str, Any]]) -> None:
    assert {name: said.get("error") for name, said in answers.items()} == dict.fromkeys(
        [*QUESTIONS, DRAFTER, EAGLE, FOREIGN]
    )


def test_decisions_are_of_the_card(answers: dict[str, dict[str, Any]]) -> None:
    hopper, turing, here = answers["dense"], answers["automatic on Turing"], answers["this machine"]
    assert (hopper["dtype"], turing["dtype"]) == ("bfloat16", "float16")
    assert (hopper["max_num_batched_tokens"], turing["max_num_batched_tokens"]) == (8192, 2048)
    assert hopper["attention_backends"] == ["FLASH_ATTN"]
    assert here["attention_backends"] == ["CPU_ATTN"]
    assert (hopper["stand_in"], here["stand_in"]) == (True, False)


def test_blocks_and_bytes(answers: dict[str, dict[str, Any]]) -> None:
    said = answers["dense"]
    # Two heads of 32 numbers, keys and values, in two bytes, 16 tokens a block, three layers.
    assert said["bytes_per_block"] == [2 * 2 * 32 * 2 * 16 * 3]
    assert said["requests"][0]["blocks"] == [512]
    assert said["caches"][0]["as_set"]["blocks"] == KV_BYTES // said["bytes_per_block"][0]
    assert len(answers["stages"]["stages"]) == 3
    # The drafter's layer lies in the same blocks, and its weights come on top.
    assert answers[DRAFTER]["bytes_per_block"] == [2 * 2 * 32 * 2 * 16 * 4]
    assert answers[DRAFTER]["stages"][0]["draft_weights_bytes"] > 0
    assert answers["adapters"]["stages"][0]["lora_bytes"] > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bfloat16 on Turing", "compute capability of at least 8.0"),
        ("heads", "must be divisible by tensor parallel size"),
        ("no such flag", "unrecognized arguments: --no-such-flag=3"),
        ("code of its own", "trust_remote_code"),
        (FOREIGN, "should have the same vocabulary size"),
    ],
)
def test_a_refusal_is_in_the_words_of_vllm(answers: dict[str, dict[str, Any]], name: str, words: str) -> None:
    assert answers[name]["accepted"] is False
    assert words in answers[name]["refusal"]


def parameters(layers: int, ends: int) -> int:
    """Return the numbers in a model of so many layers, with embedding, output or both."""
    hidden, inner, heads, keys, width = 256, 512, 4, 2, 32
    attention = hidden * width * (2 * heads + 2 * keys)
    return layers * (attention + 3 * hidden * inner + 2 * hidden) + ends * SMALL["vocab_size"] * hidden + hidden


@pytest.mark.parametrize(("name", "method"), [(DRAFTER, {}), (EAGLE, {"method": "eagle"})])
def test_the_plan_counts_a_drafter_as_the_engine_does(
    answers: dict[str, dict[str, Any]], name: str, method: dict[str, str]
) -> None:
    said, alone = answers[name], answers["dense"]
    facts = checkpoint_config.describe(config("full attention"))
    own = checkpoint_config.describe(config("full attention", num_hidden_layers=1))
    # An EAGLE head has embedding and output of the model, and a projection of both inputs.
    numbers = parameters(1, 2) if name == DRAFTER else parameters(1, 0) + 2 * 256 * 256
    facts["drafter"] = {**own, "weight_bytes": 2 * numbers}
    args = {"speculative-config": {"model": "/d", "num_speculative_tokens": 2, **method}}
    sizes = {"tensor_parallel_size": 1, "dtype": "bfloat16", "max_num_batched_tokens": 8192}
    layout = kv_cache.geometry(facts, args=args, compute_capability="9.0", **sizes)
    assert [layout.bytes_per_block] == said["bytes_per_block"]
    assert layout.blocks_for(8192) == sum(said["requests"][0]["blocks"]) >= sum(alone["requests"][0]["blocks"])
    planned = extras.drafter_bytes(facts, args, 1, "bfloat16")
    assert said["stages"][0]["draft_weights_bytes"] == pytest.approx(planned, rel=0.02)
