#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin I/O around module_utils/doctor*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_doctor_facts
short_description: Examine whether engines can run on this host, and report cause and remedy if not
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Tests CUDA, and an all-reduce over each planned group of GPUs, in each engine's own environment. Checks driver,
    GPUs, Xid errors in the kernel's log, shared memory, the read rate of weights, the clock and the planned ports.
  - Warns of services that run files which an update replaced, and of security updates that wait for packages whose
    files services run (apt, from the lists that the host has; no network is used).
  - Every check has its own time limit. A process that hangs is killed, or left behind if the driver does not let it
    end.
  - A host that has not changed since it was last found without errors is not examined again, unless O(always=true).
extends_documentation_fragment: llmfleet.serving.attributes
attributes:
  check_mode: {support: full, details: It examines as ever and keeps no record.}
  diff_mode: {support: none, details: It changes nothing.}
  idempotent: {support: full, details: It changes nothing; the record in O(state_file) is of its own.}
options:
  host:
    description: The host's name in messages.
    type: str
    required: true
  instances:
    description: The planned instances of this host, as M(llmfleet.serving.serving_plan_info) gives them.
    type: list
    elements: dict
    default: []
  engines:
    description: The environments in which instances run.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the instance.
        type: str
        required: true
      python:
        description:
          - Complete command line that runs the engine's Python - a path, or the container engine with image and flags.
          - It must pass on its standard input (C(docker run -i)).
        type: list
        elements: str
        required: true
      gpus:
        description: UUIDs of its GPUs; none for an engine on processors.
        type: list
        elements: str
        default: []
      ranks:
        description: Number of processes in the all-reduce; the default is one for each GPU.
        type: int
      environment:
        description: Environment variables of that command, for example those of NCCL. They must not be secret.
        type: dict
        default: {}
  gpu_facts:
    description: Result of M(llmfleet.serving.gpu_facts) on this host; left out on a host without GPUs.
    type: dict
  needs_gpus:
    description: Whether this host must have GPUs. If false, driver and GPUs are not checked.
    type: bool
    default: false
  program:
    description: Text of the program that is run by each engine's Python.
    type: str
    default: ""
  models_root:
    description: Directory of models on the host.
    type: path
    default: /var/lib/llmfleet/models
  state_file:
    description: File with the record of the last examination; it is written if its directory exists. Without this
      option no record is kept.
    type: path
  always:
    description: Whether to examine the host even if nothing changed since it was last found healthy.
    type: bool
    default: false
  control_time:
    description: The control node's clock, in seconds since 1970; 0 skips the comparison.
    type: float
    default: 0
  load_seconds:
    description: Seconds within which an engine's environment must load torch.
    type: int
    default: 120
  reduce_seconds:
    description: Seconds within which an all-reduce must end.
    type: int
    default: 60
  start_seconds:
    description: Seconds that an instance may take to start, in addition to the time for reading its weights.
    type: int
    default: 300
  pins:
    description: Releases of applications that run on this host.
    type: list
    elements: dict
    default: []
    suboptions:
      title:
        description: Name of the application.
        type: str
        required: true
      version:
        description: Its version.
        type: str
        required: true
      released:
        description: Date of its release, such as V(2026-01-31).
        type: str
        required: true
  pins_max_age_days:
    description: Age in days from which a release is warned of; 0 warns of none.
    type: int
    default: 180
  roots:
    description: Directories of the collection; processes started from them are its own.
    type: list
    elements: path
    default: [/opt/llmfleet, /etc/llmfleet, /var/lib/llmfleet]
  prefix:
    description: Prefix of the names of the collection's units and users.
    type: str
    default: llm-
  fail_on_error:
    description: Whether to fail if an error was found.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Examine the host
  llmfleet.serving.host_doctor_facts:
    host: "{{ inventory_hostname }}"
    instances: "{{ llm_instances_here }}"
    engines:
      - name: chat-0
        python: [/opt/llmfleet/venvs/vllm-0123456789ab/bin/python]
        gpus: [GPU-00000000-0000-0000-0000-000000000000]
    gpu_facts: "{{ ansible_facts['gpu_facts'] }}"
    needs_gpus: true
    program: "{{ lookup('ansible.builtin.file', 'probe_engine.py') }}"
    fail_on_error: true
"""

RETURN = r"""
examined:
  description: Whether the host was examined now; if not, the other values are those of the last examination.
  returned: always
  type: bool
