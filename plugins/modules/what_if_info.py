#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action in plugins/action/what_if_info.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: what_if_info
short_description: Answer which cards serve a model, and what a change of a fleet would change
version_added: 0.1.0
description:
  - Plans a model on cards that nobody has yet, with the same planner as M(llmfleet.serving.serving_plan_info).
  - With O(cards) it tells whether the model fits there, how, with which context and concurrency, or why not. Without,
    it tells which cards of the shipped table serve it.
  - With C(add_hosts), C(remove_hosts) or C(change_model) in O(values) it plans a fleet from the facts in O(fleet_file)
    twice, before and after the change.
  - It runs on the control node, contacts no host and changes nothing. Models that are shipped with the collection, and
    those of a folder, need no network.
options:
  cards:
    description:
      - Cards, for example V(8 x H200), V(2 x L40S + 1 x H100) or V(2 x (8 x H100\)). What is in parentheses is one
        machine.
      - Empty asks which cards serve the model.
    type: str
    default: ""
  model:
    description:
      - V(hf://organisation/name), the folder of a model, its C(config.json), or the name of one of O(models).
      - Shipped models also go by V(organisation/name).
    type: str
    default: ""
  values:
    description:
      - What else is asked, as the variables of C(playbooks/what_if.yml).
      - C(users), C(context), C(replicas), C(weights_gib), C(kv_cache_dtype), C(quantization), C(dtype), C(settings)
        (further keys of a model in C(llm_models)), C(tokens_per_second), C(cost_per_hour), C(add_hosts),
        C(remove_hosts) and C(change_model). Empty ones ask for nothing.
    type: dict
    default: {}
  explain:
    description: Whether to return the arithmetic too.
    type: bool
    default: false
  models:
    description: C(llm_models) of the fleet.
    type: raw
  catalog:
    description: The shipped catalogue.
    type: raw
  catalog_extra:
    description: The user's own entries of the catalogue.
    type: raw
  model_defaults:
    description: Values that every model starts from.
    type: raw
  engines:
    description: Engines from outside the collection.
    type: raw
  fleet_file:
    description: File with the facts of hosts and models from earlier runs.
    type: str
    default: ""
  inference:
    description: Names of the inference hosts, in the order of the inventory.
    type: list
    elements: str
    default: []
  gateways:
    description: Names of the gateway hosts.
    type: list
    elements: str
    default: []
  first_port:
    description: Lowest port of engines.
    type: int
    default: 8100
  releases:
    description:
      - C(llm_releases) of the fleet, with the C(version) of each application. Those of the collection count where it
        names none.
    type: dict
    default: {}
  answers:
    description:
      - Whether what engines answered counts, that is what the shipped table has of the release, and for a change of a
        fleet what its hosts were told. Without it, arithmetic alone decides.
    type: bool
    default: true
  endpoint:
    description: Base URL of the hub that models are read from which are not shipped.
    type: str
    default: https://huggingface.co
  token:
    description: Token of an account of that hub.
    type: str
    default: ""
extends_documentation_fragment: llmfleet.serving.attributes.reads
author:
  - llmfleet contributors (@llmfleet)
seealso:
  - module: llmfleet.serving.serving_plan_info
  - module: llmfleet.serving.model_info
"""

EXAMPLES = r"""
- name: Ask whether a model fits on eight cards
  llmfleet.serving.what_if_info:
    cards: 8 x H200
    model: hf://Qwen/Qwen3-32B
    values: {users: 32}
  register: what_if

- name: Ask which cards serve it
  llmfleet.serving.what_if_info:
    model: hf://Qwen/Qwen3-32B
    values: {users: 32, context: 16384}
"""

RETURN = r"""
answer:
  description:
    - With O(cards), C(fits) and how it is served (C(replicas), C(cards_per_replica), C(tensor_parallel_size),
      C(pipeline_parallel_size), C(context), C(concurrency) at full length, ...), or C(reason), C(remedy)
      and C(fewer_users), how it is served to as many users as fit;
      C(all_cards), the same with as many replicas as the cards hold; C(cost); C(arithmetic) where O(explain=true);
      C(engine), what is known of how the engine starts it; and C(plan).
    - Without O(cards), C(choices) and C(others), with C(card), C(cards) (how many) and C(memory_gib).
    - For a change of a fleet, C(models) (C(before) and C(after)), C(changes), C(unplaced), and both plans.
  returned: always
  type: dict
text:
  description: The answer as tables.
  returned: always
  type: str
"""
