# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.cores import format_cores, parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import limits, serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory as fleet_memory
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import wiring
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import settings as gate_settings
from hypothesis import given
from hypothesis import strategies as st

GPUS = [
    {"uuid": f"GPU-{i}", "index": i, "product_name": "L4", "compute_capability": "8.9", "memory_total_mib": 23034}
    for i in range(2)
]
HOSTS = {
    "h1": {"device": "cpu", "cpu": {"cores": "", "vcpus": 2, "memory_mib": 16000}, "address": "127.0.0.1"},
    "h2": {"device": "cuda", "gpu_facts": {"gpus": GPUS}, "address": "10.0.0.2"},
}
DEMO = {"name": "demo", "source": "demo:", "tokens_per_second": 300, "concurrency": 8, "hosts": ["h1"], "context": 2048}
BIG = {
    "name": "big",
    "source": "hf://o/m",
    "replicas": 2,
    "hosts": ["h2"],
    "aliases": ["gpt-4o"],
    "max_positions": 8192,
    "limits": {"rpm": 60},
    "request_defaults": {"max_tokens": 100},
    "cost": {"input_per_token": 0.5},
}


def plan(
    *raw: dict[str, Any], current: list[dict[str, Any]] | None = None, replan: list[str] | None = None, **gateways: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = fleet_memory.with_facts(models.resolve([{"name": "demo", "source": "demo:"}]), {}, {})[0]["facts"]
    known = {**known, "max_position_embeddings": 4096}
    some = [{**model, "facts": known} for model in models.resolve(list(raw))]
    planned = serving_plan.plan(some, HOSTS, current, gateways=gateways, replan=replan)
    assert planned["problems"] == []
    return planned["instances"], some


@pytest.mark.parametrize(
    ("rate", "streams", "workers", "interval"),
    [
        # The demo on one core: 300 tokens per second and stream, eight streams.
        (2400, 8, 1, 8),
        # A large model on a GPU, 50 per stream: what a reader does not notice.
        (1600, 32, 2, 2),
        # A busy one: 256 streams of 50 fill one worker at 13, but 12 is the most that is still seen to flow.
        (12800, 256, 1, 12),
        (12800, 256, 4, 4),
        # A CPU that writes slower than one reads: every token at once.
        (10, 1, 1, 1),
        (0, 0, 0, 1),
    ],
)
def test_stream_interval(rate: float, streams: int, workers: int, interval: int) -> None:
    assert limits.derive_stream_interval(rate, workers, streams) == interval


@given(st.floats(0, 1e6), st.integers(1, 64), st.integers(1, 4096))
def test_streams_flow_and_the_gateway_carries_them(rate: float, workers: int, streams: int) -> None:
    interval = limits.derive_stream_interval(rate, workers, streams)
    assert interval >= 1
    # Either a reader still sees four chunks per second, or every token is a chunk.
    assert interval == 1 or rate / streams / interval >= limits.VISIBLE_CHUNKS
    carried = workers * limits.CHUNKS_PER_WORKER * limits.PLANNED_SHARE
    slowest = interval >= int(rate / streams / limits.VISIBLE_CHUNKS)
    assert rate / interval <= carried + 1e-6 or slowest


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (7, 1), (8, 2), (16, 4), (128, 4)])
def test_workers_follow_from_the_machine_alone(cores: int, workers: int) -> None:
    assert limits.litellm_workers(cores) == workers


@given(st.sets(st.integers(0, 200)))
def test_cores_survive_being_written(cores: set[int]) -> None:
    assert parse_cores(format_cores(list(cores))) == sorted(cores)


def test_cores_as_vllm_reads_them() -> None:
    assert format_cores([8, 0, 1, 2]) == "0-2,8"
    assert parse_cores("5, 2-4") == [5, 2, 3, 4]


@pytest.mark.parametrize(
    ("concurrency", "replicas", "device", "cores", "expected"),
    [
        (None, 1, "cpu", 1, 4),
        (None, 1, "cpu", 9, 8),
        (None, 1, "cuda", 0, None),
        (9, 2, "cuda", 0, 5),
        (3, 1, "cpu", 4, 3),
    ],
)
def test_sequences(concurrency: Any, replicas: int, device: str, cores: int, expected: Any) -> None:
    assert limits.sequences({"concurrency": concurrency, "replicas": replicas}, device, cores) == expected