report:
  description: The findings.
  returned: always
  type: dict
  contains:
    host: {description: The host., type: str}
    at: {description: When it was examined., type: str, sample: "2026-01-31T12:00:00Z"}
    why: {description: Why it was examined., type: list, elements: str}
    errors: {description: Number of errors., type: int}
    warnings: {description: Number of warnings., type: int}
    read_rate: {description: Bytes of weights read in a second; null where there were none., type: int}
    findings:
      description:
        - The worst first. Each has C(check), C(severity) (V(ok), V(warning) or V(error)), C(subject), C(found),
          C(cause) and C(remedy).
      type: list
      elements: dict
ansible_facts:
  description: Facts for later tasks.
  returned: always
  type: dict
  contains:
    doctor_start_deadlines:
      description: Seconds that each instance may take from start to ready, by its name.
      type: dict
      sample: {chat-0: 420}
"""

import contextlib
import json
import os
import re
import shutil
import time
from datetime import date
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import engine as doctor_engine
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import finding as doctor_finding
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import gpu as doctor_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import host as doctor_host
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import updates as doctor_updates
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import xid as doctor_xid
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.host import disk_speed, libraries, programs
from ansible_collections.llmfleet.serving.plugins.module_utils.host import processes as host_processes
from ansible_collections.llmfleet.serving.plugins.module_utils.host.files import read_json
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import host_requirements
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX

IOMMU_GROUPS = "/sys/kernel/iommu_groups"
# Seconds for each of the small programs: nvidia-smi without persistence mode initialises every GPU anew.
SMALL_SECONDS = 15
SMI_SECONDS = 60
CUDA_SECONDS = 60
APT_SIMULATION = ["apt-get", "--simulate", "-o", "Debug::NoLocking=1", "--with-new-pkgs", "upgrade"]

ENGINE: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "python": {"type": "list", "elements": "str", "required": True},
    "gpus": {"type": "list", "elements": "str", "default": []},
    "ranks": {"type": "int"},
    "environment": {"type": "dict", "default": {}},
}
PIN: dict[str, Any] = {name: {"type": "str", "required": True} for name in ("title", "version", "released")}
ARGUMENTS: dict[str, Any] = {
    "host": {"type": "str", "required": True},
    "instances": {"type": "list", "elements": "dict", "default": []},
    "engines": {"type": "list", "elements": "dict", "default": [], "options": ENGINE},
    "gpu_facts": {"type": "dict"},
    "needs_gpus": {"type": "bool", "default": False},
    "program": {"type": "str", "default": ""},
    "models_root": {"type": "path", "default": "/var/lib/llmfleet/models"},
    "state_file": {"type": "path"},
    "always": {"type": "bool", "default": False},
    "control_time": {"type": "float", "default": 0},
    "load_seconds": {"type": "int", "default": 120},
    "reduce_seconds": {"type": "int", "default": 60},
    "start_seconds": {"type": "int", "default": 300},
    "pins": {"type": "list", "elements": "dict", "default": [], "options": PIN},
    "pins_max_age_days": {"type": "int", "default": 180},
    "roots": {
        "type": "list",
        "elements": "path",
        "default": ["/opt/llmfleet", "/etc/llmfleet", "/var/lib/llmfleet"],
    },
    "prefix": {"type": "str", "default": PREFIX},
    "fail_on_error": {"type": "bool", "default": False},
}


def disk(params: dict[str, Any]) -> tuple[list[doctor_finding.Finding], dict[str, int], float | None]:
    """Judge the disk; return the sizes of weights and the rate as well."""
    instances = params["instances"]
    if not instances:
        return [], {}, None
    folders = {str(one["name"]): doctor_host.model_folder(one, params["models_root"]) for one in instances}
    heard = programs.run_in_child(lambda: disk_speed.measure_disk(folders), disk_speed.READ_SECONDS * 3)
    failure = "" if heard else f"reading weights did not end within {disk_speed.READ_SECONDS * 3:g} s"
    heard = heard or {"sizes": {}, "read": 0, "seconds": 0.0}
    rate = heard["read"] / heard["seconds"] if heard["read"] and heard["seconds"] else None
    base = params["start_seconds"]
    deadlines = doctor_finding.start_deadlines(instances, heard["sizes"], rate, base)
    found = doctor_host.disk(heard["read"], heard["seconds"], failure, instances, deadlines, base)
    return [found], heard["sizes"], rate


def clock(params: dict[str, Any]) -> list[doctor_finding.Finding]:
    """Judge the clock."""
    offset = time.time() - params["control_time"] if params["control_time"] else None
    said, _ending = programs.run_program(
        ["timedatectl", "show", "--property=NTPSynchronized", "--value"], SMALL_SECONDS
    )
    kept = {"yes": True, "no": False}.get(said.strip())
    if not kept:
        said, ending = programs.run_program(["chronyc", "-n", "tracking"], SMALL_SECONDS)
        leap = re.search(r"^Leap status\s*:\s*(.+)$", said, re.M)
        kept = leap[1].strip() != "Not synchronised" if leap and not ending else kept
    return [doctor_host.clock(kept, offset)]


def xids(gpu_facts: dict[str, Any] | None) -> list[doctor_finding.Finding]:
    """Judge the kernel's log."""
    said, ending = programs.run_program(
        ["journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-unix", "-n", "50000"], SMALL_SECONDS
    )
    if ending or not said.strip():
        said, ending = programs.run_program(["dmesg"], SMALL_SECONDS)
    if ending:
        words = "it cannot be read here; Xid errors show on the machine itself"
        return [doctor_finding.fine(doctor_xid.CHECK, "kernel log", words)]
    boot = re.search(r"^btime (\d+)", host_processes.read_proc("stat"), re.M)
    events = doctor_xid.parse(said, float(boot[1]) if boot else None)
    return doctor_xid.findings(events, doctor_gpu.names(gpu_facts), doctor_gpu.sound(gpu_facts), time.time())


