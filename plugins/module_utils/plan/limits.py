# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rates and limits that follow from a model and its instances. Each formula stands here once, with where it comes from.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry

# Streamed chunks per second that one LiteLLM worker passes on (hosted_vllm provider, measured), and the share of that
# which is planned for: the rest is for requests that do not stream, and for bursts.
CHUNKS_PER_WORKER = 2000
PLANNED_SHARE = 0.5
# Cores of a gateway for each LiteLLM worker, and the most workers: each takes up to 0.8 GB, and Nginx and the gate need
# cores for all requests.
CORES_PER_WORKER = 4
MOST_WORKERS = 4
# A stream of 20 chunks per second looks continuous; below 4 a reader sees it stutter.
FLUID_CHUNKS = 20
VISIBLE_CHUNKS = 4
# However fast the model, a short answer should still arrive in several pieces.
MOST_TOKENS_PER_CHUNK = 8
# Tokens per second of one stream while the engine is full, where neither catalogue nor model says better: a model of
# a few billion parameters on a server's CPU, and one of 8 to 70 billion on a data-centre GPU.
STREAM_RATE = {"cpu": 10.0, "cuda": 50.0}
# Sequences per core of a CPU engine, between a floor that keeps a demo usable and a ceiling that keeps answers coming.
CPU_SEQUENCES_PER_CORE = 4
CPU_SEQUENCES = (4, 8)
# One batch runs and one waits: the engine never idles, and no client waits for more than about one answer.
QUEUE_FACTOR = 2


def sequences(model: dict[str, Any], device: str, cores: int = 0) -> int | None:
    """Return ``max-num-seqs`` of one instance, or null where vLLM is to choose (CUDA, nothing asked for).

    ``concurrency`` is what the model as a whole is to serve at once, so each replica takes its share, rounded up.
    Without it a CPU engine takes 4 sequences per core, at least 4 and at most 8.
    """
    if model["concurrency"]:
        return -(-int(model["concurrency"]) // int(model["replicas"]))
    if device == "cuda":
        return None
    floor, ceiling = CPU_SEQUENCES
    return min(max(floor, CPU_SEQUENCES_PER_CORE * cores), ceiling)


def stream_rate(model: dict[str, Any], device: str) -> float:
    """Return the tokens per second that one stream of a full engine is planned with."""
    return float(model["tokens_per_second"] or STREAM_RATE[device])


def derive_stream_interval(tokens_per_second: float, workers: int = 1, streams: int = 1) -> int:
    """Return vLLM's ``--stream-interval``: how many tokens of one answer travel in one chunk.

    The gateway's work is per chunk, so chunks are made as large as a reader does not notice: ``rate / 20`` tokens, at
    most 8, where ``rate`` is the tokens per second of one stream. When the gateway still could not carry the chunks of
    all streams (2,000 per second and worker, half of it planned) they grow, down to 4 chunks per second and stream.

    :param tokens_per_second: planned for all streams together.
    :param workers: LiteLLM workers that carry them.
    :param streams: answers in flight at that rate.
    """
    rate = tokens_per_second / max(1, streams)
    carried = math.ceil(tokens_per_second / (max(1, workers) * CHUNKS_PER_WORKER * PLANNED_SHARE))
    least, most = stream_intervals(rate)
    return min(max(least, carried), most)


def stream_intervals(rate: float) -> tuple[int, int]:
    """Return the smallest and the largest interval that suit one stream of this many tokens per second."""
    fluid = min(int(rate / FLUID_CHUNKS), MOST_TOKENS_PER_CHUNK)
    return max(1, fluid), max(1, int(rate / VISIBLE_CHUNKS))


def litellm_workers(cores: int) -> int:
    """Return how many LiteLLM workers a gateway with this many cores has: one for each four of them, at most four.

    It follows from the machine alone, as a worker more or less restarts LiteLLM for all models. Requests that need no
    translation do not pass LiteLLM.
    """
    return min(max(1, cores // CORES_PER_WORKER), MOST_WORKERS)


def planned_rates(instances: list[dict[str, Any]], models: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Return ``{rate, streams}`` of each chat instance: tokens per second of one stream, and streams at once."""
    by_name = {model["name"]: model for model in models}
    rates = []
    for instance in instances:
        model = by_name[instance["model"]]
        if model["mode"] == "chat":
            streams = instance["max_num_seqs"] or int(registry.interface_of(instance)["default_sequences"])
            rates.append({"rate": stream_rate(model, instance["device"]), "streams": streams})
    return rates


def set_stream_intervals(
    instances: list[dict[str, Any]],
    models: list[dict[str, Any]],
    gateways: dict[str, int],
    in_force: dict[str, dict[str, Any]],
) -> None:
    """Set the stream interval of each chat instance: the one in its arguments, its current one, or one that suits the
    fleet.

    :param in_force: the instances of the earlier plan by name. One that is otherwise unchanged keeps its interval, so
        that a further model, replica or gateway restarts nobody.
    """
    workers = sum(litellm_workers(int(cores)) for cores in gateways.values()) or 1
    chat = {model["name"] for model in models if model["mode"] == "chat"}
    rates = planned_rates(instances, models)
    total = sum(planned["rate"] * planned["streams"] for planned in rates)
    for instance, planned in zip([i for i in instances if i["model"] in chat], rates):
        # The whole fleet's tokens share the workers; for this instance they count as streams at its own rate.
        interval = derive_stream_interval(total, workers, max(1, round(total / planned["rate"])))
        kept = _interval_in_force(instance, in_force.get(instance["name"]), planned["rate"])
        instance["stream_interval"] = instance["stream_interval"] or kept or interval


def _interval_in_force(instance: dict[str, Any], current: dict[str, Any] | None, rate: float) -> int | None:
    """Return the interval that an unchanged instance has, as long as it suits the rate that is planned for it."""
    if not current or any(current.get(key) != instance[key] for key in ("request", "host")):
        return None
    interval = int(current.get("stream_interval") or 0)
    least, most = stream_intervals(rate)
    return interval if least <= interval <= most else None


def parallel_requests(model: dict[str, Any], instances: list[dict[str, Any]]) -> int:
    """Return how many requests of a model the gate lets through at once.

    The model's own ``limits.max_parallel_requests``, else twice what its instances compute at once.
    """
    own = [instance for instance in instances if instance["model"] == model["name"]]
    return int(model["limits"]["max_parallel_requests"] or 0) or QUEUE_FACTOR * sum(
        instance["max_num_seqs"] or int(registry.interface_of(instance)["default_sequences"]) for instance in own
    )
