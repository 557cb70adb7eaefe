# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parameters of the gateway, the inner proxy and the metrics, derived from models and instances.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import limits

# Fields of an instance with its address for other hosts; its own host does not need them.
FLEET_FIELDS = ("host", "address")
# Nginx lets a quarter more through than the gate does, and 16, for connections that are being closed. So it is always
# the gate that says 429, with its reason.
CONNECTION_SLACK = 1.25
CONNECTION_RESERVE = 16
# The policy of engines that begin waiting requests by their priorities, as the launch of an instance has it.
BY_PRIORITY = "priority"


def litellm_deployments(
    instances: list[dict[str, Any]], models: list[dict[str, Any]], south_url: str
) -> list[dict[str, Any]]:
    """Return one LiteLLM deployment per model that has an instance, in the order of the models.

    It has nothing that follows from replicas, sizes or limits, because LiteLLM restarts when it changes. The gate in
    front of it holds all limits, and tells clients the context.

    :param south_url: the inner proxy, which knows the replicas, e.g. ``http://127.0.0.1:4100``.
    """
    served = {instance["model"] for instance in instances}
    deployments = []
    for model in models:
        if model["name"] not in served:
            continue
        deployments.append(
            {
                "name": model["name"],
                "aliases": model["aliases"],
                "provider": provider(model, instances),
                "api_base": f"{south_url.rstrip('/')}/{model['name']}/v1",
                "request_defaults": model["request_defaults"],
                "input_cost_per_token": model["cost"]["input_per_token"],
                "output_cost_per_token": model["cost"]["output_per_token"],
                "mode": model["mode"],
            }
        )
    return deployments


