# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import config as checkpoint_config
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan

GIB = 1024**3
LLAMA = {
    **checkpoint_config.describe(
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "torch_dtype": "bfloat16",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "vocab_size": 128256,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 16384,
        }
    ),
    "weight_bytes": 16060522496,
}


def gpu(index: int, memory_total_mib: int, **more: Any) -> dict[str, Any]:
    more = {"product_name": "NVIDIA L4", "compute_capability": "8.9", **more}
    return {"uuid": f"GPU-{index}", "index": index, "memory_total_mib": memory_total_mib, **more}


HOSTS = {
    "gpu1": {
        "device": "cuda",
        "address": "10.0.0.5",
        "gpu_facts": {
            "gpus": [
                gpu(0, 23034, memory_reserved_mib=0),
                gpu(1, 23034, memory_reserved_mib=0),
                gpu(2, 23034, health="lost"),
                gpu(3, 7680, product_name="Tesla P4", compute_capability="6.1"),
            ]
        },
    },
    "gpu2": {"device": "cuda", "address": "10.0.0.6", "gpu_facts": {"gpus": []}},
}
CPU_HOST = {"device": "cpu", "address": "127.0.0.1", "cpu": {"cores": "", "vcpus": 4, "memory_mib": 16000}}


def plan(*raw: dict[str, Any], hosts: Any = HOSTS, current: Any = None) -> dict[str, Any]:
    some = [{**model, "facts": LLAMA} for model in models.resolve([{"source": "hf://o/m", **one} for one in raw])]
    return serving_plan.plan(some, hosts, current)


def instance(name: str = "a-0", **more: Any) -> dict[str, Any]:
    return {"name": name, "host": "h", "port": 8100, "gpus": ["GPU-0"], "args": {}, **more}


def actions(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(change["action"], change["name"], change["why"]) for change in plan_report.changes(new, old)]


# --- changes


def test_every_instance_starts_restarts_stops_or_stays() -> None:
    old = [instance("gone-0"), instance("stays-0"), instance("grows-0", max_model_len=1024), instance("moves-0")]
    new = [
        instance("stays-0"),
        instance("grows-0", max_model_len=2048),
        instance("moves-0", host="other"),
        instance("new-0"),
    ]
    assert actions(new, old) == [
        ("=", "stays-0", ""),
        ("~", "grows-0", "it is started with other values"),
        ("~", "moves-0", "it moves"),
        ("+", "new-0", "it is asked for and does not run"),
        ("-", "gone-0", "nothing asks for it any more"),
    ]
    assert [set(change) for change in plan_report.changes(new, old)] == [{"action", "name", "host", "what", "why"}] * 5
    assert actions([], []) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ({"max_model_len": 1024}, {"max_model_len": None}, ["max_model_len: 1024 -> missing"]),
        ({"gpus": ["GPU-0"]}, {"gpus": ["GPU-1"]}, ['gpus: ["GPU-0"] -> ["GPU-1"]']),
        ({}, {"args": {"a": True}}, ['args: {} -> {"a": true}']),
        (
            {"dtype": "float16", "max_num_seqs": 8},
            {"dtype": "bfloat16", "max_num_seqs": 9},
            ['dtype: "float16" -> "bfloat16"', "max_num_seqs: 8 -> 9"],
        ),
        # Of variables the names alone are told.
        (
            {"env": {"A": "1", "B": "2"}},
            {"env": {"A": "x", "C": "2"}},
            ["variable A has another value", "variable B is gone", "variable C is new"],
        ),
        # What an older plan did not know, and what no engine is started with.
        ({}, {"aliases": [], "kv_cache_dtype": None, "env": {}}, []),
        ({"aliases": ["a"]}, {"aliases": ["a", "b"]}, []),
        ({"kv_cache_tokens": 1, "reasons": ["x"], "memory": {}}, {"kv_cache_tokens": 2, "start_after": "b-0"}, []),
    ],
)
def test_what_changes_is_told_value_by_value(old: dict[str, Any], new: dict[str, Any], what: list[str]) -> None:
    (change,) = plan_report.changes([instance(**new)], [instance(**old)])
    assert (change["action"], change["what"]) == ("~" if what else "=", what)


def test_a_plan_in_force_changes_nothing() -> None:
    asked = {"name": "chat", "replicas": 2}
    before = plan(asked)["instances"]
    # It comes back as the JSON that a host kept.
    before = json.loads(json.dumps(before))
    after = plan(asked, current=before)
    assert {action for action, _name, _why in actions(after["instances"], before)} == {"="}
    assert "No instance would start, restart or stop." in plan_report.render(after, before)


# --- tables


