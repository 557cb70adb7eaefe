# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What services are made of: where an engine is, where none is, and what a host was set up with stays with it.

And what an engine can give its containers there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_playbook import played

ROOT = Path(__file__).resolve().parents[4]
HERE, NOT_HERE = {"stat": {"exists": True}}, {"stat": {"exists": False}}


def recorded(package: str) -> dict[str, Any]:
    """The fact that a host keeps of how it was set up."""
    return {"llmfleet": {"secrets_id": "0123", "package": package, "gpu_mode": "cdi"}}


# Name of a host: what is asked for, whether an engine answers, its own record; what comes of it.
HOSTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "engine": ({"llm_engine": HERE}, {}, "container"),
    "bare": ({"llm_engine": NOT_HERE}, {}, "native"),
    "unread": ({}, {}, "native"),
    # Somebody installs an engine later, for something else, or it is down today.
    "engine-came-later": ({"llm_engine": HERE}, recorded("native"), "native"),
    "engine-is-down": ({"llm_engine": NOT_HERE}, recorded("container"), "container"),
    # The question is skipped on a host with a record.
    "not-asked": ({"llm_engine": {"skipped": True}}, recorded("container"), "container"),
    "wanted": ({"llm_package": "container", "llm_engine": NOT_HERE}, {}, "container"),
    "not-wanted": ({"llm_package": "native", "llm_engine": HERE}, recorded("container"), "native"),
}

# Name of a host: what is asked for, what it runs inside of, and whether its engine lifts the limit of locked memory.
GUESTS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "metal": ({}, "NA", True),
    "virtual": ({}, "kvm", True),
    "lxc": ({}, "lxc", False),
    "virtual-that-cannot": ({"service_container_memlock": False}, "kvm", False),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("package")
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {name: {**common, **asked, "record": record} for name, (asked, record, _made_of) in HOSTS.items()}
    hosts |= {name: {**common, **asked, "record": {}, "inside": kind} for name, (asked, kind, _can) in GUESTS.items()}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    answer = "{{ [llm_package_in_force, service_containers | bool, service_container_memlock | bool] | to_json }}"
    facts = {
        "ansible_local": "{{ record }}",
        "virtualization_type": "{{ inside | default('NA') }}",
        "virtualization_role": "guest",
    }
    tasks = [
        {"ansible.builtin.set_fact": {**facts, "cacheable": True}},
        {"write_here": {"content": answer, "dest": f"{folder}/{{{{ inventory_hostname }}}}"}},
    ]
    play = {"hosts": "all", "gather_facts": False, "roles": ["llmfleet.serving.fleet_defaults"], "post_tasks": tasks}
    (folder / "play.json").write_text(json.dumps([play]))
    played("-i", folder / "hosts.json", folder / "play.json")
    return {name: json.loads((folder / name).read_text()) for name in hosts}


@pytest.mark.parametrize("host", HOSTS)
def test_what_services_are_made_of(outcome: dict[str, list[Any]], host: str) -> None:
    made_of = HOSTS[host][2]
    assert outcome[host][:2] == [made_of, made_of == "container"]


@pytest.mark.parametrize("host", GUESTS)
def test_who_lifts_the_limit_of_locked_memory(outcome: dict[str, list[Any]], host: str) -> None:
    assert outcome[host][2] is GUESTS[host][2]
