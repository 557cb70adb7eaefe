#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask the engines that are installed on a host how they would start instances, and record what they answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_answers
short_description: Ask installed engines how they would start instances, and record their answers
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Runs the program with which a role asks its engine, and puts to it the C(questions) of
    M(llmfleet.serving.serving_plan_info). Nothing is started or stopped, and no memory of a GPU is used.
  - It never fails for what an engine answers, or because it cannot be asked; RV(refused) says what would not start.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Engines that are installed are asked. Nothing is recorded.}
  diff_mode: {support: none}
  idempotent: {support: full, details: What was answered before is not among the questions.}
options:
  questions:
    description: The C(questions) of this host.
    type: list
    elements: dict
    required: true
  instances:
    description: The instances of this host, as the plan returned them.
    type: list
    elements: dict
    required: true
  programs:
    description:
      - By engine, the C(command) that answers. An engine without one, or whose program is missing, is not asked.
    type: dict
    required: true
  args:
    description: By engine, flags of every instance of this host.
    type: dict
    default: {}
  env:
    description: By engine, environment variables of every instance of this host. They may contain secrets.
    type: dict
    default: {}
  paths:
    description:
      - Directories of models by their names. Other models are asked about if they are on the host with the config that
        the plan knows.
    type: dict
    default: {}
  cache_dir:
    description: The hub's cache on this host.
    type: path
    default: /var/lib/llmfleet/models/hub
  settings:
    description: Digest of O(args) and O(env). Answers hold only for hosts on which it is the same.
    type: str
    default: ""
  record:
    description: File of the answers, a fact of the host. Without it nothing is recorded.
    type: path
notes:
  - Run it as root, with C(no_log), as environment variables may contain secrets.
"""

EXAMPLES = r"""
- name: Ask vLLM about the instances that would start
  llmfleet.serving.engine_answers:
    questions: "{{ planned.questions | selectattr('host', 'equalto', inventory_hostname) }}"
    instances: "{{ planned.plan.instances | selectattr('host', 'equalto', inventory_hostname) }}"
    programs:
      vllm: {command: [/opt/llmfleet/venvs/vllm/bin/python, /opt/llmfleet/share/vllm/dry_start.py]}
    record: /etc/ansible/facts.d/llmfleet_answers.fact
  no_log: true
  register: answered
"""

RETURN = r"""
answers:
  description: >-
    The answers - the key of each question, C(accepted) (null where the engine could not tell), C(sentence),
    C(max_model_len), C(settings), and in bytes of the GPU that needs most C(weights), C(bytes_per_block),
    C(bytes_to_start) and the number of C(blocks) by length.
  returned: always
  type: list
  elements: dict
refused:
  description: What would not start and why, with host, model, instance, release and remedy; empty if all would.
  returned: always
  type: str
"""

import json
import os
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import files as checkpoint_files
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import layouts, sources
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import ConfigError, digest_of
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.folder import Folder
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host import files, programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import answers as plan_answers
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import render
from ansible_collections.llmfleet.serving.plugins.module_utils.text import redact

# Seconds for the imports of an engine, which take the longest from a cold disk, and for each question.
SECONDS_TO_IMPORT = 300.0
SECONDS_TO_ANSWER = 60.0
# A shorter value occurs everywhere.
SHORTEST_SECRET = 6


def folder_of(given: dict[str, Any], instance: dict[str, Any], config: str | None) -> str:
    """Return the directory of an instance's model; empty where it is not here with the config that the plan knows."""
    told = given["paths"].get(instance["model"])
    if told:
        return str(told)
    source = sources.parse(instance["source"])
    directory = source.directory
    if not directory and not source.demo:
        cache = os.path.join(given["cache_dir"], source.cache_folder)
        revision = checkpoint_files.check_revision(instance.get("revision") or "main")
        noted = files.read_text(checkpoint_files.reference(cache, revision), 100)
        directory = (checkpoint_files.snapshot(cache, revision, noted or None) or ("", ""))[1]
    if not directory or not os.path.isdir(directory):
        return ""
    return directory if digest_of(layouts.read(Folder(directory)).config) == config else ""


