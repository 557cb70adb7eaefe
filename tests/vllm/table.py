# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the shipped table of what vLLM answers about the catalogue's models on common cards.

table.py [--minutes N] [--model PATTERN] [--processes N] [--anew] [--count]

What the table of this release has is not asked again, so a run that ended can be continued. Models are those of
tests/catalog/configs.json; facts come from `make catalog-facts`, which comes first.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import digest_of  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import gpu_sizing, shipped  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import Device, devices  # noqa: E402
from ansible_collections.llmfleet.serving.tests.vllm import matrix  # noqa: E402

TABLE = ROOT / "plugins/plugin_utils/fleet/answers.json"
CONFIGS: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/catalog/configs.json").read_text())
FACTS: dict[str, dict[str, Any]] = json.loads((ROOT / "plugins/plugin_utils/whatif/facts.json").read_text())
CATALOG = yaml.safe_load((ROOT / "group_vars/all/llm_catalog.yml").read_text())["llm_catalog"]
RELEASE = str(
    yaml.safe_load((ROOT / "roles/fleet_defaults/defaults/main/doctor.yml").read_text())["llm_releases"]["vllm"][
        "version"
    ]
)
# The first of a capability is asked about in place of all.
COMMON = (
    *("T4", "A10", "RTX A6000", "A100 40GB", "A100 80GB", "L4", "L40S", "H100", "H200", "B200"),
    *("RTX 5090", "RTX PRO 6000", "GB10"),
)
KV_CACHE_DTYPES = ("auto", "fp8")
# Tokens of the requests whose blocks are noted, and of the shortest context that is tried where the longest is refused.
LENGTHS = (8192, 32768)
SHORT = 2048
# Of each GPU's memory, what weights may take so that something is left for the KV cache.
FOR_WEIGHTS = 0.85
WINDOWS = ("sliding_attention", "chunked_attention")
SAVED_AFTER = 20
Ask = Callable[[dict[str, Any]], dict[str, Any]]


class Wanted(NamedTuple):
    """A combination to ask about."""

    model: dict[str, Any]
    card: str
    device: Device
    sizes: dict[str, Any]
    order: int
    """Those that a plan chooses first are asked first."""
    any_step: bool = False

    @property
    def entry(self) -> tuple[str, str]:
        """Return the config and the flags."""
        return key_of(self.model)

    @property
    def asked(self) -> str:
        """Return the combination as the table writes it."""
        return shipped.combination(self.device, self.sizes, self.any_step)


def model_of(name: str, kv_cache_dtype: str = "auto") -> dict[str, Any]:
    """Return a model of the catalogue as a plan has it, without the flags of the server in front of the engine."""
    (model,) = inventory_models.resolve([{"name": "model", "source": f"hf://{name}"}], CATALOG)
    args = {flag: value for flag, value in model["args"].items() if flag not in shipped.SERVER_FLAGS}
    if kv_cache_dtype != "auto":
        args["kv-cache-dtype"] = kv_cache_dtype
    return {**model, "args": args, "repository": name, "facts": FACTS[name]}


def key_of(model: dict[str, Any]) -> tuple[str, str]:
    """Return the config and the flags of a model, by which the table has it."""
    return str(model["facts"]["config_digest"]), shipped.flags_of(model)


def device_of(card: str) -> Device:
    """Return a card as the plan sees it."""
    found = cards.find(card)
    if found is None:
        raise KeyError(card)
    gpu = cards.gpu(found, 0, "GPU-0")
    return devices({"gpus": [gpu]}, [], set(), {}, found.memory_mib)[0][0]


def layout(model: dict[str, Any], device: Device, one: dict[str, Any]) -> Any:
    """Return the computed layout of a KV cache."""
    return registry.of(model).layout(
        model["facts"],
        compute_capability=".".join(map(str, device.capability)),
        args=model["args"],
        **{name: one[name] for name in ("tensor_parallel_size", "dtype", "kv_cache_dtype", "max_num_batched_tokens")},
    )


def sensible(model: dict[str, Any], device: Device, most: int) -> list[int]:
    """Return the fewest GPUs that hold a model, and twice as many."""
    engine, facts = registry.of(model), model["facts"]
    dtype = engine.dtype(model["args"], facts, device)[0]
    fitting = [
        ranks
        for ranks in shipped.RANKS
        if ranks <= most
        and not engine.division_refusal(facts, model["args"], ranks, device)
        and engine.rank_weight_bytes(facts, model["args"], device, dtype, (ranks, 1, 1)) < FOR_WEIGHTS * device.total
    ]
    return fitting[:2]


