# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan: host, GPUs or cores, and memory of every instance, with reasons.

A pure function of hosts with their facts, models with theirs, the plan in force and measured overheads; no Ansible, no
files, no network. It satisfies context, concurrency and replicas, then uses the fewest GPUs, then gives the longest
context; what runs stays where it is unless the request changed.
"""

from __future__ import annotations

from typing import Any, Collection

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bracketed
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth as plan_growth
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds, launches, limits, machines, replicas
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import unplaced as plan_unplaced
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.gpu_sizing import GpuHost, Placed, Sizer
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.hosts import (
    device_of,
    ports_of,
    unfit,
    unknown_hosts,
    unserved,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.instance_memory import context_bytes
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.stability import settle
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

FIRST_PORT = 8100


def plan(
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    current: list[dict[str, Any]] | None = None,
    overheads: list[dict[str, Any]] | None = None,
    gateways: dict[str, int] | None = None,
    first_port: int = FIRST_PORT,
    replan: list[str] | None = None,
    answers: Answers | None = None,
    held: Collection[str] = (),
    beside: Collection[str] = (),
) -> dict[str, Any]:
    """Return the plan: ``instances``, ``unplaced``, ``hosts`` (devices and their memory), ``problems``.

    :param models: resolved models, each with ``facts`` (of ``model_info``) or null.
    :param hosts: inference hosts in inventory order: ``{device, address, listen, gpus (allowed uuids), gpu_facts,
        cpu: {cores, vcpus, memory_mib}, own_pids, launch, hold}``. A host of which nothing is known keeps its
        instances, and so does a held one.
    :param current: instances in force, as an earlier plan gave them.
    :param overheads: measured ``{source, revision, product_name, ..., weights, activation, cuda_graphs, other}``.
    :param gateways: gateway hosts to their number of cores, for the size of streamed chunks.
    :param first_port: the lowest port of engines.
    :param replan: models whose instances get new numbers, on the GPUs they have if they still fit there; ``all``.
    :param answers: what engines said that were asked how they would start.
    :param held: names of instances whose model stays as it is in force.
    :param beside: names of instances in force that others are to replace: these are planned beside them, with numbers,
        GPUs or hosts of their own.
    """
    again = set(replan or [])
    # An instance without its digest counts as changed.
    in_force = {
        str(one.get("name")): {**one, "request": None} if again & {"all", one.get("model")} else one
        for one in sorted(current or [], key=lambda one: _may_stay(one, models))
    }
    in_force.update({name: {**in_force[name], replicas.LEAVES: True} for name in beside})
    free = holds.others(hosts)
    problems = [problem for name, facts in free.items() for problem in unfit(name, facts)]
    problems += unknown_hosts(models, hosts)
    if not hosts:
        remedy = "put at least one host into the group llm_inference"
        problems.append(Problem("llm_inference", [], "there is no inference host", remedy))
    problems = problems or unserved(models, hosts)
    if problems:
        return {"instances": [], "models": {}, "unplaced": [], "hosts": {}, "problems": [p._asdict() for p in problems]}
    on_gpus = {i for i, model in enumerate(models) if device_of(model, hosts) == "cuda"}
    engines = {engine.name: engine for engine in (registry.of(models[index]) for index in sorted(on_gpus))}
    gpu_hosts, refused = machines.gpu_hosts(free, in_force, list(engines.values()))
    models = [_weighed(model) for model in models]
    gpu_models = [(index, model) for index, model in enumerate(models) if index in on_gpus]
    frozen_models = holds.models_of(held, in_force)
    known = [
        (index, model)
        for index, model in gpu_models
        if plan_unplaced.unknown(model) is None and model["name"] not in frozen_models
    ]
    blind = [model for _index, model in gpu_models if plan_unplaced.unknown(model) is not None]
    blind += [model for _index, model in gpu_models if model["name"] in frozen_models and model not in blind]
    unasked = [one for model in blind for one in _running(model, in_force, hosts)]
    _reserve(unasked, gpu_hosts)
    _reserve([in_force[name] for name in beside], gpu_hosts, listed=False)
    sizer = Sizer(overheads or [], answers)
    placed, frozen, missing = settle(known, gpu_hosts, _frozen_hosts(hosts), in_force, sizer)
    frozen += unasked
    lacking = [model for model in blind if model["name"] not in frozen_models]
    missing += [(model, n) for model in lacking for n in _absent(model, in_force, hosts)]
    plan_growth.grow(gpu_hosts, placed)
    staying = [
        one
        for index, model in enumerate(models)
        if index not in on_gpus
        for one in _running(model, in_force, hosts)
        if one["host"] in hosts and one["host"] not in free
    ]
    frozen += staying
    stay = [str(one["name"]) for one in staying]
    cpu_placed, cpu_problems = machines.on_cpus(models, free, on_gpus, in_force, overheads or [], stay)
    instances = _instances(models, hosts, placed, frozen, cpu_placed, in_force, first_port)
    limits.set_stream_intervals(instances, models, gateways or {}, in_force)
    instances = replicas.marked(instances, in_force)
    instances = [launches.launched(one, hosts[one["host"]].get("launch")) for one in instances]
    instances = holds.kept(instances, frozen_models, in_force)
    instances = holds.as_in_force(instances, hosts, current or [])
    rank = {model["name"]: number for number, model in enumerate(models)}
    missing.sort(key=lambda pair: (rank[pair[0]["name"]], pair[1]))
    unplaced = plan_unplaced.explain(missing, gpu_hosts, refused, answers, sorted(set(hosts) - set(free)))
    problems = cpu_problems + [plan_unplaced.problem(one) for one in unplaced]
    return {
        "instances": instances,
        "models": {model["name"]: _given(model, instances) for model in models},
        "unplaced": unplaced,
        "hosts": {host.name: machines.host_report(host, refused.get(host.name, [])) for host in gpu_hosts},
        "problems": [p._asdict() for p in problems],
    }


def _may_stay(instance: dict[str, Any], models: list[dict[str, Any]]) -> bool:
    """Return whether an instance is on a host of its model. Of two with one name, left by a cut move, this counts."""
    hosts: list[str] = next((model["hosts"] for model in models if model["name"] == instance.get("model")), [])
    return not hosts or instance.get("host") in hosts


def _weighed(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model with the weights from weights_gib, if its files do not contain them."""
    facts = model.get("facts")
    if not facts or facts.get("weight_bytes") or not model["weights_gib"] or model.get("weights_estimated"):
        return model
    return {**model, "facts": {**facts, "weight_bytes": int(float(model["weights_gib"]) * 1024**3)}}