def ports(params: dict[str, Any]) -> list[doctor_finding.Finding]:
    """Judge whether the planned ports are free or its own."""
    instances = params["instances"]
    wanted = [{"name": one["name"], "address": one.get("listen") or "", "port": int(one["port"])} for one in instances]
    sockets = host_processes.listening_sockets({one["port"] for one in wanted})
    processes = host_processes.read_processes() if sockets else {}
    ours = {
        process.pid
        for process in processes.values()
        if host_requirements.is_ours(process, processes, params["roots"], params["prefix"])
    }
    owners = host_processes.find_owners(sockets, processes, ours)
    problems = host_requirements.listener_problems(params["host"], wanted, sockets, owners, ours)
    return doctor_host.ports(problems, instances)


def installed(params: dict[str, Any]) -> list[doctor_finding.Finding]:
    """Judge the distribution packages whose files the collection's services run."""
    processes = host_processes.read_processes()
    used: set[str] = set()
    replaced: dict[str, set[str]] = {}
    for process in processes.values():
        if host_requirements.is_ours(process, processes, params["roots"], params["prefix"]):
            files, deleted = doctor_updates.mapped(libraries.read_maps(process.pid))
            used |= files
            unit = re.search(rf"/({re.escape(params['prefix'])}[^/]+)\.service", process.cgroup)
            if deleted:
                replaced.setdefault(unit[1] if unit else process.user or process.name, set()).update(deleted)
    found = doctor_updates.libraries(replaced)
    if not shutil.which("apt-get"):
        return found
    asked = sorted({name for path in used for name in doctor_updates.spellings(path)})
    owned = programs.run_program(["dpkg-query", "--search", *asked], SMALL_SECONDS)[0] if asked else ""
    # A simulation needs no lock and no network.
    said, _ending = programs.run_program(APT_SIMULATION, SMI_SECONDS)
    waits, packages = doctor_updates.waiting(said), doctor_updates.owners(owned, asked)
    return [doctor_updates.updates(waits, packages, libraries.lists_age()), *found]


def _shared_memory_needed(name: str, params: dict[str, Any]) -> int:
    """Return the MiB of shared memory that an instance needs by its engine."""
    instance: dict[str, Any] = next((one for one in params["instances"] if one["name"] == name), {})
    return int(registry.interface_of(instance)["shared_memory_mib"])