def wanted_of(name: str) -> list[Wanted]:
    """Return what a plan could choose for a model on the common cards and what the arithmetic does not refuse."""
    found: dict[str, Wanted] = {}
    for kv_cache_dtype in KV_CACHE_DTYPES:
        model = model_of(name, kv_cache_dtype)
        if kv_cache_dtype != "auto" and not model["facts"]["layers"]:
            continue
        for card in COMMON:
            device, most = device_of(card), cards.find(card).per_machine  # type: ignore[union-attr]
            if (
                gpu_sizing.barred(model, device)
                or registry.of(model).kv_dtype(model["args"], model["facts"], device)[1]
            ):
                continue
            good = sensible(model, device, most)
            for ranks in good:
                steps = [one for one in shipped.sizes(model, device) if one["tensor_parallel_size"] == ranks]
                order = 2 * good.index(ranks) + KV_CACHE_DTYPES.index(kv_cache_dtype)
                for one in _steps(model, device, steps, order, card):
                    found.setdefault(one.asked, one)
    return list(found.values())


def _steps(model: dict[str, Any], device: Device, steps: list[dict[str, Any]], order: int, card: str) -> list[Wanted]:
    """Return one combination for all steps if they lay out the cache alike and are long enough, else one for each."""
    facts = model["facts"]
    try:
        laid = [
            [layout(model, device, one).blocks_for(length) for length in lengths_of(model)] if facts["layers"] else []
            for one in steps
        ]
    except LayoutError:
        return []
    # A window holds the tokens in flight, and how many these are is a matter of the step.
    alike = all(one == laid[0] for one in laid) and not any(layer["type"] in WINDOWS for layer in facts["layers"])
    if alike and all(one["max_num_batched_tokens"] >= shipped.LEAST_STEP for one in steps):
        return [Wanted(model, card, device, steps[0], order, True)]
    return [Wanted(model, card, device, one, order) for one in steps]


def lengths_of(model: dict[str, Any]) -> list[int]:
    """Return the lengths of requests to ask about: the model's longest, and usual ones."""
    longest = int(model["facts"]["max_position_embeddings"])
    return sorted({longest, *(length for length in LENGTHS if length < longest)})


def question(one: Wanted, length: int) -> dict[str, Any]:
    """Return a combination as a question to the dry start."""
    instance = {
        **one.sizes,
        "device": "cuda",
        "max_model_len": length,
        "env": one.model["env"],
        "args": one.model["args"],
    }
    asked = registry.of(one.model).question(instance, {}, {})
    card = cards.find(one.card)
    if card is None:
        raise KeyError(one.card)
    told = {"name": card.product_name, "capability": card.capability, "memory_mib": card.memory_mib}
    lengths = [known for known in lengths_of(one.model) if known <= length]
    return {
        **asked,
        "files": {"config.json": CONFIGS[one.model["repository"]]["config"]},
        "card": told,
        "lengths": lengths,
    }


def said(ask: Ask, one: Wanted) -> list[dict[str, Any]]:
    """Return what the engine says of a combination, as the table has it: of a refusal, of a short context too."""
    found = []
    longest = lengths_of(one.model)[-1]
    for length in sorted({longest, min(SHORT, longest)}, reverse=True):
        asked = question(one, length)
        answer = ask(asked)
        told = registry.of(one.model).answer(answer, asked)
        if told["accepted"] is None:
            print(f"no answer: {one.model['repository']} {one.card} {one.asked}: {told['sentence']}", flush=True)
            break
        kept: dict[str, Any] = {"accepted": told["accepted"], "max_model_len": length}
        if told["accepted"]:
            kept.update(weights=told["weights"], bytes_per_block=told["bytes_per_block"], blocks=told["blocks"])
            found.append(kept)
            break
        found.append({**kept, "sentence": told["sentence"]})
    # The same refusal of a short context covers that of a long one.
    return found[-1:] if not any(told["accepted"] for told in found) else found


class Table:
    """The table while it grows."""

    def __init__(self, anew: bool = False) -> None:
        """Read what an earlier run has asked of this release."""
        self.known: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
        self.lock = threading.Lock()
        earlier = json.loads(TABLE.read_text()) if TABLE.exists() and not anew else {}
        if earlier.get("release") == RELEASE:
            for entry in earlier["entries"]:
                own = self.known.setdefault((entry["config"], entry["flags"]), {})
                for row in entry["rows"]:
                    for asked in row["asked"]:
                        own.setdefault(asked, []).append(row["said"])

    def add(self, one: Wanted, told: list[dict[str, Any]]) -> None:
        """Take an answer."""
        with self.lock:
            self.known.setdefault(one.entry, {})[one.asked] = told

    def text(self) -> str:
        """Return the table: an entry a line, in the order of configs and flags; models that are gone are left out."""
        shapes: dict[tuple[str, str], tuple[str, list[str]]] = {}
        for name in sorted(CONFIGS):
            model = model_of(name)
            shapes.setdefault(key_of(model), (shipped.shape_of(model["facts"]), []))[1].append(name)
        lines = []
        for key, (shape, names) in sorted(shapes.items(), key=lambda item: item[1][1]):
            if not self.known.get(key):
                continue
            rows: dict[str, tuple[dict[str, Any], list[str]]] = {}
            for asked, told in sorted(self.known[key].items()):
                for what in told:
                    rows.setdefault(json.dumps(what, sort_keys=True), (what, []))[1].append(asked)
            entry = {
                "config": key[0],
                "flags": key[1],
                "shape": shape,
                "models": names,
                "rows": [{"said": what, "asked": asked} for what, asked in rows.values()],
            }
            lines.append(json.dumps(entry, sort_keys=True, separators=(",", ":")))
        head = {"engine": "vllm", "release": RELEASE}
        start = json.dumps(head)[:-1]
        return f'{start}, "entries": [\n' + ",\n".join(lines) + "\n]}\n"

    def save(self) -> None:
        """Write the table."""
        with self.lock:
            TABLE.write_text(self.text())