def ask(command: list[str], questions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what a program answers, by the name of the instance."""
    given = "".join(json.dumps(question) + "\n" for question in questions)
    printed, ending = programs.run_program(command, SECONDS_TO_IMPORT + SECONDS_TO_ANSWER * len(questions), given)
    found = {}
    for text in printed.splitlines():
        if text.startswith("{"):
            said = json.loads(text)
            found[str(said.get("id"))] = said
    last = (printed.strip().splitlines() or [""])[-1]
    silent = {"accepted": None, "error": f"{' '.join(command)} {ending or 'gave no answer'}: {last}"[:500]}
    return {question["id"]: found.get(question["id"], silent) for question in questions}


def answer(given: dict[str, Any], engine: Any, open_questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what an engine answers to its questions, each with its key."""
    program = given["programs"].get(engine.name) or {}
    command = [str(word) for word in program.get("command") or []]
    if not command or not all(os.path.exists(word) for word in command):
        return []
    instances = {one["name"]: one for one in given["instances"]}
    args, env = (given[name].get(engine.name) or {} for name in ("args", "env"))
    questions = []
    for question in open_questions:
        instance = instances[question["name"]]
        try:
            folder = folder_of(given, instance, question["key"]["config"])
        except (ConfigError, SourceError):
            continue
        if folder:
            questions.append({"id": instance["name"], "model": folder, **engine.question(instance, args, env)})
    said = ask(command, questions) if questions else {}
    keys = {question["name"]: question["key"] for question in open_questions}
    found = []
    for question in questions:
        name = question["id"]
        told = engine.answer(said[name], question)
        secrets = [str(value) for value in question["environment"].values() if len(str(value)) >= SHORTEST_SECRET]
        told["sentence"] = redact(told["sentence"], secrets)
        # An engine that could not tell may not have told its release either.
        release = told["release"] or keys[name]["release"]
        length = instances[name].get("max_model_len")
        whole = {**keys[name], **told, "release": release, "max_model_len": length, "settings": given["settings"]}
        found.append({**whole, "asked_on": given["host"], "instance": name})
    return found


def refused(instances: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """Return what would not start, as one text; empty if everything would."""
    by_name = {one["name"]: one for one in instances}
    problems = []
    for one in found:
        if one["accepted"] is None:
            continue
        instance = by_name[one["instance"]]
        said = {"engine": plan_asked.speaker(one), **plan_asked.judged(instance, one)}
        if not said["accepted"]:
            # What a host keeps of its instances does not repeat its name.
            problems.append(plan_asked.refusal({**instance, "host": one["asked_on"]}, said))
    return render(problems)


def recorded(module: AnsibleModule, found: list[dict[str, Any]]) -> bool:
    """Write answers and how they were got to the file; return whether it changed."""
    path = module.params["record"]
    earlier = files.read_json(path) or {}
    answers = plan_answers.merged(found, earlier.get("answers") or [])
    known = {"answers": answers, "programs": {**(earlier.get("programs") or {}), **module.params["programs"]}}
    if known == earlier or all(one["accepted"] is None for one in found):
        return False
    if not module.check_mode:
        with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, encoding="utf-8", delete=False) as handle:
            handle.write(json.dumps(known, indent=4) + "\n")
        module.atomic_move(handle.name, path)
        module.set_mode_if_different(path, 0o600, False)
    return True


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {
        "host": OPTION,
        "questions": {"type": "list", "elements": "dict", "required": True},
        "instances": {"type": "list", "elements": "dict", "required": True},
        "programs": {"type": "dict", "required": True},
        "args": {"type": "dict", "default": {}},
        "env": {"type": "dict", "default": {}},
        "paths": {"type": "dict", "default": {}},
        "cache_dir": {"type": "path", "default": "/var/lib/llmfleet/models/hub"},
        "settings": {"type": "str", "default": ""},
        "record": {"type": "path"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = {**module.params, "host": host_name(module.params)}
    found = []
    for name in sorted({question["engine"] for question in given["questions"]}):
        own = [question for question in given["questions"] if question["engine"] == name]
        found += answer(given, registry.of({"engine": name}), own)
    changed = bool(given["record"]) and recorded(module, found)
    module.exit_json(changed=changed, answers=found, refused=refused(given["instances"], found))


if __name__ == "__main__":
    main()
