# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils import problems
from ansible_collections.llmfleet.serving.plugins.module_utils.cores import parse_cores
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import cpu_shares, serving_plan
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory as fleet_memory
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import requirements
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024**3


def host(vcpus: int | None = 4, memory_mib: int | None = 16000, cores: str = "", **more: Any) -> dict[str, Any]:
    cpu = {"cores": cores, "vcpus": vcpus, "memory_mib": memory_mib}
    return {"device": "cpu", "address": "127.0.0.1", "cpu": cpu, **more}


HOST = host()
DEMO_FACTS = fleet_memory.with_facts(models.resolve([{"name": "a", "source": "demo:"}]), {}, {})[0]["facts"]


def resolved(*raw: dict[str, Any]) -> list[dict[str, Any]]:
    """Models of which nothing but the inventory is known, unless they bring their facts."""
    facts = [model.get("facts") for model in raw]
    own = [{"source": "demo:", **{key: value for key, value in model.items() if key != "facts"}} for model in raw]
    return [{**model, "facts": known} for model, known in zip(models.resolve(own), facts, strict=True)]


def plan(*raw: dict[str, Any], current: list[dict[str, Any]] | None = None, **hosts: dict[str, Any]) -> dict[str, Any]:
    return serving_plan.plan(resolved(*raw), hosts or {"h": HOST}, current)


def fleet(
    *raw: dict[str, Any], current: list[dict[str, Any]] | None = None, **hosts: dict[str, Any]
) -> list[dict[str, Any]]:
    planned = plan(*raw, current=current, **hosts)
    assert planned["problems"] == planned["unplaced"] == []
    return list(planned["instances"])


def refused(*raw: dict[str, Any], **hosts: dict[str, Any]) -> list[str]:
    return [problems.Problem(**problem).sentence() for problem in plan(*raw, **hosts)["problems"]]


def where(instances: list[dict[str, Any]]) -> dict[str, tuple[str, str, int]]:
    return {one["name"]: (one["host"], one["cpu"]["cores"], one["port"]) for one in instances}


def test_an_instance_is_complete() -> None:
    (instance,) = fleet(
        {
            "name": "chat",
            "source": "path:/srv/m",
            "aliases": ["x"],
            "revision": "abc",
            "args": {"a": 1, "max-num-seqs": "5", "stream-interval": 2},
            "env": {"E": 1},
            "context": 99,
        }
    )
    assert len(instance.pop("request")) == 12
    planned_for_gpus = set(instance) - {"name", "model", "aliases", "replica", "port", "listen", "device", "source"}
    nothing = {key for key in planned_for_gpus if instance[key] is None}
    assert {key: value for key, value in instance.items() if key not in nothing} == {
        "name": "chat-0",
        "model": "chat",
        "aliases": ["x"],
        "replica": 0,
        "port": 8100,
        "listen": "127.0.0.1",
        "device": "cpu",
        "engine": "vllm",
        "interface": registry.interface(registry.of({})),
        "source": "path:/srv/m",
        "revision": "abc",
        "path": "/srv/m",
        "cpu": {"cores": "0-2", "kv_cache_space_gib": 4},
        "gpus": [],
        "args": {"a": 1},
        "env": {"E": "1"},
        "max_model_len": 99,
        "max_num_seqs": 5,
        "stream_interval": 2,
        "host": "h",
        "address": "127.0.0.1:8100",
        "memory": {"weights": None, "kv_cache": 4 * 1024**3},
        "reasons": [],
    }
    assert {"tensor_parallel_size", "gpu_memory_utilization", "kv_cache_tokens", "start_after"} <= nothing


def test_two_models_side_by_side_on_two_cores() -> None:
    first, second = fleet({"name": "a"}, {"name": "b"}, h=host(2))
    assert (first["cpu"]["cores"], second["cpu"]["cores"]) == ("0", "1")
    assert (first["port"], second["port"]) == (8100, 8101)


def test_more_instances_than_cores() -> None:
    (sentence,) = refused({"name": "a", "replicas": 2}, {"name": "b"}, h=host(2))
    assert sentence == (
        "h: llm_models is 3: 3 instances (a-0, a-1, b-0) need 3 cores, there are 2; "
        "lower replicas, take models away, or add hosts to llm_inference."
    )