def try_engine(engine: dict[str, Any], params: dict[str, Any]) -> list[doctor_finding.Finding]:
    """Run the program in an engine's environment, and judge its answer."""
    name, gpus = engine["name"], engine["gpus"]
    free = [doctor_gpu.free_mib(params["gpu_facts"], uuid) for uuid in gpus]
    least = min((each for each in free if each is not None), default=None)
    if least is not None and least < doctor_engine.NEEDED_MIB:
        return [doctor_engine.untried(name, least)]
    request = doctor_engine.request(
        gpus, engine["ranks"], params["load_seconds"], CUDA_SECONDS, params["reduce_seconds"]
    )
    environment = {str(key): str(value) for key, value in engine["environment"].items()}
    if gpus:
        environment = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(gpus), **environment}
    argv = [*engine["python"], "-", json.dumps(request)]
    # The program ends by itself before that.
    said, ending = programs.run_program(argv, request["total_seconds"] + 30, params["program"], environment)
    answer = doctor_engine.answer(said)
    if answer is None:
        return [doctor_engine.failed(name, ending or "no answer", said)]
    iommu = len(os.listdir(IOMMU_GROUPS)) if os.path.isdir(IOMMU_GROUPS) else 0
    ranks = request["ranks"]
    return [
        doctor_engine.cuda(name, gpus, answer),
        *doctor_engine.reduce(name, ranks, answer, iommu),
        *doctor_engine.shared_memory(name, ranks, answer, _shared_memory_needed(name, params)),
    ]


def gpus(params: dict[str, Any]) -> list[doctor_finding.Finding]:
    """Judge driver and GPUs."""
    facts = params["gpu_facts"]
    program = (facts or {}).get("source") or shutil.which("nvidia-smi")
    # A second call would only wait for a hanging driver once more.
    asked = program and facts and not (facts.get("error") and not facts.get("gpus"))
    xml = programs.run_program([str(program), "-q", "-x"], SMI_SECONDS)[0] if asked else ""
    found = doctor_gpu.driver(facts)
    return (
        found
        + doctor_gpu.present(facts, params["engines"])
        + doctor_gpu.health(facts, xml, params["engines"])
        + xids(facts)
    )


def examine(params: dict[str, Any]) -> tuple[list[doctor_finding.Finding], dict[str, int], float | None]:
    """Return everything that was found, the sizes of weights, and the rate at which they are read."""
    found = gpus(params) if params["needs_gpus"] else []
    broken = any(one.severity == doctor_finding.ERROR and one.check == doctor_gpu.DRIVER for one in found)
    for engine in params["engines"]:
        # Without a driver each engine would only fail with the same error after a minute.
        if not (broken and engine["gpus"]):
            found += try_engine(engine, params)
    found += doctor_engine.missing(
        [one for one in params["instances"] if registry.interface_of(one)["has_torch"]], params["engines"]
    )
    disk_found, sizes, rate = disk(params)
    found += disk_found + clock(params) + installed(params)
    found += doctor_updates.pins(params["pins"], params["pins_max_age_days"], date.today())
    return found + (ports(params) if params["instances"] else []), sizes, rate


def keep(path: str, record: dict[str, Any]) -> None:
    """Write the record atomically, so that a reader never gets a part of it."""
    with contextlib.suppress(OSError):
        new = f"{path}.new"
        with open(new, "w", encoding="utf-8") as handle:
            json.dump(record, handle, indent=2, sort_keys=True)
            handle.write("\n")
        os.chmod(new, 0o644)
        os.replace(new, path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    for name in ("load_seconds", "reduce_seconds", "start_seconds"):
        if params[name] < 1:
            refuse(module, name, params[name], "a test needs time", "give at least 1 second")
    for engine in params["engines"]:
        if not engine["python"]:
            refuse(module, f"engines[{engine['name']}].python", [], "nothing can be run", "give its command line")
    for pin in params["pins"]:
        try:
            date.fromisoformat(pin["released"])
        except ValueError:
            remedy = "write the date of its release, such as 2026-01-31"
            refuse(module, f"pins[{pin['title']}].released", pin["released"], "it is no date", remedy)
    parts = doctor_finding.fingerprint(params["gpu_facts"], os.uname().release, params["engines"], params["program"])
    record: Any = read_json(params["state_file"]) if params["state_file"] else None
    why = doctor_finding.reasons(record, parts)
    examined = bool(why or params["always"])
    if examined:
        findings, sizes, rate = examine(params)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        report = doctor_finding.report(params["host"], at, why or ["it was asked for"], findings, rate)
        record = doctor_finding.record(parts, report, sizes)
        if params["state_file"] and not module.check_mode:
            keep(params["state_file"], record)
    report, sizes = record["report"], doctor_finding.sizes(record)
    deadlines = doctor_finding.start_deadlines(
        params["instances"], sizes, report.get("read_rate"), params["start_seconds"]
    )
    result = {
        "changed": False,
        "examined": examined,
        "report": report,
        "ansible_facts": {"doctor_start_deadlines": deadlines},
    }
    if report.get("errors") and params["fail_on_error"]:
        module.fail_json(msg=doctor_finding.failure(report), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
