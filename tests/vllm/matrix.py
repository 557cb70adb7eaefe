# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the plan's arithmetic with the dry start: models of the catalogue, cards, sizes, caches, drafters, adapters.

matrix.py [--sample N] [--seed TEXT] [--minutes N] [--model PATTERN] [--card PATTERN] [--weigh] [--out FILE]

Each difference is printed with the question to which engine and arithmetic gave two answers. matrix_models.json holds
the configurations and `parameters` or `weight_bytes`; --weigh writes the latter, as the engine builds the model whole.
matrix_heads.json holds the same of EAGLE heads, with the models for which they propose.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.engine import Vllm  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import DTYPE_BYTES  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm.test_kv_cache import PYTHON as PYTHON  # noqa: E402

PROGRAMS = ROOT / "roles" / "vllm" / "files" / "programs"
RECORD = Path(__file__).with_name("matrix_models.json")
HEADS_RECORD = RECORD.with_name("matrix_heads.json")
MODELS: dict[str, dict[str, Any]] = json.loads(RECORD.read_text())
HEADS: dict[str, dict[str, Any]] = json.loads(HEADS_RECORD.read_text())
MIB = 2**20
# Name as nvidia-smi tells it, compute capability, MiB.
CARDS: dict[str, dict[str, Any]] = {
    name: {"name": name, "capability": capability, "memory_mib": memory}
    for name, capability, memory in (
        ("Tesla T4", "7.5", 15360),
        ("NVIDIA A100-SXM4-80GB", "8.0", 81920),
        ("NVIDIA A10", "8.6", 23028),
        ("NVIDIA GeForce RTX 3090", "8.6", 24576),
        ("NVIDIA L4", "8.9", 23034),
        ("NVIDIA L40S", "8.9", 46068),
        ("NVIDIA GeForce RTX 4090", "8.9", 24564),
        ("NVIDIA H100 80GB HBM3", "9.0", 81559),
        ("NVIDIA H200", "9.0", 143771),
        ("NVIDIA B200", "10.0", 183359),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0", 97887),
        ("NVIDIA GeForce RTX 5090", "12.0", 32607),
        ("NVIDIA GB10", "12.1", 122572),
    )
}
H100 = "NVIDIA H100 80GB HBM3"
SIZES = (1, 2, 4, 8)
PIPELINES = (2, 3)
LENGTHS = (1000, 8192, 32768)
ADAPTERS: tuple[dict[str, Any], ...] = (
    {"enable-lora": True},
    {"enable-lora": True, "max-loras": 4, "max-lora-rank": 64},
    {"enable-lora": True, "max-lora-rank": 32, "fully-sharded-loras": True},
)
# A smaller sibling with the same vocabulary proposes; where its files are, both sides read them.
DRAFT_MODELS = {
    "Qwen/Qwen3-[38]*": "Qwen/Qwen3-0.6B",
    "meta-llama/Llama-3.[13]*": "meta-llama/Llama-3.2-1B-Instruct",
}
EAGLE = ("eagle", "eagle3")
TOLERANCE = 0.02


@dataclasses.dataclass
class Gpu:
    """What the arithmetic asks of a card."""

    name: str
    capability: tuple[int, int]
    total: int


class Case(NamedTuple):
    """One combination."""

    model: str
    card: str
    tensor: int
    args: dict[str, Any]

    @property
    def name(self) -> str:
        """Return the text that tells it from all others."""
        said = " ".join(f"{name}={json.dumps(value)}" for name, value in self.args.items())
        return f"{self.model} | {self.card} | TP {self.tensor} | {said or 'no flags'}"


def cases(models: str = "*", cards: str = "*") -> list[Case]:
    """Return every combination for models and cards whose names match."""
    found = []
    for model in fnmatch.filter(MODELS, models):
        variants: list[dict[str, Any]] = [
            {**kv, **prefix}
            for kv in ({}, {"kv-cache-dtype": "fp8"})
            for prefix in ({}, {"enable-prefix-caching": False})
        ]
        variants += [{"speculative-config": drafter} for drafter in drafters(model)]
        variants += [
            {"pipeline-parallel-size": stages, **kv} for stages in PIPELINES for kv in (variants[0], variants[2])
        ]
        variants += [{"pipeline-parallel-size": 2, "speculative-config": drafter} for drafter in drafters(model)]
        variants += [{"pipeline-parallel-size": 2, **ADAPTERS[0]}, *ADAPTERS]
        for card in fnmatch.filter(CARDS, cards):
            found += [Case(model, card, tensor, args) for tensor in SIZES for args in variants]
    return found


def drafters(model: str) -> list[dict[str, Any]]:
    """Return the ways of speculative decoding that a model has."""
    found: list[dict[str, Any]] = []
    if facts_of(model).get("num_nextn_predict_layers"):
        found.append({"method": "mtp", "num_speculative_tokens": 2})
    for pattern, draft in DRAFT_MODELS.items():
        if fnmatch.fnmatchcase(model, pattern):
            found.append({"model": draft, "num_speculative_tokens": 3})
    for head, entry in HEADS.items():
        if model in entry["models"]:
            found.append({"method": entry["method"], "model": head, "num_speculative_tokens": 3})
    return found


