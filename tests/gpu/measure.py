# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan, ask, start and load models on the GPU of this machine, and write down what was planned and what was measured.

measure.py --out FOLDER [--minutes N] [--rounds NUMBER...]    with the Python of an engine; no network is needed

Weights are random and of the right shape (--load-format dummy). Everything else is as site.yml has it: facts by
gpu_facts, the plan, the dry start, flags and environment of the role vllm, and the load of prove_engines.
FOLDER gets measured.json (sizes in bytes), the answers of nvidia-smi, and the end of each engine's log.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "collections"), str(Path(__file__).parent)]

import cases  # noqa: E402
import tokens  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import specs  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.modules import gpu_facts, prove_engines  # noqa: E402

PROGRAMS = ROOT / "roles/vllm/files/programs"
ABOUT = Path(__file__).with_name("about.py")
CATALOG = yaml.safe_load((ROOT / "group_vars/all/llm_catalog.yml").read_text())["llm_catalog"]
WHATIF = json.loads((ROOT / "plugins/plugin_utils/whatif/facts.json").read_text())
KEY = "key-of-a-measurement"
FILES = ("llmfleet_access.py", "llmfleet_engine_log.py", "sitecustomize.py")
SECONDS_TO_START = 150
SECONDS_OF_LOAD = 40
LOG_KEPT = 60_000
MIB = 2**20
# Both compile their kernels at the first start, for minutes.
QUICK = {"VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_USE_DEEP_GEMM": "0"}


def said(text: str) -> None:
    """Print a line at once, with the time."""
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


class Card:
    """The GPU, as NVML tells of it."""

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self.nvml, self.handle = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
        self.most: dict[int, int] = {}
        """The most bytes of each process."""
        self.most_of_all = 0
        self.ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def used(self) -> int:
        """Return the bytes in use."""
        return int(self.nvml.nvmlDeviceGetMemoryInfo(self.handle).used)

    def _watch(self) -> None:
        while not self.ended.wait(0.2):
            self.most_of_all = max(self.most_of_all, self.used())
            with contextlib.suppress(self.nvml.NVMLError):
                for process in self.nvml.nvmlDeviceGetComputeRunningProcesses(self.handle):
                    if process.usedGpuMemory:
                        self.most[process.pid] = max(self.most.get(process.pid, 0), int(process.usedGpuMemory))


def model_facts(source: str) -> dict[str, Any]:
    """Return the facts of a model, as model_info reads them."""
    if source in WHATIF:
        return dict(WHATIF[source])
    facts = describe(cases.config_of(source))
    return {**facts, "weight_bytes": cases.MLA_BYTES, "weight_bytes_source": "index"}


def resolved(one: cases.Model) -> dict[str, Any]:
    """Return a model of the inventory with its facts."""
    name = one.source.rpartition("/")[2].lower()
    (model,) = inventory_models.resolve([{"name": name, "source": f"hf://{one.source}", **one.own}], CATALOG)
    return {**model, "facts": model_facts(one.source)}


def host() -> dict[str, Any]:
    """Return this machine as the plan reads it."""
    facts = gpu_facts.gather({"nvidia_smi_path": None, "timeout": 30})
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
    cpu = {"vcpus": os.cpu_count() or 1, "memory_mib": memory}
    return {"device": "cuda", "address": "127.0.0.1", "listen": "127.0.0.1", "gpu_facts": facts, "cpu": cpu}


def settings(folder: Path, names: list[str]) -> dict[str, Any]:
    """Return the settings of the role vllm for engines that run from a folder."""
    return {
        "python": sys.executable,
        "search_path": os.environ["PATH"],
        "paths": {name: str(folder / "models" / name) for name in names},
        "readable": [],
        "config_root": str(folder / "config"),
        "state_root": str(folder / "state"),
        "run_root": str(folder / "run"),
        "args": {},
        "env": {},
        "compile": True,
        "log_level": "INFO",
        "drain_timeout": 1,
        "ready_deadline": SECONDS_TO_START,
        "start_deadlines": {},
        "api_key": KEY,
        "api_paths": ["/v1/models", "/v1/completions", "/v1/chat/completions", "/v1/embeddings"],
        "max_choices": 1,
        "max_prompts": 32,
        "media_domains": [],
        "scheduling_policy": "fcfs",
        "egress": {},
    }


