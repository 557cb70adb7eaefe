#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check whether a host meets the inventory's requirements."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_requirements_info
short_description: Check whether a host meets the inventory's requirements
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Measures values that the inventory does not contain - listening ports and their owners, free space, memory, shared
    memory, usable cores, versions of Python, models in local directories - and fails with B(all) problems in one
    message, including those that P(llmfleet.serving.inventory_problems#filter) found.
  - Processes of the collection on this host never count as a problem, so that a serving host passes again. This
    includes processes whose main process was killed, because they still run as one of its users.
  - Run it as root, otherwise the owners of ports are unknown.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  host: {description: Name of this host in the inventory., type: str, required: true}
  problems:
    description:
      - Problems found before, as P(llmfleet.serving.inventory_problems#filter) returns them.
      - Problems of other hosts are left out.
    type: list
    elements: dict
    default: []
  distribution: {description: "The host's C(ansible_facts['distribution']); not checked without.", type: str}
  distribution_version: {description: "The host's C(ansible_facts['distribution_version']).", type: str, default: ''}
  listeners:
    description: All listeners of this host.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: "The variable that sets the port, or what listens.", type: str, required: true}
      address: {description: Where; empty means everywhere., type: str, default: ''}
      port: {description: TCP port., type: int, required: true}
  disk:
    description: Required disk space. Entries on one file system add up.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Directory; it need not exist yet., type: path, required: true}
      needed_mib: {description: MiB that are needed., type: int, required: true}
      purpose: {description: Purpose of the space., type: str, required: true}
      creates:
        description: The space is not needed if something matches this path, which may hold C(*).
        type: path
  memory_mib: {description: MiB of memory that are needed; 0 means that it is not checked., type: int, default: 0}
  instances:
    description: The C(llm_instances_here) of the host; vLLM's need 160 MiB of shared memory each.
    type: list
    elements: dict
    default: []
  containers: {description: Whether each has shared memory of its own in a container., type: bool, default: false}
  python:
    description:
      - The Python of the host, and the one that uv may bring. It is measured where one of O(pythons) has versions.
    type: dict
    suboptions:
      path: {description: "The interpreter, C(service_python).", type: path, default: /usr/bin/python3}
      release: {description: "Exact version that uv brings where the interpreter does not fit.", type: str, default: ''}
      root: {description: Directory of what uv brought., type: path, default: /opt/llmfleet/python}
      downloads: {description: Whether uv may bring one., type: bool, default: true}
  pythons:
    description: Programs that get a Python environment.
    type: list
    elements: dict
    default: []
    suboptions:
      program: {description: Program that runs on it., type: str, required: true}
      versions:
        description: "Versions that the program's lock is for, such as V(3.12); without any it has no environment here."
        type: list
        elements: str
        default: []
  roots:
    description: Directories of the collection; processes started from them are its own.
    type: list
    elements: path
    default: [/opt/llmfleet, /etc/llmfleet, /var/lib/llmfleet]
  prefix: {description: Prefix of the names of its units and users., type: str, default: llm-}
notes:
  - It changes nothing and can run at any time.
"""

EXAMPLES = r"""
- name: Check the inventory against the machine
  llmfleet.serving.host_requirements_info:
    host: "{{ inventory_hostname }}"
    problems: "{{ llm_models | llmfleet.serving.inventory_problems }}"
    distribution: "{{ ansible_facts['distribution'] }}"
    distribution_version: "{{ ansible_facts['distribution_version'] }}"
    listeners:
      - {name: litellm_port, address: 127.0.0.1, port: 4000}
    disk:
      - {path: /opt/llmfleet, needed_mib: 4000, purpose: vLLM, creates: /opt/llmfleet/venvs/vllm-*}
    memory_mib: 6144
    instances: "{{ llm_instances_here }}"
  become: true
"""

RETURN = r"""
problems:
  description: Every problem found; the module fails if there is one.
  returned: always
  type: list
  elements: dict
  sample:
    - host: gpu1
      variable: litellm_port
      value: 127.0.0.1:4000
      problem: in use by python3 (pid 4711) of user www-data, which this collection did not start
      remedy: stop it or choose another port
