# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is derived from the table of applications, on every host of every inventory, against golden files.

Each golden file holds what the hosts of one inventory make of the table, natively and in containers. After a change
that is meant: run with UPDATE_GOLDEN=1, and read the difference.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import role_files
import yaml
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import applications
from ansible_playbook import played

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = Path(__file__).resolve().parent / "golden"
# Name of a golden file: inventory and package.
CASES = {
    "local-native": ("inventories/local", "native"),
    "prod-native": ("inventories/prod", "native"),
    "prod-container": ("inventories/prod", "container"),
}
# Derived variables as other roles and playbooks use them. The first ones are used while there are no secrets.
CHECKED = {
    "images": "{{ llm_image_names | sort }}",
    "sizes": "{{ llm_image_sizes_mib }}",
    "disk": "{{ llm_disk | sort(attribute='purpose') }}",
    "listeners": "{{ llm_listeners | sort(attribute='name') }}",
}
DERIVED = {
    "hops": "{{ llm_hops }}",
    "jobs": "{{ prometheus_scrape_targets | sort(attribute='job') }}",
    "summary": "{{ llm_summary_services }}",
    "firewall": "{{ firewall_services if llm_firewall | bool else 'off' }}",
    "egress": (
        "{{ {'gate': gate_egress, 'litellm': litellm_egress, 'open_webui': open_webui_egress, 'vllm': vllm_egress} }}"
    ),
}
# Of what preflight reads and plans, what the derived variables are made from.
GIVEN: dict[str, Any] = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "llm_images": {},
    "llm_problems": [],
    "llm_needs": {"memory_mib": 0, "downloads": []},
    "llm_models_resolved": [{"name": "chat", "mode": "chat"}],
}
FACTS = {
    "default_ipv4": {"address": "10.0.0.{{ groups['all'].index(inventory_hostname) + 1 }}"},
    "service_mgr": "systemd",
    "ansible_local": {},
    "cacheable": True,
}
INSTANCE = {
    "name": "chat-0",
    "model": "chat",
    "replica": 0,
    "host": "{{ llm_inference_hosts[0] }}",
    "listen": "127.0.0.1",
    "port": 8100,
    "address": "10.0.0.99:8100",
}


def render(inventory: str, package: str, folder: Path) -> dict[str, Any]:
    """What each host of an inventory makes of its variables, by host."""
    told = {"address": "{{ llm_address }}", "dcgm": "{{ llm_has_dcgm }}", "cpu": {"vcpus": 8}}
    tasks = [
        {"ansible.builtin.set_fact": FACTS},
        {"ansible.builtin.set_fact": {"llm_host": told, "llm_planned": {"plan": {"instances": [INSTANCE]}}}},
        {"ansible.builtin.set_fact": {"checked_before": CHECKED}},
        {
            "ansible.builtin.set_fact": {
                "llm_secrets": {"litellm_metrics_key": "sk-metrics", "litellm_gate_key": "sk-gate"}
            }
        },
        {
            "write_here": {
                "content": "{{ checked_before | combine(derived) | to_json }}",
                "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
            }
        },
    ]
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["llmfleet.serving.fleet_defaults"],
        "vars_files": [str(path) for path in (ROOT / "playbooks" / "group_vars" / "all").glob("*.yml")],
        "vars": {"derived": DERIVED},
        "post_tasks": tasks,
    }
    (folder / "play.json").write_text(json.dumps([play]))
    (folder / "given.json").write_text(json.dumps({**GIVEN, "llm_package": package}))
    played("-i", ROOT / inventory, "-e", f"@{folder}/given.json", folder / "play.json")
    written = sorted(set(folder.glob("*.json")) - {folder / "play.json", folder / "given.json"})
    return {path.stem: json.loads(path.read_text()) for path in written}


@pytest.mark.parametrize("name", CASES)
def test_hosts_make_the_same_of_the_table(name: str, tmp_path: Path) -> None:
    made = {
        f"{host} {variable}": value
        for host, own in render(*CASES[name], tmp_path).items()
        for variable, value in own.items()
    }
    golden = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        lines = [f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in made.items()]
        golden.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert made == json.loads(golden.read_text())


def test_every_image_of_the_table_has_a_variable_and_a_pin() -> None:
    known = role_files.defaults("fleet_defaults")
    names = [name for row in known["llm_applications"] for name in row.get("images", {})]
    catalog = yaml.safe_load((ROOT / "group_vars" / "all" / "llm_images.yml").read_text())["llm_image_catalog"]
    assert sorted(names) == sorted(catalog)
    assert not [name for name in names if f"{name}_image" not in known]


def test_every_port_of_the_fleet_is_in_the_table() -> None:
    """A port that no row has is not checked before another program holds it."""
    variables = [name for role in ("fleet_defaults", "nginx") for name in role_files.defaults(role)]
    ports = {name for name in variables if name.endswith("_port") and "_has_" not in name}
    rows = role_files.defaults("fleet_defaults")["llm_applications"]
    named = {port["name"] for row in rows for port in row.get("ports", [])}
    named |= {f"{row['name']}_port" for row in rows if "port" in row}
    assert named == ports


def test_rows_have_the_keys_that_are_described() -> None:
    spec = yaml.safe_load((ROOT / "roles" / "fleet_defaults" / "meta" / "argument_specs.yml").read_text())
    options = spec["argument_specs"]["derived"]["options"]["llm_applications"]["options"]
    assert tuple(options) == applications.KEYS
    for row in role_files.defaults("fleet_defaults")["llm_applications"]:
        assert not set(row) - set(options), f"{row['name']} has keys that nobody reads"