def test_more_workers_mean_smaller_chunks() -> None:
    one, _ = plan(BIG, gw=1)
    many, _ = plan(BIG, gw=32)
    most, _ = plan(BIG, **{f"gw{number}": 32 for number in range(4)})
    assert [of[0]["stream_interval"] for of in (one, many, most)] == [12, 7, 2]


ONE = {**BIG, "replicas": 1, "args": {"gpu-memory-utilization": 0.3}}


@pytest.mark.parametrize(
    ("raw", "gateways"),
    [
        ((ONE, DEMO), {"gw": 1}),
        ((ONE, {**ONE, "name": "second", "aliases": []}), {"gw": 1}),
        (({**ONE, "replicas": 2},), {"gw": 1}),
        ((ONE,), {"gw": 32, "gw2": 32}),
        ((ONE,), {}),
    ],
    ids=["a model elsewhere", "a model beside", "a replica", "two large gateways", "no gateway"],
)
@pytest.mark.parametrize("cores", [1, 32])
def test_what_joins_the_fleet_changes_no_instance_that_is_there(
    raw: tuple[dict[str, Any], ...], gateways: dict[str, int], cores: int
) -> None:
    (before,), _ = plan(ONE, gw=cores)
    after = {one["name"]: one for one in plan(*raw, current=[before], **gateways)[0]}
    changes = plan_report.changes(list(after.values()), [before])
    assert [(change["action"], change["what"]) for change in changes if change["name"] == before["name"]] == [("=", [])]


def test_an_interval_is_derived_anew_where_it_suits_no_more() -> None:
    before, _ = plan(BIG, gw=1)
    assert before[0]["stream_interval"] == 12
    # On purpose, by a rate at which 12 tokens would stutter, and by the model's own arguments.
    assert plan(BIG, current=before, replan=["big"], gw=32)[0][0]["stream_interval"] == 7
    slow, _ = plan({**BIG, "tokens_per_second": 20}, current=before, gw=1)
    assert slow[0]["stream_interval"] == 5
    own, _ = plan({**BIG, "args": {"stream-interval": 3}}, current=before, gw=1)
    assert own[0]["stream_interval"] == 3
    assert plan(BIG, current=own, gw=32)[0][0]["stream_interval"] == 7


def test_deployments() -> None:
    instances, some = plan(DEMO, BIG)
    demo, big = wiring.litellm_deployments(instances, some, "http://127.0.0.1:4100/")
    assert big == {
        "name": "big",
        "aliases": ["gpt-4o"],
        "provider": "hosted_vllm",
        "api_base": "http://127.0.0.1:4100/big/v1",
        "request_defaults": {"temperature": None, "top_p": None, "max_tokens": 100},
        "input_cost_per_token": 0.5,
        "output_cost_per_token": 0,
        "mode": "chat",
    }
    assert (demo["name"], demo["api_base"]) == ("demo", "http://127.0.0.1:4100/demo/v1")


LIMITS = st.fixed_dictionaries({}, optional={name: st.integers(1, 100) for name in gate_settings.LIMITS})


@given(st.integers(1, 2), st.sampled_from([2048, 4096, "auto"]), st.integers(1, 64), st.floats(1, 500), LIMITS)
def test_replicas_sizes_and_limits_do_not_reach_litellm(
    replicas: int, context: Any, concurrency: int, rate: float, limited: dict[str, int]
) -> None:
    first, some = plan({**BIG, "replicas": 1}, DEMO)
    asked = {"replicas": replicas, "context": context, "concurrency": concurrency, "tokens_per_second": rate}
    second, changed = plan({**BIG, **asked, "limits": limited}, DEMO, current=first)
    before, after = (wiring.litellm_deployments(*fleet, "http://s") for fleet in ((first, some), (second, changed)))
    assert json.dumps(before) == json.dumps(after)