memory_mib:
  description:
    - What the host has (C(total)), what could be taken now (C(available)), and what the collection's processes hold
      (C(ours)).
  returned: always
  type: dict
  sample: {total: 64211, available: 20480, ours: 30100}
pythons:
  description:
    - Programs with a Python environment, the C(version) of the host's Python, and in C(brought) the release that uv is
      to bring instead.
  returned: always
  type: list
  elements: dict
  sample: [{program: Open WebUI, versions: ['3.11', '3.12'], version: 3.13.5, brought: 3.11.18}]
pids:
  description: The collection's own processes.
  returned: always
  type: list
  elements: int
  sample: [812, 4711]
"""

import glob
import os
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.host import processes as host_processes
from ansible_collections.llmfleet.serving.plugins.module_utils.host import python_choice
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json, read_text
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import host_requirements
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.check import distribution_problems
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, render

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - nothing is written there # nosec B108
# Root of the cgroup tree as this machine or container sees it: version 2, then 1.
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def read_memory(ours: set[int]) -> dict[str, int]:
    """Return the MiB of memory this machine or container has, that are available, and that our processes hold."""
    table = dict(re.findall(r"^(\w+):\s+(\d+) kB", host_processes.read_proc("meminfo"), re.MULTILINE))
    total, available = int(table.get("MemTotal", 0)) // 1024, int(table.get("MemAvailable", 0)) // 1024
    limits = [read_text(path).strip() for path in MEMORY_LIMITS]
    total = min([total, *(int(limit) // 1024**2 for limit in limits if limit.isdigit())])
    pages = sum(int((host_processes.read_proc(f"{pid}/statm").split() or ["0", "0"])[1]) for pid in ours)
    return {"total": total, "available": min(available, total), "ours": pages * os.sysconf("SC_PAGE_SIZE") // 1024**2}


def read_shared_memory(prefix: str) -> int:
    """Return the MiB of shared memory that are free, or are held by one of our users and are freed with its process."""
    try:
        space = os.statvfs(SHARED_MEMORY)
        with os.scandir(SHARED_MEMORY) as entries:
            files = [entry.stat(follow_symlinks=False) for entry in entries]
    except OSError:
        return 0
    ours = sum(file.st_blocks * 512 for file in files if host_processes.user_name(file.st_uid).startswith(prefix))
    return (space.f_bavail * space.f_frsize + ours) // 1024**2


def python_version(module: AnsibleModule, path: str) -> str:
    """Return the version of an interpreter, ``3.12.4``; empty where it cannot be run."""
    command = [path, "-I", "-c", "import platform; print(platform.python_version())"]
    try:
        code, out, _err = module.run_command(command, handle_exceptions=False)
    except OSError:
        return ""
    return "" if code else str(out).strip()


def measure_disk(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what still needs room, with the file system it lies on and the MiB free there."""
    measured = []
    for entry in wanted:
        if not entry["needed_mib"] or (entry["creates"] and glob.glob(entry["creates"])):
            continue
        path = os.path.abspath(entry["path"])
        while not os.path.exists(path):
            path = os.path.dirname(path)
        space = os.statvfs(path)
        free = space.f_bavail * space.f_frsize // 1024**2
        measured.append({**entry, "device": os.stat(path).st_dev, "free_mib": free})
    return measured


def read_config(folder: str) -> dict[str, Any] | None:
    """Return a model's ``config.json``, or Mistral's ``params.json``; null where there is none that can be read."""
    found = (read_json(os.path.join(folder, name)) for name in ("config.json", "params.json"))
    return next((config for config in found if isinstance(config, dict)), None)


def given_problems(host: str, given: list[dict[str, Any]]) -> list[Problem]:
    """Return the problems that were found before and are about this host, or about the whole fleet."""
    return [Problem(**problem) for problem in given if problem["host"] in ("", host)]