def _running(model: dict[str, Any], in_force: dict[str, Any], hosts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the instances in force of a model without facts, because an unavailable hub must not stop them."""
    names = [replicas.name(model, number) for number in replicas.numbers(model, in_force)]
    allowed = model["hosts"] or list(hosts)
    return [in_force[name] for name in names if name in in_force and in_force[name].get("host") in allowed]


def _reserve(instances: list[dict[str, Any]], hosts: list[GpuHost], listed: bool = True) -> None:
    """Reserve the GPU memory of instances that keep running unchanged.

    :param listed: whether others start after them; not if they end in this run.
    """
    found = {(host.name, device.uuid): device for host in hosts for device in host.devices}
    for one in instances:
        for uuid in one.get("gpus") or []:
            device = found.get((str(one.get("host")), uuid))
            if device is not None:
                device.held += plan_growth.held(one) + context_bytes(one, device.total)
                device.shared += [str(one["name"])] if listed else []


def _absent(model: dict[str, Any], in_force: dict[str, Any], hosts: dict[str, Any]) -> list[int]:
    running = {one["name"] for one in _running(model, in_force, hosts)}
    return [n for n in replicas.numbers(model, in_force) if replicas.name(model, n) not in running]


def _frozen_hosts(hosts: dict[str, dict[str, Any]]) -> set[str]:
    """Return GPU hosts without facts, outside the limit or down, and held ones. Their instances stay as they are."""
    return {
        name
        for name, facts in hosts.items()
        if facts.get("device") == "cuda" and (facts.get("gpu_facts") is None or facts.get("hold"))
    }


def _instances(
    models: list[dict[str, Any]],
    hosts: dict[str, dict[str, Any]],
    placed: list[Placed],
    frozen: list[dict[str, Any]],
    cpu_placed: list[dict[str, Any]],
    in_force: dict[str, dict[str, Any]],
    first_port: int,
) -> list[dict[str, Any]]:
    by_name = {model["name"]: model for model in models}
    order = {name: number for number, name in enumerate(hosts)}
    rank = {model["name"]: number for number, model in enumerate(models)}
    found: list[tuple[str, int, str, Any]] = [(one.model["name"], one.replica, one.host.name, one) for one in placed]
    found += [(str(kept["model"]), int(kept["replica"]), str(kept["host"]), kept) for kept in frozen]
    found += [(one["model"]["name"], one["replica"], one["host"], one["values"]) for one in cpu_placed]
    found.sort(key=lambda item: (order.get(item[2], 0), rank[item[0]], item[1]))
    names: dict[str, list[str]] = {}
    for name, replica, host, _values in found:
        names.setdefault(host, []).append(f"{name}-{replica}")
    ports = ports_of(names, in_force, first_port)
    return [
        _instance(by_name[name], replica, host, hosts[host], ports[f"{name}-{replica}"], values)
        for name, replica, host, values in found
    ]


def _instance(
    model: dict[str, Any], replica: int, host: str, facts: dict[str, Any], port: int, values: Any
) -> dict[str, Any]:
    cuda = facts.get("device") == "cuda"
    device = "cuda" if cuda else "cpu"
    engine = registry.of(model)
    fields = engine.field_flags(device)
    args = {flag: value for flag, value in model["args"].items() if flag not in fields}
    address = str(facts.get("address") or "127.0.0.1")
    source = model["source"]
    instance = {
        "name": f"{model['name']}-{replica}",
        "model": model["name"],
        "aliases": model["aliases"],
        "replica": replica,
        "host": host,
        "address": f"{bracketed(address)}:{port}",
        "port": port,
        "listen": str(facts.get("listen") or address),
        "device": device,
        "engine": engine.name,
        "interface": registry.interface(engine),
        "source": source,
        "revision": model["revision"],
        "path": sources.parse(source).directory,
        "cpu": {"cores": "", "kv_cache_space_gib": None},
        "gpus": [],
        "args": args,
        "env": model["env"],
        "stream_interval": whole(model["args"].get("stream-interval")),
        "start_after": None,
        "request": plan_growth.request_digest(model),
        "reasons": [],
        **dict.fromkeys(plan_growth.SIZES),
    }
    if isinstance(values, Placed):
        first = values.devices[0]
        instance.update(plan_growth.sizes(values))
        instance["gpus"] = [device.uuid for device in values.devices]
        instance["gpu_indices"] = [device.index for device in values.devices]
        instance["product_name"] = first.name
        instance["compute_capability"] = ".".join(map(str, first.capability))
        instance["start_after"] = values.start_after
        instance["reasons"] = plan_growth.reasons(values)
    elif cuda:
        instance.update(values)
        instance["reasons"] = [plan_growth.UNKNOWN, *plan_growth.recorded_reasons(values)]
    else:
        instance.update(values)
        if model["max_model_len"] is None and instance["max_model_len"] is None and model["mode"] == "chat":
            instance["args"] = {**engine.auto_context, **args}
    return instance


def _given(model: dict[str, Any], instances: list[dict[str, Any]]) -> dict[str, Any]:
    own = [one for one in instances if one["model"] == model["name"]]
    lengths = [one["max_model_len"] for one in own if one["max_model_len"]]
    at_once = [one["max_concurrency"] for one in own if one["max_concurrency"]]
    asked = {key: model[key] for key in ("replicas", "context", "concurrency")}
    given = {"replicas": len(own), "context": min(lengths, default=None), "concurrency": sum(at_once) or None}
    return {"asked": asked, "given": given}