@pytest.mark.parametrize(("count", "text"), [(None, "-"), (0, "0.0"), (GIB, "1.0"), (str(GIB * 3 // 2), "1.5")])
def test_bytes_for_people(count: Any, text: str) -> None:
    assert plan_report.gib(count) == text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert plan_report.table([["A", "BB", "C"], ["aaa", "b", ""]]) == "A    BB  C\naaa  b"
    assert plan_report.table([]) == ""


def planned_on_gpus() -> dict[str, Any]:
    """A plan with something of everything that can be told, in numbers that no estimate moves."""
    memory = {"weights": 15 * GIB, "kv_cache": 4 * GIB, "headroom": 13 * GIB // 10}
    small = {"device": "cuda", "gpus": ["GPU-0"], "gpu_indices": [0], "memory": memory, "args": {}}
    wide = {**small, "gpus": ["GPU-4", "GPU-5"], "gpu_indices": [4, 5]}
    full = {"max_model_len": 8192, "max_concurrency": 4.0}
    return {
        "instances": [
            {**small, **full, "name": "chat-0", "host": "gpu1", "max_num_seqs": 4, "reasons": ["overheads estimated"]},
            {
                **wide,
                **full,
                "name": "wide-0",
                "host": "gpu12",
                "max_num_seqs": 256,
                "reasons": ["2 GPUs, as fewer do not hold it", "overheads measured on gpu1"],
            },
            {
                **small,
                "name": "embed-0",
                "host": "gpu12",
                "memory": {**memory, "kv_cache": 0},
                "reasons": ["as before"],
            },
        ],
        "unplaced": [{"model": "huge", "replica": 1, "reason": "it needs 80.0 GiB", "remedy": "add a GPU"}],
        "hosts": {
            "gpu1": {"gpus": [{"index": 0, "product_name": "L4", "instances": ["chat-0"]}], "unusable": []},
            "gpu12": {
                "gpus": [{"index": 3, "product_name": "L40S", "instances": []}],
                "unusable": ["GPU 6 (L40S) is lost: reset it or reboot"],
            },
        },
    }


def test_a_plan_of_gpus_in_full() -> None:
    planned = planned_on_gpus()
    chat, _wide, embed = planned["instances"]
    current = [{**chat, "max_model_len": 4096}, embed, instance("old-0", host="gpu1")]
    assert plan_report.render(planned, current) == GOLDEN


GOLDEN = """\
HOST   DEVICE   INSTANCE  WEIGHTS  KV CACHE  HEADROOM  CONTEXT  AT FULL LENGTH  SEQUENCES
gpu1   GPU 0    chat-0    15.0     4.0       1.3       8192     4.0             4
gpu12  GPU 4,5  wide-0    15.0     4.0       1.3       8192     4.0             256
gpu12  GPU 0    embed-0   15.0     0.0       1.3       auto     -               -

gpu12: GPU 3 (L40S) is free
gpu12: GPU 6 (L40S) is lost: reset it or reboot

~ chat-0 on gpu1: it is started with other values
    max_model_len: 4096 -> 8192
    overheads estimated
+ wide-0 on gpu12: it is asked for and does not run
    2 GPUs, as fewer do not hold it
    overheads measured on gpu1
- old-0 on gpu1: nothing asks for it any more

! huge-1: it needs 80.0 GiB; add a GPU"""


def test_a_real_plan_tells_of_every_replica() -> None:
    text = plan_report.render(plan({"name": "chat", "replicas": 4, "context": 8192}), [])
    assert "gpu1  GPU 0   chat-0 " in text
    assert "gpu1  GPU 1   chat-1 " in text
    assert "gpu1: GPU 2 (NVIDIA L4) is lost" in text
    assert "gpu1: GPU 3 (Tesla P4) has compute capability 6.1" in text
    assert [line.partition(":")[0] for line in text.splitlines() if line.startswith(("+", "!"))] == [
        "+ chat-0 on gpu1",
        "+ chat-1 on gpu1",
        "! chat-2",
        "! chat-3",
    ]


def test_a_plan_of_processors_in_full() -> None:
    some = models.resolve([{"name": "chat", "source": "demo:", "context": 512}, {"name": "auto", "source": "demo:"}])
    planned = serving_plan.plan([{**model, "facts": None} for model in some], {"here": CPU_HOST})
    assert plan_report.render(planned, []) == (
        "HOST  DEVICE     INSTANCE  WEIGHTS  KV CACHE  HEADROOM  CONTEXT  AT FULL LENGTH  SEQUENCES\n"
        "here  cores 0-1  chat-0    -        1.0       -         512      -               8\n"
        "here  cores 2    auto-0    -        1.0       -         auto     -               4\n"
        "\n"
        "+ chat-0 on here: it is asked for and does not run\n"
        "+ auto-0 on here: it is asked for and does not run"
    )


def test_nothing_at_all() -> None:
    empty = serving_plan.plan([], {"here": CPU_HOST})
    assert plan_report.render(empty, []) == "nothing is planned\n\nNo instance would start, restart or stop."


def test_gpus_without_numbers_are_counted() -> None:
    """As an instance of a host that was last seen by an older plan may be."""
    planned = plan({"name": "chat"})
    old = [{key: value for key, value in one.items() if key != "gpu_indices"} for one in planned["instances"]]
    assert " 1 GPUs " in plan_report.render({**planned, "instances": old}, [])
