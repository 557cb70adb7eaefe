# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes that a plan would make, and the plan as text tables.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds, launches
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import measured as plan_measured
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import shown
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table

GIB = 1024**3
# Parameters of an engine's start. A difference in any of them restarts it.
STARTED_WITH = (
    "engine",
    "host",
    "gpus",
    "cpu",
    "port",
    "listen",
    "source",
    "revision",
    "args",
    "env",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "data_parallel_size",
    "dtype",
    "kv_cache_dtype",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "stream_interval",
)


def changes(instances: list[dict[str, Any]], current: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the change of every instance: ``{action, name, host, what, why}``.

    ``action`` is ``+`` (starts), ``~`` (restarts), ``-`` (stops) or ``=`` (stays); ``what`` tells each value that
    changes as ``name: old -> new``.
    """
    # While an instance moves, one of its name is on two hosts.
    before = {(one["name"], one.get("host")): one for one in current}
    found = []
    for one in instances:
        elsewhere = (key for key in before if key[0] == one["name"])
        old = before.pop((one["name"], one["host"]), None) or before.pop(next(elsewhere, ("", "")), None)
        if old is None:
            found.append(_change("+", one, [], "it is asked for and does not run"))
            continue
        what = _what(old, one)
        moved = old.get("host") != one["host"] or old.get("gpus") != one["gpus"]
        why = "it moves" if moved else "it is started with other values" if what else ""
        found.append(_change("~" if what else "=", one, what, why))
    return found + [_change("-", old, [], "nothing asks for it any more") for old in before.values()]


def _what(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what an instance is started with that differs; empty if it does not restart.

    Where the whole launch is known, it decides: a value that something else overrides restarts nothing.
    """
    known = launches.both_known(old, new)
    if known and old.get("host") == new["host"] and not launches.restarts(old, new):
        return []
    what = []
    for key in (key for key in STARTED_WITH if _differs(key, old, new)):
        if key == "env":
            what += launches.variables(old.get(key) or {}, new.get(key) or {})
        else:
            what.append(f"{key}: {shown(old.get(key))} -> {shown(new.get(key))}")
    what += launches.differences(old, new) if known else []
    return what or ([launches.UNIT] if known else [])


def _differs(key: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    if key == "engine":
        return registry.of(old).name != registry.of(new).name
    # A key that is missing in an older plan is no difference if the new value is empty.
    return (old.get(key) or None) != (new.get(key) or None)


def _change(action: str, one: dict[str, Any], what: list[str], why: str) -> dict[str, Any]:
    return {"action": action, "name": one["name"], "host": one.get("host"), "what": what, "why": why}


def gib(count: Any) -> str:
    """Return bytes as GiB with one digit, and a dash for nothing."""
    return "-" if count is None else f"{int(count) / GIB:.1f}"


def _where(one: dict[str, Any]) -> str:
    if one["device"] == "cpu":
        return f"cores {one['cpu']['cores']}"
    indices = one.get("gpu_indices") or []
    return "GPU " + ",".join(map(str, indices)) if indices else f"{len(one['gpus'])} GPUs"


def _row(one: dict[str, Any]) -> list[str]:
    memory = one.get("memory") or {}
    at_once = one.get("max_concurrency")
    return [
        one["host"],
        _where(one),
        one["name"],
        gib(memory.get("weights")),
        gib(memory.get("kv_cache")),
        gib(memory.get("headroom")),
        str(one.get("max_model_len") or "auto"),
        "-" if not at_once else f"{at_once:.1f}",
        str(one.get("max_num_seqs") or "-"),
    ]


HEADING = ["HOST", "DEVICE", "INSTANCE", "WEIGHTS", "KV CACHE", "HEADROOM", "CONTEXT", "AT FULL LENGTH", "SEQUENCES"]


def render(plan: dict[str, Any], current: list[dict[str, Any]], measured: list[dict[str, Any]] | None = None) -> str:
    """Format the plan as text: instances by host, idle GPUs, changes with their reasons, missing replicas.

    Weights, KV cache and headroom are GiB of each GPU. What was measured stands against what was planned. Of every
    instance it says whether its engine starts it, as far as the engine was asked.
    """
    instances = plan["instances"]
    parts = [table([HEADING, *map(_row, instances)])] if instances else ["nothing is planned"]
    idle = []
    for host, facts in plan.get("hosts", {}).items():
        idle += [f"{host}: GPU {g['index']} ({g['product_name']}) is free" for g in facts["gpus"] if not g["instances"]]
        idle += [f"{host}: {sentence}" for sentence in facts["unusable"]]
    if idle:
        parts.append("\n".join(idle))
    lines = []
    why = {one["name"]: one.get("reasons") or [] for one in instances}
    for change in changes(instances, current):
        if change["action"] == "=":
            continue
        because = why.get(change["name"], []) if change["action"] != "-" else []
        lines.append(f"{change['action']} {change['name']} on {change['host']}: {change['why']}")
        lines += [f"    {detail}" for detail in [*change["what"], *because]]
    parts.append("\n".join(lines) if lines else "No instance would start, restart or stop.")
    parts += _steps(plan)
    held = [*holds.lines(plan.get("held") or {}), *holds.host_lines(plan.get("held_hosts") or {}, instances)]
    parts += ["\n".join(held)] if held else []
    if plan.get("answers"):
        parts.append("\n".join(plan_asked.lines(plan["answers"])))
    missing = [f"! {one['model']}-{one['replica']}: {one['reason']}; {one['remedy']}" for one in plan["unplaced"]]
    if missing:
        parts.append("\n".join(missing))
    rows = plan_measured.table(measured or [])
    if len(rows) > 1:
        parts.append(table(rows))
    return "\n\n".join(parts)


def _steps(plan: dict[str, Any]) -> list[str]:
    """Return the steps of a change as one text, and which of them a floor forbids, if there is more than one to do."""
    lines = []
    for step in plan.get("steps") or []:
        names = ", ".join(f"{one['name']} on {one['host']}" for one in step["instances"])
        lines.append(f"{step['number']}. {step['kind']} {names}: {step['why']}")
        lines += [
            f"    {model}: {count['before']} in service, {count['during']} meanwhile, {count['after']} after, at least "
            f"{count['floor']}"
            for model, count in step["in_service"].items()
        ]
    ending = ", ".join(f"{one['name']} on {one['host']}" for one in plan.get("ending") or [])
    if ending:
        lines.append(f"{len(plan['steps']) + 1}. stop {ending}: when gateways send to the others")
    blocked = [one for one in plan.get("problems") or [] if str(one["variable"]).endswith(".min_in_service")]
    refused = [f"! {one['host']}: {one['problem']}; {one['remedy']}" for one in blocked]
    heading = ["Steps:"] if lines else []
    return ["\n".join(part) for part in (heading + lines, refused) if part]
