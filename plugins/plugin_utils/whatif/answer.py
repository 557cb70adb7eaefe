# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The answer for given cards: whether a model fits, how, and with which context and concurrency. Pure functions."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import speeds
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import cost
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif.question import Question

# Values of the instances that an answer repeats.
SHAPE = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "max_num_seqs",
    "max_num_batched_tokens",
)


def count(hosts: dict[str, dict[str, Any]]) -> int:
    """Return the number of cards."""
    return sum(len(host["gpu_facts"]["gpus"]) for host in hosts.values())


def _numbers(most: int) -> list[int]:
    """Return the numbers of replicas to try: each of the first eight, then every half as much again."""
    found = list(range(1, min(most, 8) + 1))
    while found[-1] < most:
        found.append(min(most, found[-1] * 3 // 2))
    return found


def smallest(question: Question, hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the plan with the fewest replicas that serve what is asked; that of one replica where none does."""
    if "replicas" in question.raw or not question.model()["concurrency"]:
        return question.plan(question.model(), hosts)
    first: dict[str, Any] = {}
    model = question.model()
    for replicas in _numbers(count(hosts)):
        found = question.plan({**model, "replicas": replicas}, hosts)
        first = first or found
        # What is refused for another reason than memory is refused for any number of replicas.
        if not found["problems"] or "needs" not in found["problems"][0]["problem"]:
            return found if not found["problems"] else first
    return first


def widest(question: Question, hosts: dict[str, dict[str, Any]], found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the plan with as many replicas as the cards hold; null where that is what was found already.

    :param found: a plan that serves what is asked, of which the context is kept.
    """
    placed = found["instances"]
    replicas = count(hosts) // len(placed[0]["gpus"])
    if replicas <= len(placed) or "replicas" in question.raw:
        return None
    asked = {"context": placed[0]["max_model_len"], "concurrency": None}
    for _try in range(2):
        wide = question.plan(question.model(replicas=replicas, **asked), hosts)
        if not wide["problems"] or len(wide["instances"]) <= len(placed):
            break
        replicas = len(wide["instances"])
    return wide if len(wide["instances"]) > len(placed) and not wide["problems"] else None


def answer(
    question: Question, hosts: dict[str, dict[str, Any]], money: cost.Given, measured: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return `fits`, and either how the model is served or why it is not.

    :param hosts: machines of `machines.hosts`.
    :param measured: speeds of instances, the latest first.
    """
    found = smallest(question, hosts)
    if found["problems"] or not found["instances"]:
        return {"fits": False, "plan": found, **_refusal(found), "fewer_users": _fewer(question, hosts)}
    result = {"fits": True, "plan": found, **served(found)}
    wide = widest(question, hosts, found)
    result["all_cards"] = None if wide is None else served(wide)
    users = result["asked"]["concurrency"] or int(result["concurrency"] or 0)
    speed = speeds.of(found["instances"][0], measured)
    return {**result, "cost": cost.of(money, users, speed, result["replicas"])}


def _fewer(question: Question, hosts: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Return how a model is served to as many users as fit, where it does not fit for those that are asked for."""
    if not question.model()["concurrency"]:
        return None
    any_number = question._replace(raw={**question.raw, "concurrency": None})
    found = smallest(any_number, hosts)
    return None if found["problems"] else served(widest(any_number, hosts, found) or found)


def served(plan: dict[str, Any]) -> dict[str, Any]:
    """Return how a plan of one model serves it: replicas, shape, context, and requests of full length at once."""
    first = plan["instances"][0]
    ((_name, told),) = plan["models"].items()
    return {
        "asked": told["asked"],
        "replicas": told["given"]["replicas"],
        "cards_per_replica": len(first["gpus"]),
        "cards_used": sum(len(one["gpus"]) for one in plan["instances"]),
        "context": told["given"]["context"],
        "concurrency": told["given"]["concurrency"],
        **{key: first[key] for key in SHAPE},
        "reasons": first["reasons"],
        "engine": plan["answers"].get(first["name"]),
    }


def _refusal(plan: dict[str, Any]) -> dict[str, Any]:
    unplaced = plan["unplaced"][0] if plan["unplaced"] else None
    problem = plan["problems"][0]
    reason = unplaced["reason"] if unplaced else problem["problem"]
    return {"reason": reason, "remedy": unplaced["remedy"] if unplaced else problem["remedy"]}
