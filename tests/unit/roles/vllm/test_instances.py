# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role takes every instance that a plan makes, with all of its keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory as fleet_memory
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import wiring

SPEC = Path(__file__).resolve().parents[4] / "roles" / "vllm" / "meta" / "argument_specs.yml"
GPU = {
    "uuid": "GPU-0",
    "index": 0,
    "product_name": "NVIDIA L4",
    "compute_capability": "8.9",
    "memory_total_mib": 23034,
    "health": "ok",
}
HOSTS = {
    "cpu": {"device": "cpu", "address": "127.0.0.1", "cpu": {"vcpus": 2, "memory_mib": 16000}},
    "cuda": {"device": "cuda", "address": "127.0.0.1", "gpu_facts": {"gpus": [GPU]}},
}


@pytest.mark.parametrize("host", HOSTS)
def test_the_spec_knows_every_key(host: str) -> None:
    known = yaml.safe_load(SPEC.read_text())["argument_specs"]["main"]["options"]["vllm_instances"]["options"]
    wanted = fleet_memory.with_facts(models.resolve([{"name": "chat", "source": "demo:"}]), {}, {})
    plan = serving_plan.plan(wanted, {host: HOSTS[host]})
    (instance,) = wiring.instances_on(plan["instances"], host)
    assert sorted(set(instance) - set(known)) == []
