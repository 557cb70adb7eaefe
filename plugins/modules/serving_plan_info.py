#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan which instance of which model runs where, with how much memory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: serving_plan_info
short_description: Plan which instance of which model runs where, with how much memory
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Chooses GPUs, parallelism, context length, batch and memory of every vLLM instance from facts about hosts and
    models.
  - It satisfies context, concurrency and replicas, then uses the fewest GPUs, then gives the longest context.
  - Running instances keep their place and sizes unless their request changed. The same input always gives the same
    plan.
  - It only computes and changes nothing. Run it on the control node.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  hosts:
    description:
      - Inference hosts by name, in the order of the inventory. Of each C(device) (C(cuda) or C(cpu)), C(address),
        C(listen), C(gpus) (uuids that engines may use; empty means all), C(gpu_facts) as
        M(llmfleet.serving.gpu_facts) returns them, C(cpu) with C(cores) (such as C(0-3,8)), C(vcpus) and
        C(memory_mib), C(own_pids), the processes of the collection, and C(launch), what engines are started with there
        (C(llm_engine_launch)).
      - A host with GPUs but without C(gpu_facts) keeps its current instances. So does a held one (C(hold) with C(who),
        C(since) and C(why)), whose instances do not count as serving.
    type: dict
    required: true
  models:
    description:
      - Models as P(llmfleet.serving.resolve_models#filter) returns them, each with C(facts) as
        M(llmfleet.serving.model_info) returns them.
      - A model without facts can only be planned for CPU hosts.
    type: list
    elements: dict
    required: true
  current:
    description: Instances in force, as an earlier plan returned them.
    type: list
    elements: dict
    default: []
  overheads:
    description: Measured memory, used instead of estimates wherever model, GPU and flags are the same. Sizes in bytes.
    type: list
    elements: dict
    default: []
  answers:
    description:
      - What engines answered that were asked how they would start (M(llmfleet.serving.engine_answers)), those that
        count more first. A refused combination is not chosen, and figures of an engine replace computed ones.
    type: list
    elements: dict
    default: []
  releases:
    description:
      - Release of each engine by its name. Answers of another release do not count. Without it nobody is to be asked.
    type: dict
    default: {}
  gateways: {description: Gateway hosts to their number of cores., type: dict, default: {}}
  first_port: {description: Lowest port of engines., type: int, default: 8100}
  resumed:
    description:
      - Models that are planned as asked for although they are held; V(all) for every model. The instances of a held
        model (C(held) of O(hosts)) stay as they are.
    type: list
    elements: str
    default: []
  replan:
    description:
      - Models whose running instances get new numbers although their request is the same, for example because
        measurements have come in; V(all) for every model. They stay on their GPUs as long as they fit there.
    type: list
    elements: str
    default: []
  downtime:
    description:
      - Models that may have fewer instances in service than their C(min_in_service) during this change; V(all) for
        every model.
    type: list
    elements: str
    default: []
  serial:
    description: Hosts that are changed at a time - a number, a share such as V(25%), or a list of both, step by step.
    type: raw
    default: 1
  reached:
    description: Hosts of this run. Instances of others are not changed. Without it, it is all hosts.
    type: list
    elements: str
  engines:
    description: C(llm_engines); engines from outside the collection have a C(file) that describes them.
    type: dict
    default: {}
seealso:
  - module: llmfleet.serving.gpu_facts
  - module: llmfleet.serving.model_info
"""

EXAMPLES = r"""
- name: Plan
  llmfleet.serving.serving_plan_info:
    hosts:
      gpu1:
        device: cuda
        address: 10.0.0.5
        gpu_facts: "{{ hostvars['gpu1'].ansible_facts.gpu_facts }}"
    models:
      - name: chat
        source: hf://Qwen/Qwen3-8B
        concurrency: 32
        context: 16384
        facts: "{{ chat_facts.model_info }}"
  delegate_to: localhost
  run_once: true
  register: planned
"""

RETURN = r"""
plan:
  description: The planned instances, the replicas without a place, and the GPUs with their free memory.
  returned: always
  type: dict
  contains:
    instances:
      description: >-
        Every instance: C(name), C(model), C(replica), C(host), C(address), C(port), C(gpus) (uuids), C(cpu), C(engine)
        and its C(interface), the values of its flags
        (C(tensor_parallel_size), C(gpu_memory_utilization), C(kv_cache_memory_bytes), C(max_model_len),
        C(max_num_seqs), ...), C(memory) (bytes of each GPU: C(total), C(weights), C(activation), C(cuda_graphs),
        C(other), C(foreign), C(kv_cache), C(headroom)), C(kv_cache_blocks), C(kv_cache_tokens), C(max_concurrency) at
        full length, C(start_after) and C(reasons).
      type: list
      elements: dict
    models:
      description: "Requested (C(asked)) and planned (C(given)) replicas, context and concurrency, by name of the
        model."
      type: dict
    unplaced:
      description: Replicas without a place, each with C(model), C(replica), C(reason) and C(remedy).
      type: list
      elements: dict
    hosts:
      description: "GPUs by host: C(uuid), C(product_name), and bytes C(total), C(foreign), C(planned), C(headroom)."
      type: dict
    answers:
      description: >-
        By name of the instance, whether its engine starts it - C(engine) with its release, C(accepted) (null where
        nobody was asked), C(sentence), C(differences), C(asked_on), and C(shipped) if the shipped table answered.
        Without O(releases) it is empty.
      type: dict
    problems:
      description: >-
        Problems that keep the fleet from being served, or a model from keeping C(min_in_service) instances in service.
      type: list
      elements: dict
    steps:
      description: >-
        What is done in which order - C(number), C(kind) (C(start), C(replace), C(traffic) when gateways learn what was
        started, C(stop)), C(instances) with C(name) and C(host), C(hosts), C(in_service) of each model (C(before),
        C(during), C(after) and the C(floor)), C(traffic), the instances that gateways send to afterwards, and C(why).
      type: list
      elements: dict
    held:
      description: By name, the instances of held models - C(host), C(model), C(who), C(since) and C(why).
      type: dict
    held_hosts:
      description: By name, the hosts that are held - C(who), C(since) and C(why). Their instances stay as they are.
      type: dict
    ending:
      description: Instances that end last, when gateways know all others, each with C(name) and C(host).
      type: list
      elements: dict
    unreached:
      description: Hosts whose instances this run does not change, because O(reached) does not name them.
      type: list
      elements: str
questions:
  description: >-
    What to ask M(llmfleet.serving.engine_answers) before instances start - C(name) of the instance, C(host), C(engine)
    and C(key), by which the answer is found again.
  returned: always
  type: list
  elements: dict
changes:
  description: >-
    What happens to every instance: C(action) (C(+) starts, C(~) restarts, C(-) stops, C(=) stays), C(name), C(host),
    C(what) values change, and C(why). What restarts has another package, key, flag, variable or unit, as far as it is
    recorded what it was started with. Of environment variables only the names are told.
  returned: always
  type: list
  elements: dict
text:
  description: Plan and changes as tables.
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import beside as plan_beside
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import holds, serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import report as plan_report
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "hosts": {"type": "dict", "required": True},
        "models": {"type": "list", "elements": "dict", "required": True},
        "current": {"type": "list", "elements": "dict", "default": []},
        "overheads": {"type": "list", "elements": "dict", "default": []},
        "answers": {"type": "list", "elements": "dict", "default": []},
        "releases": {"type": "dict", "default": {}},
        "gateways": {"type": "dict", "default": {}},
        "first_port": {"type": "int", "default": 8100},
        "replan": {"type": "list", "elements": "str", "default": []},
        "resumed": {"type": "list", "elements": "str", "default": []},
        "downtime": {"type": "list", "elements": "str", "default": []},
        "serial": {"type": "raw", "default": 1},
        "reached": {"type": "list", "elements": "str"},
        "engines": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    try:
        registry.load(given["engines"])
        models = [inventory_models.complete(model) for model in given["models"]]
        names = ("hosts", "current", "overheads", "gateways", "first_port", "replan")
        answers = Answers(given["answers"], given["releases"])
        held = holds.held(given["hosts"], given["resumed"])
        facts = {**{name: given[name] for name in names}, "answers": answers, "held": list(held)}
        options = {name: given[name] for name in ("downtime", "serial", "reached")}
        plan, changes, order = plan_beside.find(
            lambda beside: serving_plan.plan(models, **facts, beside=beside),
            models,
            given["hosts"],
            given["current"],
            **options,
        )
    except ProblemsError as error:
        module.fail_json(msg=str(error))
    said = plan_asked.verdicts(models, plan["instances"], changes, answers) if given["releases"] else {}
    plan.update({name: order[name] for name in ("steps", "ending", "unreached")})
    plan["held"] = held
    plan["held_hosts"] = holds.hosts_held(given["hosts"])
    plan["problems"] += order["blocked"]
    questions = plan_asked.questions(plan["instances"], said)
    plan["problems"] += [one._asdict() for one in plan_asked.problems(plan["instances"], changes, said)]
    plan["answers"] = {name: {key: one[key] for key in plan_asked.TOLD} for name, one in said.items()}
    text = plan_report.render(plan, given["current"], given["overheads"])
    module.exit_json(changed=False, plan=plan, changes=changes, questions=questions, text=text)


if __name__ == "__main__":
    main()