def test_replicas_spread_and_the_least_loaded_host_comes_first() -> None:
    hosts = {"small": host(2), "large": host(8)}
    instances = fleet({"name": "a", "replicas": 2}, {"name": "b", "replicas": 2}, {"name": "c"}, **hosts)
    assert [(i["host"], i["name"]) for i in instances] == [
        ("small", "a-0"),
        ("small", "b-1"),
        ("large", "a-1"),
        ("large", "b-0"),
        ("large", "c-0"),
    ]


def test_models_bound_to_hosts_choose_first() -> None:
    instances = fleet({"name": "any"}, {"name": "bound", "hosts": ["one"]}, one=host(1), two=host(1))
    assert {i["model"]: i["host"] for i in instances} == {"any": "two", "bound": "one"}


def test_hosts_that_are_none() -> None:
    (sentence,) = refused({"name": "a", "hosts": ["h", "x"]})
    assert 'llm_models[a].hosts is ["x"]: not in the group llm_inference; choose from h' in sentence


def test_no_host_at_all() -> None:
    planned = serving_plan.plan(resolved({"name": "a"}), {})
    assert [problem["variable"] for problem in planned["problems"]] == ["llm_inference"]
    assert planned["instances"] == planned["unplaced"] == []


def test_facts_that_are_missing() -> None:
    (sentence,) = refused({"name": "a"}, h={"device": "cpu"})
    assert "h: ansible_facts is" in sentence
    assert "--limit" in sentence
    assert refused({"name": "a"}, h={}) == [sentence]


@pytest.mark.parametrize(
    ("facts", "variable"),
    [
        (host(device="gpu"), 'llm_device is "gpu"'),
        (host(cores="0-x"), 'llm_cores is "0-x"'),
        (host(vcpus=None), "ansible_facts is"),
        (host(memory_mib=None), "ansible_facts is"),
        (host(device="cuda", gpus="GPU-1"), 'llm_gpus is "GPU-1"'),
        (host(device="cuda", gpus=["GPU-1", "GPU-1"]), "llm_gpus is"),
    ],
)
def test_hosts_whose_values_are_wrong(facts: dict[str, Any], variable: str) -> None:
    (sentence,) = refused({"name": "a"}, h=facts)
    assert sentence.startswith(f"h: {variable}")


def test_numbers_may_come_as_the_text_that_templates_make() -> None:
    facts = {**HOST, "cpu": {"cores": "", "vcpus": "4", "memory_mib": "16000"}}
    assert fleet({"name": "a"}, h=facts) == fleet({"name": "a"})


def test_a_core_that_is_named_twice_is_one_core() -> None:
    assert "need 2 cores, there are 1" in refused({"name": "a", "replicas": 2}, h=host(cores="1,1-1"))[0]


def test_only_the_cores_that_are_given() -> None:
    instances = fleet({"name": "a"}, {"name": "b"}, h=host(cores="4-6,9,11"))
    assert [i["cpu"]["cores"] for i in instances] == ["4-5", "6,9"]


def test_little_memory_is_told_with_what_is_missing() -> None:
    (sentence,) = refused({"name": "a", "weights_gib": 2}, h=host(memory_mib=6000))
    assert sentence == (
        'h: memory is "6000 MiB": a need 784 MiB more, with 1 GiB of KV cache each; '
        "take models away, add hosts or memory, or correct a model's size with weights_gib."
    )


def test_the_demo_fits_a_machine_of_8_gb() -> None:
    instances = fleet({"name": "a", "facts": DEMO_FACTS}, {"name": "b", "facts": DEMO_FACTS}, h=host(memory_mib=7850))
    assert [i["cpu"]["kv_cache_space_gib"] for i in instances] == [1, 1]


@pytest.mark.parametrize(
    ("extra", "space"),
    [
        ({}, 4),
        ({"args": {"kv-cache-memory-bytes": 2**30}}, None),
        ({"env": {"VLLM_CPU_KVCACHE_SPACE": 7}}, 7),
        ({"weights_gib": 8}, 1),
        ({"facts": {**DEMO_FACTS, "weight_bytes": 8 * GIB}}, 1),
    ],
)
def test_kv_cache_space(extra: dict[str, Any], space: int | None) -> None:
    (instance,) = fleet({"name": "a", **extra})
    assert instance["cpu"]["kv_cache_space_gib"] == space