class Started:
    """An engine that was started as its service would."""

    def __init__(self, instance: dict[str, Any], folder: Path, own: dict[str, Any]) -> None:
        (spec,) = specs.specs([instance], own)
        config, state = folder / "config" / spec["name"], folder / "state" / spec["name"]
        for place in (config, state, folder / "run" / spec["name"], folder / "log"):
            place.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy(ROOT / "roles/vllm/files" / name, config / name)
        variables = {key: str(value) for key, value in {**spec["environment"], **spec["user_environment"]}.items()}
        variables["PYTHONPATH"] = f"{config}:{os.environ.get('PYTHONPATH', '')}"
        self.command = [*spec["command"], "--load-format=dummy"]
        self.log = folder / "log" / f"{spec['name']}.log"
        self.began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **QUICK, **variables, **spec["secrets"]},
                start_new_session=True,
                cwd=state,
            )
        self.instance, self.seconds = instance, 0.0

    def text(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace")

    def pids(self) -> list[int]:
        """Return its processes."""
        listed = subprocess.run(["ps", "-o", "pid=", "-s", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in listed.stdout.split()]

    def stop(self) -> None:
        """Kill all of its processes."""
        for pid in [*self.pids(), self.process.pid]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Asked(threading.Thread):
    """The dry start of the instances of a round, by the real platform or by the stand-in of the card."""

    def __init__(self, questions: list[dict[str, Any]], stand_in: dict[str, Any] | None) -> None:
        super().__init__()
        self.questions = [{**one, **({"card": stand_in} if stand_in else {})} for one in questions]
        self.answers: list[dict[str, Any]] = []
        self.start()

    def run(self) -> None:
        """Ask."""
        lines = "\n".join(map(json.dumps, self.questions)) + "\n"
        ended = subprocess.run(
            [sys.executable, str(PROGRAMS / "dry_start.py")],
            input=lines,
            capture_output=True,
            text=True,
            env={**os.environ, "DRY_START_SECONDS": "120", "DRY_START_MEMORY_MIB": "24576"},
        )
        self.answers = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        if not self.answers:
            self.answers = [{"accepted": None, "error": ended.stderr[-600:]}]


def wait(running: list[Started]) -> None:
    """Wait until all are healthy or ended."""
    left, until = list(running), time.monotonic() + SECONDS_TO_START
    while left and time.monotonic() < until:
        for one in list(left):
            engine = prove_engines.Engine(one.instance, given([one]))
            if engine.alive():
                one.seconds = time.monotonic() - one.began
                said(f"{one.instance['name']} is ready after {one.seconds:.0f} s")
                left.remove(one)
            elif one.process.poll() is not None:
                said(f"{one.instance['name']} ended with {one.process.returncode}")
                left.remove(one)
        time.sleep(0.5)


def given(running: list[Started], models: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return the parameters of prove_engines."""
    models = models or []
    return {
        "api_key": KEY,
        "earlier": [],
        "seconds": SECONDS_OF_LOAD,
        "prefix": "llm-",
        "log_root": str(running[0].log.parent),
        "modes": {model["name"]: model["mode"] for model in models},
        "image_models": [model["name"] for model in models if model["facts"].get("multimodal")],
        "prompts": 32,
        "packages": {},
        "instances": [one.instance for one in running],
    }


def record(one: Started, card: Card, model: dict[str, Any], proof: dict[str, Any]) -> dict[str, Any]:
    """Return what was planned for an instance and what was measured."""
    instance, log = one.instance, one.text()
    used = [card.most[pid] for pid in one.pids() if pid in card.most]
    kept = (
        "dtype",
        "quantization",
        "kv_cache_dtype",
        "max_model_len",
        "max_num_seqs",
        "max_num_batched_tokens",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "kv_cache_blocks",
        "kv_cache_tokens",
        "block_size",
    )
    said_wrong = [line[-400:] for line in log.splitlines() if "Error" in line][-3:]
    return {
        "source": model["source"].removeprefix("hf://"),
        "args": model["args"],
        "planned": {name: instance.get(name) for name in kept} | {"memory": instance["memory"]},
        "measured": registry.of(instance).parse_log(log),
        "process_bytes": max(used, default=None),
        "seconds_to_ready": round(one.seconds, 1),
        "proof": proof,
        **({} if one.seconds else {"error": said_wrong or [log[-400:]]}),
    }


@contextlib.contextmanager
def engines(instances: list[dict[str, Any]], folder: Path, models: list[dict[str, Any]]) -> Iterator[list[Started]]:
    """Start the instances of a round together, and kill them afterwards."""
    running = []
    try:
        own = settings(folder, [model["name"] for model in models])
        running = [Started(one, folder, own) for one in instances]
        wait(running)
        yield running
    finally:
        for one in running:
            one.stop()


def round_of(number: int, machine: dict[str, Any], card: Card, folder: Path) -> dict[str, Any]:
    """Plan, ask, start and load the models of a round."""
    chosen = cases.ROUNDS[number]
    models = [resolved(one) for one in chosen]
    for one, model in zip(chosen, models):
        place = folder / "models" / model["name"]
        place.mkdir(parents=True, exist_ok=True)
        config = cases.config_of(one.source)
        (place / "config.json").write_text(json.dumps(config))
        tokens.write(place, config)
        for path in place.iterdir():
            path.chmod(0o644)
    plan = serving_plan.plan(models, {"here": machine})
    instances = plan["instances"]
    said(f"round {number}: {', '.join(one['name'] for one in instances)}")
    if plan["unplaced"]:
        said(f"no place: {plan['unplaced']}")
    by_name = {model["name"]: model for model in models}
    questions = [
        {
            **registry.of(one).question(one, {}, {}),
            "id": one["name"],
            "model": str(folder / "models" / one["model"]),
        }
        for one in instances
    ]
    gpu = machine["gpu_facts"]["gpus"][0]
    stand_in = {
        "name": gpu["product_name"],
        "capability": gpu["compute_capability"],
        "memory_mib": gpu["memory_total_mib"],
        "count": 1,
    }
    asked = [Asked(questions, None), Asked(questions, stand_in)]
    before, card.most_of_all = card.used(), 0
    with engines(instances, folder, models) as running:
        ready = [one for one in running if one.seconds]
        proven = {}
        for one in ready:
            proof = prove_engines.prove(one.instance, given(running, models), "here")
            proven[one.instance["name"]] = proof
            said(f"{one.instance['name']}: {proof['outcome']} {proof['left_out']}")
        together = card.used()
        found = [
            record(one, card, by_name[one.instance["model"]], proven.get(one.instance["name"], {})) for one in running
        ]
        for one in running:
            log = one.text()
            (folder / "logs").mkdir(exist_ok=True)
            (folder / "logs" / f"{number}-{one.instance['name']}.log").write_text(log[-LOG_KEPT:])
    for thread in asked:
        thread.join(timeout=20)
    for one, instance in zip(found, instances):
        one["answers"] = {
            kind: next(
                (answer for answer in thread.answers if answer.get("id") == instance["name"]), thread.answers[:1]
            )
            for kind, thread in zip(("card", "stand_in"), asked)
        }
    for _try in range(40):
        if card.used() <= before + 64 * MIB:
            break
        time.sleep(0.25)
    return {
        "round": number,
        "kinds": [one.kind for one in chosen],
        "unplaced": plan["unplaced"],
        "used_before": before,
        "used_loaded": together,
        "used_most": card.most_of_all,
        "instances": found,
    }


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="no round is begun that could last longer")
    parser.add_argument("--rounds", type=int, nargs="*", default=list(range(len(cases.ROUNDS))))
    told = parser.parse_args()
    until = time.monotonic() + told.minutes * 60
    told.out.mkdir(parents=True, exist_ok=True)
    child = subprocess.run([sys.executable, str(ABOUT)], capture_output=True, text=True, check=False)
    machine = host()
    found = {
        "machine": json.loads(child.stdout.strip().splitlines()[-1]) if child.returncode == 0 else child.stderr[-800:],
        "gpu_facts": machine["gpu_facts"],
        "rounds": [],
    }
    program = gpu_facts.find_program(None)
    for name, words in {**gpu_facts.QUERIES, "table": ()}.items():
        text = subprocess.run([str(program), *words], capture_output=True, text=True, check=False).stdout
        (told.out / f"nvidia-smi-{name}.txt").write_text(text)
    card, longest = Card(), 0.0
    with tempfile.TemporaryDirectory(prefix="card-") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        for number in told.rounds:
            if time.monotonic() + longest > until:
                said(f"round {number} is left out: the time is up")
                continue
            began = time.monotonic()
            try:
                found["rounds"].append(round_of(number, machine, card, folder))
            except Exception as error:  # noqa: BLE001 - the next round shows something else
                said(f"round {number} failed: {error!r}")
                found["rounds"].append({"round": number, "error": repr(error)[:800]})
            longest = max(longest, time.monotonic() - began)
            (told.out / "measured.json").write_text(json.dumps(found, indent=1))
            if (folder / "logs").exists():
                shutil.make_archive(str(told.out / "logs"), "gztar", folder / "logs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
