# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils import allocation, derive, models, placement
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import InventoryError
from hypothesis import given
from hypothesis import strategies as st

HOST = {"device": "cpu", "vcpus": 4, "memory_mib": 16000, "address": "127.0.0.1"}
GPUS = [f"GPU-{number}" for number in range(4)]
GPU_HOST = {"device": "cuda", "gpus": GPUS, "address": "10.0.0.5"}


def resolved(*raw: dict[str, Any]) -> list[dict[str, Any]]:
    return models.resolve([{"source": "demo:", **model} for model in raw])


def fleet(*raw: dict[str, Any], **hosts: dict[str, Any]) -> list[dict[str, Any]]:
    return allocation.allocate_or_raise(resolved(*raw), hosts or {"h": HOST})


def refused(*raw: dict[str, Any], **hosts: dict[str, Any]) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        fleet(*raw, **hosts)
    return [problem.sentence() for problem in caught.value.problems]


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
    assert instance == {
        "name": "chat-0",
        "model": "chat",
        "aliases": ["x"],
        "replica": 0,
        "port": 8100,
        "listen": "127.0.0.1",
        "device": "cpu",
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
    }


def test_two_models_side_by_side_on_two_cores() -> None:
    first, second = fleet({"name": "a"}, {"name": "b"}, h={**HOST, "vcpus": 2})
    assert (first["cpu"]["cores"], second["cpu"]["cores"]) == ("0", "1")
    assert (first["port"], second["port"]) == (8100, 8101)


def test_more_instances_than_cores() -> None:
    (sentence,) = refused({"name": "a", "replicas": 2}, {"name": "b"}, h={**HOST, "vcpus": 2})
    assert sentence == (
        "h: llm_models is 3: 3 instances (a-0, a-1, b-0) need 3 cores, there are 2; "
        "lower replicas, take models away, or add hosts to llm_inference."
    )


def test_replicas_spread_and_the_least_loaded_host_comes_first() -> None:
    hosts = {"small": {**HOST, "vcpus": 2}, "large": {**HOST, "vcpus": 8}}
    instances = fleet({"name": "a", "replicas": 2}, {"name": "b", "replicas": 2}, {"name": "c"}, **hosts)
    assert [(i["host"], i["name"]) for i in instances] == [
        ("small", "a-0"),
        ("small", "b-1"),
        ("large", "a-1"),
        ("large", "b-0"),
        ("large", "c-0"),
    ]


def test_models_bound_to_hosts_choose_first() -> None:
    hosts = {"one": {**HOST, "vcpus": 1}, "two": {**HOST, "vcpus": 1}}
    instances = fleet({"name": "any"}, {"name": "bound", "hosts": ["one"]}, **hosts)
    assert {i["model"]: i["host"] for i in instances} == {"any": "two", "bound": "one"}


def test_hosts_that_are_none() -> None:
    (sentence,) = refused({"name": "a", "hosts": ["h", "x"]})
    assert 'llm_models[a].hosts is ["x"]: not in the group llm_inference; choose from h' in sentence


def test_no_host_at_all() -> None:
    _, (problem,) = allocation.allocate(resolved({"name": "a"}), {})
    assert problem.variable == "llm_inference"


def test_facts_that_are_missing() -> None:
    (sentence,) = refused({"name": "a"}, h={"device": "cpu"})
    assert "h: ansible_facts is" in sentence
    assert "--limit" in sentence


@pytest.mark.parametrize(
    ("facts", "variable"),
    [
        ({**HOST, "device": "gpu"}, 'llm_device is "gpu"'),
        ({**HOST, "cores": "0-x"}, 'llm_cores is "0-x"'),
        ({**HOST, "vcpus": None}, "ansible_facts is"),
        ({**GPU_HOST, "gpus": "GPU-1"}, 'llm_gpus is "GPU-1"'),
        ({**GPU_HOST, "gpus": ["GPU-1", "GPU-1"]}, "llm_gpus is"),
    ],
)
def test_hosts_whose_values_are_wrong(facts: dict[str, Any], variable: str) -> None:
    (sentence,) = refused({"name": "a"}, h=facts)
    assert sentence.startswith(f"h: {variable}")