def test_no_tensor_parallel_on_a_cpu() -> None:
    (sentence,) = refused({"name": "a", "args": {"tensor-parallel-size": 2}})
    assert 'h: llm_models[a].args is {"tensor-parallel-size": 2}' in sentence


@pytest.mark.parametrize("method", ["bitsandbytes", "hqq", "aqlm"])
def test_a_quantisation_that_vllm_does_not_have_is_refused_on_processors_too(method: str) -> None:
    (sentence,) = refused({"name": "a", "facts": {**DEMO_FACTS, "quantization": method}})
    assert f'h: llm_models[a].source is "demo:": vLLM 0.32 has no quantisation {method}' in sentence
    assert "fp8" not in sentence
    assert refused({"name": "a", "facts": {**DEMO_FACTS, "quantization": "awq"}}) == []


@pytest.mark.parametrize(
    ("args", "field", "value", "left"),
    [
        ({"max-model-len": "900"}, "max_model_len", 900, {}),
        ({"max-num-seqs": 3}, "max_num_seqs", 3, {"max-model-len": "auto"}),
        ({"stream-interval": "6"}, "stream_interval", 6, {"max-model-len": "auto"}),
        # What is no field of a CPU engine goes to vLLM as it was written.
        ({"dtype": "float32"}, "dtype", None, {"max-model-len": "auto", "dtype": "float32"}),
    ],
)
def test_what_args_pin(args: dict[str, Any], field: str, value: Any, left: dict[str, Any]) -> None:
    (instance,) = fleet({"name": "a", "args": args})
    assert (instance[field], instance["args"]) == (value, left)


def test_embeddings_have_no_stream_and_take_their_own_length() -> None:
    (instance,) = fleet({"name": "e", "mode": "embedding"})
    assert instance["stream_interval"] is None
    assert instance["args"] == {}


def test_addresses_of_ipv6() -> None:
    (instance,) = fleet({"name": "a"}, h=host(address="fd00::5", listen="::"))
    assert (instance["address"], instance["listen"]) == ("[fd00::5]:8100", "::")


def test_streams_of_a_fast_model_travel_in_chunks() -> None:
    for rate, interval in ((300, 8), (None, 1)):
        some = resolved({"name": "a", "tokens_per_second": rate})
        planned = serving_plan.plan(some, {"h": HOST}, gateways={"h": 4})
        assert [i["stream_interval"] for i in planned["instances"]] == [interval]


def test_the_same_input_gives_the_same_result() -> None:
    raw = [{"name": "a", "replicas": 3}, {"name": "b", "replicas": 2}]
    hosts = {"x": HOST, "y": HOST}
    assert fleet(*raw, **hosts) == fleet(*raw, **hosts)


# --- what vLLM will say


def test_context_and_kv_cache_are_predicted_where_the_model_is_known() -> None:
    (instance,) = fleet({"name": "a", "facts": DEMO_FACTS, "args": {"kv-cache-memory-bytes": 64 * 2**20}})
    # 5 KV heads of 32 for keys and values in bf16 are 640 bytes per token and layer, two layers, blocks of 128.
    assert instance["kv_cache_blocks"] == 64 * 2**20 // (640 * 2 * 128) == 409
    assert instance["kv_cache_tokens"] == 52352
    assert (instance["max_model_len"], instance["max_concurrency"]) == (2048, 25.5625)
    assert instance["args"] == {"kv-cache-memory-bytes": 64 * 2**20}


@pytest.mark.parametrize(
    ("extra", "length"),
    [
        # 5 blocks, of which one is the null block.
        ({}, 512),
        ({"context": {"min": 300}}, 512),
        ({"context": 300}, 300),
        ({"max_positions": 400}, 400),
        ({"args": {"dtype": "float32"}}, 128),
        ({"args": {"block-size": 32}}, 608),
    ],
)
def test_the_longest_context_that_the_kv_cache_holds(extra: dict[str, Any], length: int) -> None:
    args = {"kv-cache-memory-bytes": 5 * 640 * 2 * 128, **extra.pop("args", {})}
    facts = {**DEMO_FACTS, "max_position_embeddings": 16384}
    (instance,) = fleet({"name": "a", "facts": facts, "args": args, **extra})
    assert instance["max_model_len"] == length