def every(pattern: str = "*") -> list[Wanted]:
    """Return all combinations, of equal configs once, those first that a plan chooses first."""
    found: dict[tuple[Any, ...], Wanted] = {}
    for name in fnmatch.filter(sorted(CONFIGS), pattern):
        if FACTS[name].get("config_digest") != digest_of(CONFIGS[name]["config"]):
            sys.exit("the shipped facts are older than tests/catalog/configs.json: run make catalog-facts")
        for one in wanted_of(name):
            found.setdefault((one.entry, one.asked), one)
    return sorted(found.values(), key=lambda one: one.order)


def drawn(seed: str, count: int) -> list[tuple[Wanted, list[dict[str, Any]]]]:
    """Return entries of the table with what it says, each about some card that it holds for; a text decides which."""
    table = Table()
    names = {key: name for name in sorted(CONFIGS, reverse=True) for key in [key_of(model_of(name))]}
    places = [(key, asked) for key, own in table.known.items() if key in names for asked in own]
    places.sort(key=lambda place: hashlib.sha256(f"{seed}{place}".encode()).digest())
    return [(_asked_again(names[key], asked, seed), table.known[key][asked]) for key, asked in places[:count]]


def _asked_again(name: str, asked: str, seed: str) -> Wanted:
    """Return what the table writes as a combination to ask about, on one of all cards of that capability."""
    capability, ranks, _dtype, kv_cache_dtype, step = asked.split("/")
    model = model_of(name, kv_cache_dtype)
    fitting = [card for card in cards.CARDS if card.capability == capability]
    card = min(fitting, key=lambda one: hashlib.sha256(f"{seed}{name}{one.name}".encode()).digest())
    device = device_of(card.name)
    (*_others, one) = [
        {**one, "max_num_batched_tokens": one["max_num_batched_tokens"] if step == shipped.ANY_STEP else int(step)}
        for one in shipped.sizes(model, device)
        if one["tensor_parallel_size"] == int(ranks)
    ]
    return Wanted(model, card.name, device, one, 0, step == shipped.ANY_STEP)


@contextmanager
def asking() -> Iterator[Ask]:
    """Run the dry start; yield what asks it."""
    with matrix.dry_start() as (process, _drafts):
        pipe, answers = process.stdin, process.stdout

        def ask(asked: dict[str, Any]) -> dict[str, Any]:
            if pipe is None or answers is None:
                return {"accepted": None, "error": "the dry start cannot be reached"}
            pipe.write(json.dumps(asked) + "\n")
            pipe.flush()
            return dict(json.loads(answers.readline()))

        yield ask


def ask_all(open_questions: list[Wanted], table: Table, seconds: float) -> int:
    """Ask until all is answered or the time is up; return how many questions are left."""
    until = time.monotonic() + seconds
    with asking() as ask:
        for count, one in enumerate(open_questions):
            if time.monotonic() > until:
                return len(open_questions) - count
            table.add(one, said(ask, one))
            if count % SAVED_AFTER == SAVED_AFTER - 1:
                table.save()
                print(f"{count + 1} of {len(open_questions)}", flush=True)
    return 0


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=25, help="for how long to ask")
    parser.add_argument("--processes", type=int, default=2, help="dry starts that are asked side by side")
    parser.add_argument("--model", default="*", help="pattern of names")
    parser.add_argument("--anew", action="store_true", help="ask again what the table has")
    parser.add_argument("--count", action="store_true", help="only tell how many questions there are")
    given = parser.parse_args()
    table = Table(given.anew)
    asked = every(given.model)
    left = [one for one in asked if one.asked not in table.known.get(one.entry, {})]
    print(f"{len(asked)} combinations, {len(left)} of them open")
    if given.count or not left:
        table.save()
        return 0
    if not matrix.PYTHON:
        parser.error("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON")
    rest: list[int] = []
    workers = [
        threading.Thread(
            target=lambda own=left[number :: given.processes]: rest.append(ask_all(own, table, given.minutes * 60))
        )
        for number in range(given.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    table.save()
    print(f"{sum(rest)} are still open" if sum(rest) else "everything is answered")
    return 1 if sum(rest) else 0


if __name__ == "__main__":
    sys.exit(main())
