# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Explain why a model has no place, and find the smallest change that would give it one.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Collection

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import instance_memory
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.cpu import PARALLEL_FLAGS
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.devices import GIB, Device, too_old
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import (
    Division,
    GpuHost,
    Sizer,
    barred,
    width,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, shown

# More than any GPU has: the value of models that cannot run at all.
NEVER = 2**62
# A shorter context is not suggested as a remedy.
LEAST_USEFUL_CONTEXT = 1024


def explain(
    missing: list[tuple[dict[str, Any], int]],
    hosts: list[GpuHost],
    refused: dict[str, list[str]],
    answers: Answers | None = None,
    held: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Return ``{model, replica, source, reason, remedy}`` of each replica without a place.

    :param refused: by host, a sentence for each GPU that cannot be used.
    :param answers: what engines said that were asked.
    :param held: hosts that are held, where nothing new is placed.
    """
    sizer = Sizer([], answers)
    why: dict[str, tuple[str, str]] = {}
    found = []
    for model, replica in missing:
        name = model["name"]
        if name not in why:
            allowed = [host for host in hosts if not model["hosts"] or host.name in model["hosts"]]
            why[name] = _why(model, allowed, refused, sizer)
        reason, remedy = why[name]
        away = [host for host in held if not model["hosts"] or host in model["hosts"]]
        if away:
            reason = f"{reason}; nothing is placed on {', '.join(away)}, which maintain.yml holds"
        found.append({"model": name, "replica": replica, "source": model["source"], "reason": reason, "remedy": remedy})
    return found


def problem(unplaced: dict[str, Any]) -> Problem:
    """Return an unplaced replica as a problem of the inventory."""
    variable = f"llm_models[{unplaced['model']}]"
    return Problem(variable, f"replica {unplaced['replica']}", unplaced["reason"], unplaced["remedy"])


def unknown(model: dict[str, Any]) -> tuple[str, str] | None:
    """Return the missing facts of a model, and the remedy; null if there are none."""
    facts = model.get("facts") or {}
    if "layers" not in facts:
        text = facts.get("error") or f"the configuration of {model['source']} is not known"
        return text, "stage the model where its hosts find it, or let them reach the hub"
    if not facts.get("weight_bytes"):
        return f"the size of the weights of {model['source']} is not known", "stage its files, or set weights_gib"
    return None


def _why(model: dict[str, Any], hosts: list[GpuHost], refused: dict[str, list[str]], sizer: Sizer) -> tuple[str, str]:
    nothing = unknown(model) or instance_memory.unservable(model)
    if nothing:
        return nothing
    names = ", ".join(host.name for host in hosts) or "no host"
    found = [(host, device) for host in hosts for device in host.devices]
    if found and all(any(name.rpartition("-")[0] == model["name"] for name in d.shared) for _host, d in found):
        text = f"every GPU on {names} runs a replica of it already, and a second one there would share its fate"
        return text, "add a GPU or a host, or lower replicas"
    if not found:
        said = [f"{host.name}: {sentence}" for host in hosts for sentence in refused.get(host.name, [])]
        return f"there is no usable GPU on {names}" + (f" ({'; '.join(said)})" if said else ""), (
            "install the driver (nvidia-smi must list the GPUs), or choose other hosts"
        )
    engine = registry.of(model)
    young = [(host, device) for host, device in found if device.capability >= engine.least_capability]
    if not young:
        host, device = found[0]
        text = f"{host.name}: GPU {device.index} ({device.name}) {too_old(device.capability, [engine])}"
        return text, "choose a host with newer GPUs, or another engine"
    able = [(host, device) for host, device in young if not barred(model, device)]
    if not able:
        host, device = young[0]
        reason, remedy = engine.refusal(model["facts"], model["args"], device) or ("", "")
        return (f"{host.name}: {reason}" if device.name in reason else reason), remedy
    host, device = max(able, key=lambda pair: (pair[1].usable, -pair[0].order, -pair[1].index))
    same = sum(1 for other in host.devices if other.kind == device.kind)
    try:
        return _memory(model, device, 1 if device.sliced else same, sizer)
    except LayoutError as error:
        return str(error).rstrip("."), "correct it in the model's args, or leave it out"


def _memory(model: dict[str, Any], device: Device, count: int, sizer: Sizer) -> tuple[str, str]:
    usable = device.capacity - instance_memory.context_bytes(model, device.total)
    divisions = sizer.divisions(model)
    if not divisions:
        return _indivisible(model)
    tokens, sequences = registry.of(model).serve_defaults(device)
    refusal = instance_memory.Shape(model, device, divisions[0], tokens, sequences, []).refusal
    if refusal:
        return refusal, "take kv-cache-dtype out of args, or choose a host with newer GPUs"
    holding = [d for d in divisions if _least(model, device, d, sizer) <= usable]
    fitting = [division for division in holding if width(division) <= count]
    if fitting:
        need = f"{_least(model, device, fitting[0], sizer) / GIB:.1f} GiB"
        many = "a GPU" if width(fitting[0]) == 1 else f"{width(fitting[0])} GPUs"
        text = f"it needs {need} of {many} like {device.name}, and what is left there is less"
        if device.foreign:
            held = f"{device.foreign / GIB:.1f} GiB of GPU {device.index} are held by {device.owners}"
            return f"{text}: {held}", "stop that process, or give the model another GPU"
        return text, f"add {many} or a host, lower replicas, or take a model away"
    said = sizer.refused.get((model["name"], device.kind))
    if said and not holding:
        division, answer = min(said.items())
        way = f" as TP {division[0]} x PP {division[1]}" if width(division) > 1 else ""
        text = f"{plan_asked.speaker(answer)} refuses it on {width(division)} x {device.name}{way}"
        return f"{text}: {answer['sentence']}".rstrip("."), plan_asked.REMEDY
    most = max((d for d in divisions if width(d) <= count), key=width, default=divisions[0])
    least = _least(model, device, most, sizer)
    need = f"{least / GIB:.1f} GiB" if least < NEVER else "more than its args allow"
    way = f" (TP {most[0]} x PP {most[1]})" if width(most) > 1 else ""
    text = f"on {width(most)} x {device.name}{way} it needs {need} of each, {usable / GIB:.1f} GiB can be given"
    why = registry.of(model).dtype(model["args"], model["facts"], device)[1]
    if why:
        text += f"; it runs in {why}"
    engine = registry.of(model)
    refused = engine.division_refusal(model["facts"], model["args"], count, device) if count > 1 else ""
    if refused:
        text += f"; {refused}"
    changes = _changes(model, device, count, most, usable, holding, sizer)
    return text, "; or ".join(changes) or "choose larger GPUs, or several of them"


def _indivisible(model: dict[str, Any]) -> tuple[str, str]:
    """Return why no division of a model is possible, and the remedy."""
    asked = {flag: model["args"][flag] for flag in PARALLEL_FLAGS if flag in model["args"]}
    ranks = instance_memory.pinned(model, "tensor-parallel-size") or 1
    stages = instance_memory.pinned(model, "pipeline-parallel-size") or 1
    engine = registry.of(model)
    refused = engine.division_refusal(model["facts"], model["args"], ranks)
    refused = refused or engine.pipeline_refusal(model["facts"], model["args"], stages)
    layers = int(model["facts"]["num_hidden_layers"])
    text = refused or f"its {layers} layers cannot be divided into so many stages"
    if asked:
        return f"args are {shown(asked)}: {text}", "leave it out, so that the plan chooses"
    return text, "choose a variant of the model in another quantisation"


def _least(model: dict[str, Any], device: Device, division: Division, sizer: Sizer) -> int:
    least = sizer.least(model, device, division)
    return NEVER if least is None else least


def _changes(
    model: dict[str, Any],
    device: Device,
    count: int,
    most: Division,
    usable: int,
    holding: list[Division],
    sizer: Sizer,
) -> list[str]:
    """Return changes that would make a model fit, the smallest first."""
    pins = [flag for flag in ("kv-cache-memory-bytes", "gpu-memory-utilization") if flag in model["args"]]
    changes = [f"leave {' and '.join(pins)} out of its args"] if pins else []
    for _kv, shape in reversed(sizer.shapes(model, device, most)):
        left = usable - shape.fixed - shape.margin
        if left <= 0 or not model["facts"]["layers"] or pins:
            continue
        (context, longest), times = instance_memory.asked_context(model), instance_memory.asked_concurrency(model)
        length = shape.longest(left, longest, times)
        if length >= LEAST_USEFUL_CONTEXT:
            changes.append(f"ask for context {length} or less")
        at_once = (shape.geometry.num_blocks(left) - 1) // shape.geometry.blocks_for(context)
        if 0 < at_once < times:
            changes.append(f"ask for concurrency {at_once * int(model['replicas'])} or less")
        if changes:
            break
    if registry.of(model).fp8_kv_cache(model["facts"], device) and not str(
        model["args"].get("kv-cache-dtype", "")
    ).startswith("fp8"):
        smaller = {**model, "args": {**model["args"], "kv-cache-dtype": "fp8"}}
        if _least(smaller, device, most, Sizer([])) <= usable:
            changes.append("set args {kv-cache-dtype: fp8}")
    if not model["facts"].get("quantization") and not model["args"].get("quantization"):
        facts = {**model["facts"], "weight_bytes": model["facts"]["weight_bytes"] // 2, "quantization": "fp8"}
        halves, fresh = {**model, "facts": facts}, Sizer([])
        fit = [d for d in fresh.divisions(halves) if width(d) <= count and _least(halves, device, d, fresh) <= usable]
        if fit:
            changes.append(f"take a variant with 8-bit weights ({width(fit[0])} x {device.name} hold it)")
    more = [division for division in holding if width(division) > count]
    if more:
        changes.append(f"use a host with {width(more[0])} x {device.name}")
    return changes