def test_a_core_that_is_named_twice_is_one_core() -> None:
    assert "need 2 cores, there are 1" in refused({"name": "a", "replicas": 2}, h={**HOST, "cores": "1,1-1"})[0]


def test_only_the_cores_that_are_given() -> None:
    instances = fleet({"name": "a"}, {"name": "b"}, h={**HOST, "cores": "4-6,9,11"})
    assert [i["cpu"]["cores"] for i in instances] == ["4-5", "6,9"]


def test_little_memory_is_told_with_what_is_missing() -> None:
    (sentence,) = refused({"name": "a", "weights_gib": 2}, h={**HOST, "memory_mib": 6000})
    assert 'h: memory is "6000 MiB": a-0 need 784 MiB more' in sentence


def test_the_demo_fits_a_machine_of_8_gb() -> None:
    instances = fleet(
        {"name": "a", "weights_gib": 0.01}, {"name": "b", "weights_gib": 0.01}, h={**HOST, "memory_mib": 7850}
    )
    assert [i["cpu"]["kv_cache_space_gib"] for i in instances] == [1, 1]


@pytest.mark.parametrize(
    ("extra", "space"),
    [
        ({}, 4),
        ({"args": {"kv-cache-memory-bytes": 2**30}}, None),
        ({"env": {"VLLM_CPU_KVCACHE_SPACE": 7}}, 7),
        ({"weights_gib": 8}, 1),
    ],
)
def test_kv_cache_space(extra: dict[str, Any], space: int | None) -> None:
    (instance,) = fleet({"name": "a", **extra})
    assert instance["cpu"]["kv_cache_space_gib"] == space


def test_no_tensor_parallel_on_a_cpu() -> None:
    (sentence,) = refused({"name": "a", "args": {"tensor-parallel-size": 2}})
    assert 'h: llm_models[a].args is {"tensor-parallel-size": 2}' in sentence


def test_one_gpu_for_each_instance_unless_args_say_more() -> None:
    instances = fleet({"name": "a"}, {"name": "b", "args": {"tensor-parallel-size": "2"}}, {"name": "c"}, g=GPU_HOST)
    assert [i["gpus"] for i in instances] == [["GPU-0"], ["GPU-1", "GPU-2"], ["GPU-3"]]
    assert [i["cpu"] for i in instances] == [{"cores": "", "kv_cache_space_gib": None}] * 3
    assert [i["max_num_seqs"] for i in instances] == [None] * 3
    assert instances[0]["args"] == {"max-model-len": "auto"}
    assert instances[0]["address"] == "10.0.0.5:8100"


def test_more_instances_than_gpus() -> None:
    (sentence,) = refused({"name": "a", "replicas": 5}, g=GPU_HOST)
    assert "need 5 GPUs (llm_gpus), there are 4" in sentence
    assert "tensor-parallel-size" in sentence


def test_embeddings_have_no_stream_and_take_their_own_length() -> None:
    (instance,) = fleet({"name": "e", "mode": "embedding"})
    assert instance["stream_interval"] is None
    assert instance["args"] == {}


def test_addresses_of_ipv6() -> None:
    (instance,) = fleet({"name": "a"}, h={**HOST, "address": "fd00::5", "listen": "::"})
    assert (instance["address"], instance["listen"]) == ("[fd00::5]:8100", "::")


def test_the_same_input_gives_the_same_result() -> None:
    raw = [{"name": "a", "replicas": 3}, {"name": "b", "replicas": 2}]
    hosts = {"x": HOST, "y": HOST}
    assert fleet(*raw, **hosts) == fleet(*raw, **hosts)


def test_what_a_host_must_have() -> None:
    some = resolved(
        {"name": "a", "weights_gib": 1, "source": "hf://o/m", "replicas": 2},
        {"name": "b", "args": {"kv-cache-memory-bytes": 512 * 2**20}},
    )
    instances = allocation.allocate_or_raise(some, {"h": {**HOST, "memory_mib": 14000}})
    space = instances[0]["cpu"]["kv_cache_space_gib"]
    memory = 2048 + 3 * 1664 + 2 * 1024 + 2 * space * 1024 + 512
    assert allocation.needs(instances, some, "h") == {"memory_mib": memory, "download_mib": 1024}
    assert allocation.needs(instances, some, "elsewhere") == {"memory_mib": 0, "download_mib": 0}


