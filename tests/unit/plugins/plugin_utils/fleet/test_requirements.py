# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import requirements

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"


def host(memory_mib: int = 64000) -> dict[str, Any]:
    return {"address": "10.0.0.1", "device": "cpu", "cpu": {"cores": "", "vcpus": 8, "memory_mib": memory_mib}}


def planned(*raw: dict[str, Any], **hosts: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    some = models.resolve([{"source": "demo:", **model} for model in raw])
    return serving_plan.plan(some, hosts or {"h": host()})["instances"], some


def test_memory_that_a_host_must_have() -> None:
    raw = (
        {"name": "a", "weights_gib": 1, "source": "hf://o/m", "replicas": 2},
        {"name": "b", "args": {"kv-cache-memory-bytes": 512 * 2**20}},
    )
    instances, some = planned(*raw, h=host(14000))
    space = instances[0]["cpu"]["kv_cache_space_gib"]
    assert requirements.memory_mib(instances, some, "h") == 2048 + 3 * 1664 + 2 * 1024 + 2 * space * 1024 + 512
    assert requirements.memory_mib(instances, some, "elsewhere") == 0


def test_a_gpu_engine_needs_little_memory_of_its_host() -> None:
    instances, some = planned({"name": "a", "weights_gib": 1, "source": "hf://o/m"})
    on_gpu = [{**instance, "device": "cuda"} for instance in instances]
    assert requirements.memory_mib(on_gpu, some, "h") == 2048 + 1664


@pytest.mark.parametrize(
    ("revision", "snapshot"),
    [({}, "*"), ({"revision": "main"}, "*"), ({"revision": COMMIT}, COMMIT)],
)
def test_each_model_is_looked_for_in_its_own_folder(revision: dict[str, str], snapshot: str) -> None:
    raw = [
        {"name": "first", "weights_gib": 1, "source": "hf://o/first", "replicas": 2},
        {"name": "second", "weights_gib": 2, "source": "hf://o/second", **revision},
        {"name": "demo"},
        {"name": "staged", "weights_gib": 3, "source": "path:/srv/staged"},
    ]
    instances, some = planned(*raw)
    found = {entry["purpose"]: entry for entry in requirements.downloads(instances, some, "h", "/models")}
    assert {purpose: entry["needed_mib"] for purpose, entry in found.items()} == {
        "the weights of first": 1024,
        "the weights of second": 2048,
    }
    assert found["the weights of second"]["creates"] == f"/models/hub/models--o--second/snapshots/{snapshot}"
    assert not requirements.downloads(instances, some, "elsewhere", "/models")