@pytest.mark.parametrize("facts", [None, {"error": "the hub is down"}, {**DEMO_FACTS, "layers": []}])
def test_nothing_is_predicted_of_what_is_not_known(facts: Any) -> None:
    (instance,) = fleet({"name": "a", "facts": facts})
    assert [instance[key] for key in ("max_model_len", "kv_cache_tokens", "max_concurrency")] == [None, None, None]
    assert instance["args"] == {"max-model-len": "auto"}


def test_nothing_is_predicted_of_a_context_that_does_not_fit() -> None:
    (instance,) = fleet({"name": "a", "facts": DEMO_FACTS, "context": 2000, "args": {"kv-cache-memory-bytes": 2**18}})
    assert (instance["max_model_len"], instance["kv_cache_tokens"]) == (2000, None)


# --- what runs stays


def test_instances_stay_on_their_hosts() -> None:
    hosts = {"x": host(), "y": host()}
    before = fleet({"name": "a", "replicas": 2}, {"name": "b"}, **hosts)
    after = fleet({"name": "new"}, {"name": "a", "replicas": 2}, {"name": "b"}, current=before, **hosts)
    assert {i["name"]: i["host"] for i in before}.items() <= {i["name"]: i["host"] for i in after}.items()


def test_an_instance_leaves_a_host_that_it_may_not_use_any_more() -> None:
    hosts = {"x": host(1), "y": host(1)}
    before = fleet({"name": "a", "hosts": ["x"]}, **hosts)
    (after,) = fleet({"name": "a", "hosts": ["y"]}, current=before, **hosts)
    assert (before[0]["host"], after["host"]) == ("x", "y")


def test_of_a_host_that_lost_cores_some_instances_leave() -> None:
    before = fleet({"name": "a"}, {"name": "b"}, x=host(2))
    after = fleet({"name": "a"}, {"name": "b"}, current=before, x=host(1), y=host(1))
    assert {i["name"]: i["host"] for i in after} == {"a-0": "x", "b-0": "y"}


def test_ports_are_kept_and_the_lowest_free_one_is_taken() -> None:
    """What ends has its port until gateways know what starts."""
    before = fleet({"name": "a"}, {"name": "b"}, {"name": "c"})
    after = fleet({"name": "new"}, {"name": "b"}, {"name": "c"}, {"name": "newer"}, current=before, h=host(8))
    assert {i["name"]: i["port"] for i in after} == {"new-0": 8103, "b-0": 8101, "c-0": 8102, "newer-0": 8104}
    later = fleet({"name": "newest"}, {"name": "b"}, current=after[1:3], h=host(8))
    assert {i["name"]: i["port"] for i in later} == {"newest-0": 8100, "b-0": 8101}


def test_a_port_of_another_host_or_below_the_first_is_not_kept() -> None:
    before = fleet({"name": "a"}, {"name": "b"})
    moved = [{**one, "host": "elsewhere", "port": 8900} for one in before]
    assert [i["port"] for i in fleet({"name": "a"}, {"name": "b"}, current=moved)] == [8100, 8101]
    higher = serving_plan.plan(resolved({"name": "a"}, {"name": "b"}), {"h": HOST}, before, first_port=8101)
    assert [i["port"] for i in higher["instances"]] == [8102, 8101]


@pytest.mark.parametrize("port", [None, "8100", 8100])
def test_a_port_that_two_have_goes_to_one(port: Any) -> None:
    before = [{**one, "port": port} for one in fleet({"name": "a"}, {"name": "b"})]
    assert [i["port"] for i in fleet({"name": "a"}, {"name": "b"}, current=before)] == [8100, 8101]


def test_cores_stay_while_the_same_instances_share_a_host() -> None:
    hosts = {"x": host(4), "y": host(8)}
    raw = [{"name": "a", "replicas": 2}, {"name": "b", "hosts": ["x"]}]
    before = fleet(*raw, **hosts)
    assert where(before) == {"a-1": ("x", "0-1", 8100), "b-0": ("x", "2", 8101), "a-0": ("y", "0-6", 8100)}
    assert fleet(*raw, current=before, **hosts) == before
    # Somebody new on the other host is nothing to them, neither is a change of what they are.
    after = where(fleet(*raw, {"name": "c", "hosts": ["y"]}, current=before, **hosts))
    assert {name: after[name] for name in ("a-1", "b-0")} == {name: where(before)[name] for name in ("a-1", "b-0")}
    changed = [{**raw[0], "context": 512}, raw[1]]
    assert where(fleet(*changed, current=before, **hosts)) == where(before)