def gate_models(instances: list[dict[str, Any]], models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one model of the gate per model that has an instance, in the order of the models.

    ``context`` is in tokens and 0 where nobody knows it. ``replicas`` are those that the gate requests a small JSON
    answer of, so they are none for a model that generates no text. ``priorities`` tells whether all its instances are
    started so that they begin waiting requests by their priorities. ``answer_*`` say how answers are kept.
    """
    served = {instance["model"] for instance in instances}
    return [
        {
            "name": model["name"],
            "aliases": model["aliases"],
            "context": context(model, instances) or 0,
            "max_parallel_requests": limits.parallel_requests(model, instances),
            "rpm": model["limits"]["rpm"],
            "tpm": model["limits"]["tpm"],
            "budget": model["limits"].get("budget"),
            "request_defaults": model["request_defaults"],
            "replicas": replicas(model, instances) if model["mode"] == "chat" else [],
            "priorities": by_priority(model, instances),
            "cost": model["cost"],
            **kept_answers(model, instances),
        }
        for model in models
        if model["name"] in served
    ]


def replicas(model: dict[str, Any], instances: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of a model's replicas."""
    return [int(instance["replica"]) for instance in instances if instance["model"] == model["name"]]


def by_priority(model: dict[str, Any], instances: list[dict[str, Any]]) -> bool:
    """Return whether every instance of a model begins waiting requests by their priorities."""
    own = [instance.get("launch") or {} for instance in instances if instance["model"] == model["name"]]
    return all(launch.get("scheduling") == BY_PRIORITY for launch in own)


def kept_answers(model: dict[str, Any], instances: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how answers of a model are kept: for how many seconds, whether sampled ones too, and the digest of the
    version that gives them. None are kept while two versions serve, so that nobody gets that of the other one.
    """
    own = [instance for instance in instances if instance["model"] == model["name"]]
    versions = {json.dumps([one.get("request"), package(one)], default=str) for one in own}
    if len(versions) != 1 or not model["cache"]["seconds"]:
        return {"answer_seconds": 0}
    version = hashlib.sha256(versions.pop().encode()).hexdigest()[:12]
    return {
        "answer_seconds": model["cache"]["seconds"],
        "answer_sampled": bool(model["cache"]["sampled"]),
        "answer_version": version,
    }


def package(instance: dict[str, Any]) -> Any:
    """Return what an instance's engine was installed from, null if nobody knows it."""
    return (instance.get("launch") or {}).get("package")


def provider(model: dict[str, Any], instances: list[dict[str, Any]]) -> str:
    """Return the provider by which LiteLLM speaks to a model's engine."""
    own = next(instance for instance in instances if instance["model"] == model["name"])
    return str(registry.interface_of(own)["litellm_provider"])


def context(model: dict[str, Any], instances: list[dict[str, Any]]) -> int | None:
    """Return the context in tokens of a model: that of its instance with the shortest one.

    If the plan leaves it to the engine, it is the one that the inventory requests, or else the model's maximum; null if
    neither is known.
    """
    planned = [instance["max_model_len"] for instance in instances if instance["model"] == model["name"]]
    asked: int | None = model["max_model_len"] or model["max_positions"]
    return min((int(length) for length in planned if length), default=asked)


def south_upstreams(
    instances: list[dict[str, Any]], models: list[dict[str, Any]], engines: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return one Nginx upstream per model that has an instance, in the order of the models, with all its replicas.

    :param instances: instances, each with its ``weight`` if that is not 1. One with weight 0 gets no requests. Those of
        a model with two versions have ``new`` and ``new_percent``, the share of conversations that the new ones get.
    :param engines: ``llm_engines``, whose rows name the paths that each engine serves.
    """
    upstreams = []
    for model in models:
        own = [instance for instance in instances if instance["model"] == model["name"]]
        servers: list[dict[str, Any]] = []
        for one in own:
            server = {"address": one["address"], "weight": int(one.get("weight", 1))}
            server |= {"new": True} if one.get("new") else {}
            # While one moves, it runs on two hosts, and only one of them can be asked by its number.
            twice = any(other.get("replica") == one["replica"] for other in servers)
            servers.append(server if twice else {**server, "replica": one["replica"]})
        if servers:
            requests = limits.parallel_requests(model, instances)
            upstreams.append(
                {
                    "name": model["name"],
                    "api_paths": registry.api_paths(own[0], engines),
                    "servers": servers,
                    "balance": "least_conn",
                    "max_connections": math.ceil(requests * CONNECTION_SLACK) + CONNECTION_RESERVE,
                    **{name: own[0][name] for name in ("new_percent",) if name in own[0]},
                }
            )
    return upstreams


def scrape_targets(instances: list[dict[str, Any]], others: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return Prometheus jobs: one of each engine with its instances, then the others that have targets.

    :param others: jobs ``{job, targets, bearer_token, metrics_path}``; a target is ``host:port`` or
        ``{address, labels}``.
    """
    engines: dict[str, dict[str, Any]] = {}
    for instance in instances:
        engine = registry.of(instance).name
        path = registry.interface_of(instance)["metrics_path"]
        job = engines.setdefault(engine, {"job": engine, "metrics_path": path, "targets": []})
        labels = {"model": instance["model"], "replica": str(instance["replica"]), "host": instance["host"]}
        job["targets"].append({"address": instance["address"], "labels": labels})
    jobs = []
    for job in [*engines.values(), *(others or [])]:
        targets = [
            {"address": target, "labels": {}} if isinstance(target, str) else {"labels": {}, **target}
            for target in job.get("targets") or []
        ]
        if targets:
            jobs.append(
                {
                    "job": job["job"],
                    "targets": targets,
                    "bearer_token": job.get("bearer_token") or "",
                    "metrics_path": job.get("metrics_path") or "/metrics",
                }
            )
    return jobs


def instances_on(instances: list[dict[str, Any]], host: str) -> list[dict[str, Any]]:
    """Return the instances of one host, without the fields that only the rest of the fleet needs."""
    return [
        {field: value for field, value in instance.items() if field not in FLEET_FIELDS}
        for instance in instances
        if instance["host"] == host
    ]


def listeners(instances: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the listeners of a host, ``{name, address, port}``: its engines, then the given others.

    :param instances: ``llm_instances_here`` of the host.
    :param others: those of applications, ``{name, address, port}``.
    """
    engines = [{"name": registry.service(i), "address": i["listen"], "port": i["port"]} for i in instances]
    return engines + others


def hops(instances: list[dict[str, Any]], others: list[dict[str, Any]], log: str) -> list[dict[str, Any]]:
    """Return the hops of a request from the innermost outwards: every engine, then the given others.

    :param log: command that shows the log of a service, with ``{}`` for its name without prefix.
    """
    engines = [
        {
            "name": f"{PREFIX}{registry.service(i)}",
            "host": i["host"],
            "url": f"http://{i['address']}{registry.interface_of(i)['health_path']}",
            "serves": ["api"],
        }
        for i in instances
    ]
    return [{**hop, "remedy": f"see `{log.format(hop['name'].removeprefix(PREFIX))}`"} for hop in engines + others]