@pytest.mark.parametrize(
    ("planned", "raw", "length"),
    [
        # Any replica may get a request, so the shortest counts; what the plan gave comes before what was asked for.
        ([8192, 4096], {"context": 2048, "max_positions": 16384}, 4096),
        ([8192, None], {"context": 2048}, 8192),
        # vLLM chooses, and nobody knows yet what.
        ([None, None], {"context": 2048, "max_positions": 16384}, 2048),
        ([None, None], {"max_positions": 16384}, 16384),
        ([None, None], {}, None),
        ([], {"max_positions": 16384}, 16384),
    ],
)
def test_a_request_fits_every_replica(planned: list[Any], raw: dict[str, Any], length: int | None) -> None:
    (model,) = models.resolve([{"name": "m", "source": "hf://o/m", **raw}])
    others = [{"model": "other", "max_model_len": 1}]
    assert wiring.context(model, others + [{"model": "m", "max_model_len": one} for one in planned]) == length


def test_a_limit_of_the_model_wins() -> None:
    instances, some = plan({**DEMO, "limits": {"max_parallel_requests": 10}}, BIG)
    assert [limits.parallel_requests(model, instances) for model in some] == [10, 2 * 2 * 256]


def test_upstreams_let_through_what_the_gateway_asks_for() -> None:
    instances, some = plan(DEMO, BIG)
    demo, big = wiring.south_upstreams(instances, some)
    assert demo == {
        "name": "demo",
        "api_paths": ["/v1/models", "/v1/chat/completions"],
        "servers": [{"address": "127.0.0.1:8100", "weight": 1, "replica": 0}],
        "balance": "least_conn",
        "max_connections": 36,
    }
    assert [server["address"] for server in big["servers"]] == ["10.0.0.2:8100", "10.0.0.2:8101"]
    for upstream, model in zip((demo, big), wiring.gate_models(instances, some), strict=True):
        assert upstream["max_connections"] > model["max_parallel_requests"]


def test_an_instance_has_its_weight_and_one_that_moves_its_number_once() -> None:
    instances, some = plan(BIG)
    instances[0]["weight"] = 0
    moving = {**instances[1], "address": "10.0.0.9:8101"}
    (big,) = wiring.south_upstreams([*instances, moving], some)
    assert big["servers"] == [
        {"address": "10.0.0.2:8100", "weight": 0, "replica": 0},
        {"address": "10.0.0.2:8101", "weight": 1, "replica": 1},
        {"address": "10.0.0.9:8101", "weight": 1},
    ]


def test_an_upstream_of_two_versions_names_the_new_ones_and_their_share() -> None:
    instances, some = plan(BIG)
    for number, instance in enumerate(instances):
        instance |= {"weight": 1, "new": bool(number), "new_percent": 33.33}
    (big,) = wiring.south_upstreams(instances, some)
    assert big["new_percent"] == 33.33
    assert [server.get("new") for server in big["servers"]] == [None, True]


def test_each_upstream_has_the_paths_of_its_engine() -> None:
    instances, some = plan(DEMO, BIG)
    for instance in instances:
        instance["engine"] = "echo" if instance["model"] == "big" else "vllm"
    rows = {"vllm": {"api_paths": ["/v1/rerank"]}, "echo": {"api_paths": ["/v2/speak"]}}
    found = {one["name"]: one["api_paths"] for one in wiring.south_upstreams(instances, some, rows)}
    assert found == {"demo": ["/v1/rerank"], "big": ["/v2/speak"]}
    del instances[0]["engine"]
    found = {one["name"]: one["api_paths"] for one in wiring.south_upstreams(instances, some, {"vllm": rows["vllm"]})}
    assert found == {"demo": ["/v1/rerank"], "big": ["/v1/models", "/v1/chat/completions"]}


def test_the_gate_asks_each_replica_of_a_model_that_generates_text() -> None:
    instances, some = plan(DEMO, BIG, {**DEMO, "name": "vectors", "mode": "embedding"})
    assert {one["name"]: one["replicas"] for one in wiring.gate_models(instances, some)} == {
        "demo": [0],
        "big": [0, 1],
        "vectors": [],
    }
    routes = {
        one["name"]: [server["replica"] for server in one["servers"]] for one in wiring.south_upstreams(instances, some)
    }
    assert routes == {"demo": [0], "big": [0, 1], "vectors": [0]}