@pytest.mark.parametrize(
    ("model", "mib"),
    [
        ({"weights_gib": 2}, 2048),
        ({"weights_gib": 2, "facts": {**DEMO_FACTS, "weight_bytes": 2**20 + 1}}, 2),
        ({"facts": {"error": "x"}}, 0),
    ],
)
def test_what_files_say_of_weights_comes_before_what_the_catalogue_says(model: dict[str, Any], mib: int) -> None:
    assert cpu_shares.weights_mib(resolved({"name": "a", **model})[0]) == mib


# --- whatever the fleet

CPU_HOSTS = st.lists(st.tuples(st.integers(1, 16), st.integers(8_000, 200_000)), min_size=1, max_size=4)
MODELS = st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(1, 64)), min_size=1, max_size=5)


def asked_of(asked: list[tuple[int, Any]], facts: Any = None) -> list[dict[str, Any]]:
    return resolved(
        *({"name": f"m{i}", "replicas": n, "concurrency": c, "facts": facts} for i, (n, c) in enumerate(asked))
    )


@given(CPU_HOSTS, MODELS, st.none() | st.just(DEMO_FACTS))
def test_no_core_no_port_and_no_memory_is_given_twice(
    sizes: list[tuple[int, int]], asked: list[tuple[int, Any]], facts: Any
) -> None:
    hosts = {f"h{i}": host(cores, memory) for i, (cores, memory) in enumerate(sizes)}
    some = asked_of(asked, facts)
    planned = serving_plan.plan(some, hosts)
    instances = planned["instances"]
    if sum(n for n, _ in asked) > sum(cores for cores, _ in sizes):
        assert planned["problems"]
        assert instances == []
        return
    assert len(instances) == sum(n for n, _ in asked)
    assert len({i["name"] for i in instances}) == len(instances)
    assert len({(i["host"], i["port"]) for i in instances}) == len(instances)
    for name, facts_of_host in hosts.items():
        here = [i for i in instances if i["host"] == name]
        cores = [core for i in here for core in parse_cores(i["cpu"]["cores"])]
        assert len(cores) == len(set(cores))
        assert set(cores) <= set(range(facts_of_host["cpu"]["vcpus"]))
        assert all(i["cpu"]["cores"] for i in here)
        if name not in {problem["host"] for problem in planned["problems"]}:
            assert requirements.memory_mib(instances, some, name) <= facts_of_host["cpu"]["memory_mib"]


@given(CPU_HOSTS, MODELS)
def test_a_plan_that_is_in_force_is_planned_again(sizes: list[tuple[int, int]], asked: list[tuple[int, Any]]) -> None:
    hosts = {f"h{i}": host(cores, memory) for i, (cores, memory) in enumerate(sizes)}
    planned = serving_plan.plan(asked_of(asked), hosts)
    assert serving_plan.plan(asked_of(asked), hosts, planned["instances"]) == planned


@given(st.integers(1, 64), st.integers(1, 64))
def test_cores_are_shared_evenly(cores: int, engines: int) -> None:
    if engines > cores:
        return
    shares = cpu_shares.share_cores(list(range(cores)), engines)
    sizes = [len(share) for share in shares]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == (cores if cores == engines else cores - 1)


@given(CPU_HOSTS, st.integers(1, 6))
def test_replicas_of_a_model_are_on_as_many_hosts_as_can_be(sizes: list[tuple[int, int]], replicas: int) -> None:
    hosts = {f"h{i}": host(cores, 200_000) for i, (cores, _) in enumerate(sizes)}
    planned = serving_plan.plan(resolved({"name": "m", "replicas": replicas}), hosts)
    if not planned["problems"]:
        assert len({i["host"] for i in planned["instances"]}) == min(replicas, len(hosts))


def test_a_large_fleet_is_planned_at_once() -> None:
    raw = [{"name": f"m{number}", "replicas": 20} for number in range(50)]
    hosts = {f"h{number}": host(16, 256_000) for number in range(200)}
    assert len(fleet(*raw, **hosts)) == 1000