def shuffled(found: list[Case], seed: str) -> list[Case]:
    """Return cases in an order that a text decides; every beginning of it is a fair sample."""
    return sorted(found, key=lambda case: hashlib.sha256(f"{seed}{case.name}".encode()).digest())


def facts_of(model: str) -> dict[str, Any]:
    """Return the facts of a model as `model_info` would."""
    entry = MODELS.get(model) or HEADS[model]
    config = entry["config.json"]
    if not config.get("quantization_config") and entry.get("hf_quant_config.json"):
        config = {**config, "quantization_config": entry["hf_quant_config.json"]}
    facts = describe(config)
    size, parameters = entry.get("weight_bytes"), entry.get("parameters")
    if parameters:
        size = parameters * DTYPE_BYTES[facts["dtype"] or "float32"]
    return {**facts, "weight_bytes": size, "parameters": parameters}


def question(case: Case, folders: Path) -> dict[str, Any]:
    """Return a case as a question to the dry start."""
    flags = {"tensor-parallel-size": case.tensor, **case.args}
    drafter = flags.get("speculative-config")
    if drafter and "model" in drafter:
        flags["speculative-config"] = {**drafter, "model": str(folders / drafter["model"].rpartition("/")[2])}
    files = {name: content for name, content in MODELS[case.model].items() if name.endswith(".json")}
    return {"id": case.name, "files": files, "card": CARDS[case.card], "flags": flags, "lengths": list(LENGTHS)}


def refusal(case: Case, facts: dict[str, Any], gpu: Gpu) -> str:
    """Return why the plan would not place a case; empty where it would."""
    engine = Vllm()
    refused = engine.refusal(facts, case.args, gpu)
    return (
        (refused[0] if refused else "")
        or engine.kv_dtype(case.args, facts, gpu)[1]
        or engine.division_refusal(facts, case.args, case.tensor, gpu)
        or engine.pipeline_refusal(facts, case.args, case.args.get("pipeline-parallel-size", 1))
    )


def _loads_wrong_scales(why: str, facts: dict[str, Any], said: dict[str, Any]) -> bool:
    """Check for what vLLM accepts and the plan refuses on purpose.

    Exllama's kernel, for GPTQ in float16, and experts in NVFP4 take groups that ranks cut: they round the number of
    scales down, and each rank then reads those of other groups.
    """
    method = facts["quantization"]
    return "groups of" in why and (method == "modelopt_fp4" or (method == "gptq" and said.get("dtype") == "float16"))


def differences(case: Case, said: dict[str, Any]) -> list[str]:
    """Return in what an answer of the engine differs from the arithmetic."""
    engine, facts, card = Vllm(), facts_of(case.model), CARDS[case.card]
    major, _dot, minor = card["capability"].partition(".")
    gpu = Gpu(card["name"], (int(major), int(minor)), card["memory_mib"] * MIB)
    drafter, stages = case.args.get("speculative-config") or {}, case.args.get("pipeline-parallel-size", 1)
    if "model" in drafter:
        facts["drafter"] = facts_of(drafter["model"])
    try:
        why = refusal(case, facts, gpu)
        if why or not said["accepted"]:
            if bool(why) == (not said["accepted"]) or _loads_wrong_scales(why, facts, said):
                return []
            return [f"arithmetic: {why or 'accepted'}; engine: {said.get('refusal') or 'accepted'}"]
        dtype = engine.dtype(case.args, facts, gpu)[0]
        layout = engine.layout(
            facts,
            tensor_parallel_size=case.tensor,
            pipeline_parallel_size=stages,
            dtype=dtype,
            kv_cache_dtype=engine.kv_dtype(case.args, facts, gpu)[0],
            max_num_batched_tokens=said["max_num_batched_tokens"],
            compute_capability=card["capability"],
            args=case.args,
        )
    except LayoutError as error:
        return [f"arithmetic: {error}; engine: accepted"] if said["accepted"] else []
    weights = engine.rank_weight_bytes(facts, case.args, gpu, dtype, (case.tensor, stages, 1))
    tokens, sequences = engine.serve_defaults(gpu)
    least = engine.least_tokens(facts, case.args)
    if facts["encoder_only"]:
        # Encoders read a text in one step, which is why the plan makes none shorter than their longest.
        least = max(least, facts["max_position_embeddings"])
    pairs: dict[str, tuple[Any, Any]] = {
        "dtype": (dtype, said["dtype"]),
        "max_num_seqs": (sequences, said["max_num_seqs"]),
        "max_num_batched_tokens": (max(tokens, least), said["max_num_batched_tokens"]),
        "max_model_len": (facts["max_position_embeddings"], said["max_model_len"]),
        "bytes_per_block": (layout.bytes_per_block, max(said["bytes_per_block"], default=0)),
    }
    for request in said["requests"]:
        length = request["length"]
        pairs[f"blocks of {length}"] = (layout.blocks_for(length), sum(request["blocks"]))
        pairs[f"bytes of {length}"] = (layout.bytes_to_start(length), max(request["bytes_to_start"]))
    found = [f"{name}: arithmetic {mine}, engine {its}" for name, (mine, its) in pairs.items() if mine != its]
    parts = ("weights_bytes", "mla_copies_bytes", "draft_weights_bytes", "lora_bytes")
    held = max(sum(stage[part] for part in parts) for stage in said["stages"])
    if abs(weights - held) > TOLERANCE * held:
        found.append(f"weights: arithmetic {weights}, engine {held} ({weights / held - 1:+.1%})")
    return found