def test_the_gate_knows_whose_engines_order_requests_by_priority() -> None:
    instances, some = plan(DEMO, BIG)
    assert {one["name"]: one["priorities"] for one in wiring.gate_models(instances, some)} == {
        "demo": False,
        "big": False,
    }
    for instance in instances[:2]:
        instance["launch"] = {"scheduling": "priority"}
    found = {one["name"]: gate_settings.model(one).get("priorities") for one in wiring.gate_models(instances, some)}
    # One replica of the second model does not.
    assert found == {"demo": True, "big": None}


def test_answers_are_kept_by_version_and_not_while_two_serve() -> None:
    instances, some = plan({**DEMO, "cache": {"seconds": 60}}, BIG)
    found = {one["name"]: gate_settings.model(one) for one in wiring.gate_models(instances, some)}
    assert (found["demo"]["answer_seconds"], "answer_sampled" in found["demo"]) == (60, False)
    assert not [name for name in found["big"] if name.startswith("answer")]
    version = found["demo"]["answer_version"]
    other = {**instances[0], "replica": 1}
    for change, same in (
        ({}, True),
        ({"launch": {"settings": {"a": 1}}}, True),
        ({"request": "another"}, False),
        ({"launch": {"package": "vllm 1.0"}}, False),
    ):
        kept, *_others = wiring.gate_models([*instances, {**other, **change}], some)
        assert kept.get("answer_version") == (version if same else None)
        kept, *_others = wiring.gate_models([{**other, **change}], some)
        assert (kept["answer_version"] == version) == same


def test_a_model_without_instance_is_nowhere() -> None:
    _, some = plan(DEMO)
    assert wiring.litellm_deployments([], some, "") == wiring.south_upstreams([], some) == []


def test_scrape_targets() -> None:
    instances, _ = plan(DEMO)
    others = [
        {"job": "litellm", "targets": ["10.0.0.1:4000"], "bearer_token": "t", "metrics_path": "/metrics/"},
        {"job": "node", "targets": [{"address": "10.0.0.1:9100", "labels": {"rack": "a"}}, {"address": "b:1"}]},
        {"job": "none", "targets": []},
    ]
    jobs = wiring.scrape_targets(instances, others)
    assert jobs == [
        {
            "job": "vllm",
            "targets": [{"address": "127.0.0.1:8100", "labels": {"model": "demo", "replica": "0", "host": "h1"}}],
            "bearer_token": "",
            "metrics_path": "/metrics",
        },
        {
            "job": "litellm",
            "targets": [{"address": "10.0.0.1:4000", "labels": {}}],
            "bearer_token": "t",
            "metrics_path": "/metrics/",
        },
        {
            "job": "node",
            "targets": [{"address": "10.0.0.1:9100", "labels": {"rack": "a"}}, {"address": "b:1", "labels": {}}],
            "bearer_token": "",
            "metrics_path": "/metrics",
        },
    ]
    assert wiring.scrape_targets([]) == []


def test_instances_of_one_host() -> None:
    instances, _ = plan(DEMO, BIG)
    (own,) = wiring.instances_on(instances, "h1")
    assert own["name"] == "demo-0"
    assert not {"host", "address"} & set(own)


def test_listeners_are_engines_and_what_the_host_has() -> None:
    instances, _ = plan(DEMO)
    others = [{"name": "litellm_port", "address": "127.0.0.1", "port": 4000}]
    assert wiring.listeners(instances, others) == [
        {"name": "vllm-demo-0", "address": "127.0.0.1", "port": 8100},
        {"name": "litellm_port", "address": "127.0.0.1", "port": 4000},
    ]


def test_hops_begin_at_the_engines() -> None:
    instances, _ = plan(DEMO)
    hops = wiring.hops(instances, [{"name": "llm-nginx"}], "journalctl -u llm-{}")
    assert [hop["name"] for hop in hops] == ["llm-vllm-demo-0", "llm-nginx"]
    assert hops[0]["remedy"] == "see `journalctl -u llm-vllm-demo-0`"