def check(params: dict[str, Any]) -> tuple[list[Problem], dict[str, int], set[int]]:
    """Return every problem of this host, its memory, and our processes.

    ``pythons`` are chosen already.
    """
    host = params["host"]
    problems = given_problems(host, params["problems"])
    if params["distribution"]:
        problems += distribution_problems(host, params["distribution"], params["distribution_version"])
    processes = host_processes.read_processes()
    ours = {
        process.pid
        for process in processes.values()
        if host_requirements.is_ours(process, processes, params["roots"], params["prefix"])
    }
    ports = {listener["port"] for listener in params["listeners"]}
    sockets = host_processes.listening_sockets(ports)
    owners = host_processes.find_owners(sockets, processes, ours)
    problems += host_requirements.listener_problems(host, params["listeners"], sockets, owners, ours)
    python = params["python"]
    releases = python_choice.disk(params["pythons"], python["root"])
    problems += host_requirements.disk_problems(host, measure_disk(params["disk"] + releases))
    memory = read_memory(ours)
    if params["memory_mib"]:
        problems += host_requirements.memory_problems(host, params["memory_mib"], **memory)
    if params["instances"] and not params["containers"]:
        shared = read_shared_memory(params["prefix"])
        problems += host_requirements.shared_memory_problems(host, SHARED_MEMORY, params["instances"], shared)
    # A release that uv installed once is there, even if downloads are not allowed now.
    can_bring = python["downloads"] or all(glob.glob(release["creates"]) for release in releases)
    problems += python_choice.problems(host, python["path"], params["pythons"], can_bring)
    problems += host_requirements.core_problems(host, params["instances"], os.sched_getaffinity(0))
    for instance in params["instances"]:
        if instance["path"] and sources.parse(instance["source"]).directory:
            problems += host_requirements.folder_problems(host, instance, read_config(instance["path"]))
    return problems, memory, ours


def argument_spec() -> dict[str, Any]:
    """Return the options, as the documentation above describes them."""
    listener = {"name": {"required": True}, "address": {"default": ""}, "port": {"type": "int", "required": True}}
    disk = {
        "path": {"type": "path", "required": True},
        "needed_mib": {"type": "int", "required": True},
        "purpose": {"required": True},
        "creates": {"type": "path"},
    }
    python = {
        "path": {"type": "path", "default": "/usr/bin/python3"},
        "release": {"default": ""},
        "root": {"type": "path", "default": "/opt/llmfleet/python"},
        "downloads": {"type": "bool", "default": True},
    }
    pythons = {"program": {"required": True}, "versions": {"type": "list", "elements": "str", "default": []}}
    roots = ["/opt/llmfleet", "/etc/llmfleet", "/var/lib/llmfleet"]
    return {
        "host": {"required": True},
        "problems": {"type": "list", "elements": "dict", "default": []},
        "distribution": {},
        "distribution_version": {"default": ""},
        "listeners": {"type": "list", "elements": "dict", "default": [], "options": listener},
        "disk": {"type": "list", "elements": "dict", "default": [], "options": disk},
        "memory_mib": {"type": "int", "default": 0},
        "instances": {"type": "list", "elements": "dict", "default": []},
        "containers": {"type": "bool", "default": False},
        "python": {"type": "dict", "apply_defaults": True, "options": python},
        "pythons": {"type": "list", "elements": "dict", "default": [], "options": pythons},
        "roots": {"type": "list", "elements": "path", "default": roots},
        "prefix": {"default": PREFIX},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    python, wanted = module.params["python"], module.params["pythons"]
    version = python_version(module, python["path"]) if any(one["versions"] for one in wanted) else ""
    chosen = python_choice.choose(wanted, version, python["release"])
    problems, memory, ours = check({**module.params, "pythons": chosen})
    result = {
        "problems": [problem._asdict() for problem in problems],
        "memory_mib": memory,
        "pythons": chosen,
        "pids": sorted(ours),
    }
    if problems:
        module.fail_json(msg=render(problems), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