def test_what_a_gpu_host_must_have() -> None:
    some = resolved({"name": "a", "weights_gib": 100, "source": "hf://o/m"})
    instances = allocation.allocate_or_raise(some, {"g": GPU_HOST})
    assert allocation.needs(instances, some, "g") == {"memory_mib": 2048 + 1664, "download_mib": 102400}


def test_a_large_fleet_is_allocated_at_once() -> None:
    raw = [{"name": f"m{number}", "replicas": 20} for number in range(50)]
    hosts = {f"h{number}": {**GPU_HOST, "gpus": [f"{number}-{gpu}" for gpu in range(8)]} for number in range(200)}
    assert len(fleet(*raw, **hosts)) == 1000


CPU_HOSTS = st.lists(st.tuples(st.integers(1, 16), st.integers(8_000, 200_000)), min_size=1, max_size=4)
MODELS = st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(1, 64)), min_size=1, max_size=5)


@given(CPU_HOSTS, MODELS)
def test_no_core_no_port_and_no_memory_is_given_twice(
    sizes: list[tuple[int, int]], asked: list[tuple[int, Any]]
) -> None:
    hosts = {f"h{i}": {"vcpus": cores, "memory_mib": memory} for i, (cores, memory) in enumerate(sizes)}
    some = resolved(*({"name": f"m{i}", "replicas": n, "concurrency": c} for i, (n, c) in enumerate(asked)))
    instances, problems = allocation.allocate(some, hosts)
    if sum(n for n, _ in asked) > sum(cores for cores, _ in sizes):
        assert problems
        assert instances == []
        return
    assert len(instances) == sum(n for n, _ in asked)
    assert len({i["name"] for i in instances}) == len(instances)
    assert len({(i["host"], i["port"]) for i in instances}) == len(instances)
    for name, facts in hosts.items():
        here = [i for i in instances if i["host"] == name]
        cores = [core for i in here for core in derive.parse_cores(i["cpu"]["cores"])]
        assert len(cores) == len(set(cores))
        assert set(cores) <= set(range(facts["vcpus"]))
        assert all(i["cpu"]["cores"] for i in here)
        if name not in {problem.host for problem in problems}:
            assert allocation.needs(instances, some, name)["memory_mib"] <= facts["memory_mib"]


@given(st.integers(1, 64), st.integers(1, 64))
def test_cores_are_shared_evenly(cores: int, engines: int) -> None:
    if engines > cores:
        return
    shares = allocation.share_cores(list(range(cores)), engines)
    sizes = [len(share) for share in shares]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == (cores if cores == engines else cores - 1)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 12))
def test_no_gpu_is_given_twice(widths: list[int], count: int) -> None:
    some = resolved(*({"name": f"m{i}", "args": {"tensor-parallel-size": w}} for i, w in enumerate(widths)))
    assert [placement.width(model) for model in some] == widths
    gpus = [f"GPU-{number}" for number in range(count)]
    instances, problems = allocation.allocate(some, {"g": {**GPU_HOST, "gpus": gpus}})
    assert bool(problems) == (sum(widths) > count)
    given_away = [gpu for i in instances for gpu in i["gpus"]]
    assert len(given_away) == len(set(given_away))
    assert [len(i["gpus"]) for i in instances] == ([] if problems else widths)


@given(CPU_HOSTS, st.integers(1, 6))
def test_replicas_of_a_model_are_on_as_many_hosts_as_can_be(sizes: list[tuple[int, int]], replicas: int) -> None:
    hosts = {f"h{i}": {"vcpus": cores, "memory_mib": 200_000} for i, (cores, _) in enumerate(sizes)}
    instances, problems = allocation.allocate(resolved({"name": "m", "replicas": replicas}), hosts)
    if not problems:
        assert len({i["host"] for i in instances}) == min(replicas, len(hosts))