@contextmanager
def dry_start() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run the dry start; yield its process and the folder of the draft models."""
    with tempfile.TemporaryDirectory() as folder:
        # The program becomes nobody before it imports its modules.
        Path(folder).chmod(0o755)
        programs, drafts = shutil.copytree(PROGRAMS, Path(folder, "programs")), Path(folder, "drafts")
        for model in (*DRAFT_MODELS.values(), *HEADS):
            own = drafts / model.rpartition("/")[2]
            own.mkdir(parents=True)
            (own / "config.json").write_text(json.dumps((MODELS.get(model) or HEADS[model])["config.json"]))
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            process = subprocess.Popen(
                ["nice", "-n", "19", PYTHON, str(programs / "dry_start.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=nowhere,
                text=True,
            )
        try:
            yield process, drafts
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait(timeout=120)


def answers(asked: list[Case], seconds: float) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Yield cases with the engine's answers, one after the other, until the time is up."""
    until = time.monotonic() + seconds
    with dry_start() as (process, folders):
        if not process.stdin or not process.stdout:
            return
        for case in asked:
            if time.monotonic() > until:
                return
            process.stdin.write(json.dumps(question(case, folders)) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                return
            yield case, dict(json.loads(line))


def compare(asked: list[Case], seconds: float, out: Any = None) -> tuple[int, list[str], list[str]]:
    """Ask and print; return how many answers there were, the differences, and the questions without an answer."""
    count, different, silent = 0, [], []
    slowest: list[tuple[float, str]] = []
    for case, said in answers(asked, seconds):
        if out:
            out.write(json.dumps(said) + "\n")
            out.flush()
        slowest = sorted([*slowest, (said.get("seconds") or 0.0, case.name)], reverse=True)[:4]
        if said["accepted"] is None:
            silent.append(f"{case.name}: {said['error']}")
            print("no answer", silent[-1], flush=True)
            continue
        count += 1
        found = differences(case, said)
        different += [f"{case.name}: {text}" for text in found]
        verdict = "differs" if found else "agrees" if said["accepted"] else "agrees to refuse"
        print(f"{verdict:16} {case.name}", *found, sep="\n                 ", flush=True)
    print(f"{count} answers, {len(different)} differences, {len(silent)} without an answer; the slowest:")
    print(*(f"  {seconds} s {name}" for seconds, name in slowest), sep="\n")
    return count, different, silent


def weigh(models: str) -> None:
    """Write what the engine holds of each model on one H100, without its padding for kernels, as the checkpoint's."""
    asked = [Case(model, H100, 1, {}) for model in fnmatch.filter(MODELS, models)]
    for model in fnmatch.filter(MODELS, models):
        asked += [
            Case(model, H100, 1, {"speculative-config": one}) for one in drafters(model) if one.get("method") in EAGLE
        ]
    for case, said in answers(asked, float("inf")):
        if not said["accepted"]:
            print(case.name, said.get("refusal") or said.get("error"))
            continue
        drafter = case.args.get("speculative-config")
        entry = HEADS[drafter["model"]] if drafter else MODELS[case.model]
        held = said["stages"][0]["draft_weights_bytes" if drafter else "weights_bytes"]
        if facts_of(case.model)["quantization"] and not drafter:
            entry["weight_bytes"] = held
        else:
            entry["parameters"] = held // DTYPE_BYTES[said["dtype"]]
        print(case.name, held)
    for record, entries in ((RECORD, MODELS), (HEADS_RECORD, HEADS)):
        lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in entries.items()]
        record.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sample", type=int, help="how many questions; all without it")
    parser.add_argument("--seed", default="", help="what decides the order")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for how long to ask")
    parser.add_argument("--model", default="*", help="pattern of names")
    parser.add_argument("--card", default="*", help="pattern of names")
    parser.add_argument("--out", type=argparse.FileType("a"), help="file for the engine's answers")
    parser.add_argument("--weigh", action="store_true", help="write weight_bytes of the models")
    given = parser.parse_args()
    if not PYTHON:
        parser.error("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON")
    if given.weigh:
        weigh(given.model)
        return 0
    asked = shuffled(cases(given.model, given.card), given.seed)[: given.sample]
    print(f"{len(asked)} questions, seed {given.seed!r}")
    return 1 if compare(asked, given.minutes * 60, given.out)[1] else 0


if __name__ == "__main__":
    sys.exit(main())
