# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks refuse wrong values with one message, before any host is contacted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# No task may reach a host, so the hosts have a Python that does not exist.
INVENTORY = """
all:
  vars:
    ansible_connection: local
    ansible_python_interpreter: /nonexistent
    llm_models: [{name: chat, source: "demo:"}, {name: second, sourc: "demo:", args: {x: 2027-01-31}}]
    litellm_keys:
      - {alias: me, value: sk-canary-0123456789, expires: 2027-01-31, rpm: "60"}
      - {alias: late, expires: 2027-01-31T18:00:00Z}
      - {alias: soon, expires: tomorrow, rpm: "6O"}
      - {alias: prometheus}
    nginx_rate_per_key: many
    llm_images: {vlm: a}
  children:
    llm_gateway:
      hosts:
        gateway1:
          nginx_http_port: http
          nginx_rate_per_adress: 1
          litellm_port: "{{ of_nobody }}"
          litellm_environment: {A: "sk-canary\\nb"}
        gateway2: {llm_api_port: "{{ 70000 }}", llm_chat_port: !unsafe "{{ 443 }}", litellm_redis_url: sk-canary}
    llm_webui:
      hosts:
        page:
          llm_api_server_name: "{{ 1 / 0 }}"
          open_webui_admin_name: !vault "$ANSIBLE_VAULT;1.1;AES256\\n3031"
    llm_inference:
      hosts:
        gpu1:
          llm_device: gpu
          llm_gpus: GPU-1
          llm_address: "{{ ansible_facts.default_ipv4.address }}"
          vllm_requirements: /of-nobody.txt
          vllm_args: {max-num-seqs: 8, compilation-config: {x: [2027-01-31]}}
"""
# The lines, long ones as far as they fit here.
EXPECTED = """\
21 problems:
gateway1, gateway2, page, gpu1: nginx_rate_per_key is "many": a whole number is needed; give a whole number from 0 up.
gateway1: litellm_environment[A] is "(hidden)": it has a line break or another control character; write it on one line.
gateway1: litellm_port is "{{ of_nobody }}": of_nobody is not defined; define of_nobody, or correct the name.
gateway1: nginx_http_port is "http": a port is needed; give a whole number from 0 to 65535.
gateway1: nginx_rate_per_adress is "set": the collection has no such variable; did you mean nginx_rate_per_address.
gateway2: litellm_redis_url is "(hidden)": it is not a valid URL of a Redis; write rediss://USER:PASSWORD@HOST:PORT/NUMBER.
gateway2: llm_api_port is 70000: it is out of range; give a whole number from 1 to 65535.
gateway2: llm_chat_port is "{{ 443 }}": a port is needed; give a whole number from 1 to 65535.
gpu1: llm_device is "gpu": there is no such choice; did you mean cpu? Choose from cuda, cpu.
gpu1: vllm_args.compilation-config.x[0] is "2027-01-31": a text is needed; write a text; put quotes around a word such
gpu1: vllm_requirements is "/of-nobody.txt": this file cannot be read on the control node; name a file that can.
gpu1: llm_gpus is "GPU-1": a list is needed; write a list, such as [a, b], or [] for none.
llm_images.vlm is "a": the collection has no image of this name; did you mean vllm.
litellm_keys[soon].expires is "tomorrow": it is neither a date nor a time in ISO 8601; write the last day on which the
litellm_keys[soon].rpm is "6O": a whole number is needed; give a whole number from 1 up.
litellm_keys[prometheus].alias is "prometheus": the collection has a key of that name; choose another.
llm_models[second].args.x is "2027-01-31": a text is needed; write a text; put quotes around a word such
llm_models[second].sourc is "demo:": there is no such key; did you mean source.
llm_models[second].source is missing: every model needs it; use hf://ORGANISATION
page: llm_api_server_name is "{{ 1 / 0 }}": it cannot be computed
page: open_webui_admin_name is "(hidden)": it cannot be decrypted; give the password of the
""".splitlines()


def run(folder: Path, playbook: str, inventory: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "hosts.yml").write_text(inventory)
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", folder / "hosts.yml", playbook, *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "1000"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the message of the host that failed, sorted."""
    fatal = done.stdout.partition("msg: |-")[2].partition("PLAY RECAP")[0]
    lines = [line.strip().removeprefix("- ") for line in fatal.splitlines() if line.strip()]
    return sorted(lines)


@pytest.mark.parametrize("playbook", ["plan", "site"])
def test_all_problems_of_all_hosts_are_told_before_a_host_is_contacted(tmp_path: Path, playbook: str) -> None:
    done = run(tmp_path, f"playbooks/{playbook}.yml", INVENTORY)
    assert done.returncode != 0
    lines = told(done)
    assert len(lines) == len(EXPECTED), done.stdout + done.stderr
    for line, expected in zip(lines, sorted(EXPECTED)):
        assert line.startswith(expected)
    assert "canary" not in done.stdout + done.stderr
    assert "/nonexistent" not in done.stdout + done.stderr


def test_what_is_unambiguous_or_known_later_is_right(tmp_path: Path) -> None:
    variables: dict[str, Any] = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/nonexistent",
        "llm_models": [{"name": "chat", "source": "demo:", "replicas": "2"}],
        "nginx_http_port": "8080",
        "llm_api_port": "{{ 8000 + 443 }}",
        "llm_chat_port": "{{ llm_api_port + 1 }}",
        "llm_doctor": "no",
        "litellm_listen": "[::]",
        "open_webui_listen": "::",
        "llm_address": "{{ ansible_facts.default_ipv4.address }}",
        "litellm_environment": {"MORE": "{{ llm_secrets.litellm_metrics_key }}"},
        "open_webui_admin_name": "Zoë Ünal",
    }
    group = {"hosts": {"box": None}}
    inventory = {"all": {"vars": variables, "children": {"llm_gateway": group, "llm_webui": group}}}
    options = ["-e", "llm_secrets_adopt=false", "-e", "litellm_port=4001"]
    done = run(tmp_path, "playbooks/check_inventory.yml", yaml.safe_dump(inventory), *options)
    assert "TASK [Gather facts]" in done.stdout, done.stdout + done.stderr


def test_a_lock_without_hashes_is_refused_before_a_host_is_contacted(tmp_path: Path) -> None:
    lock = tmp_path / "vllm.txt"
    lock.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\nvllm==0.32.0\n")
    variables = {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent"}
    variables |= {"llm_models": [{"name": "chat", "source": "demo:"}], "vllm_requirements": str(lock)}
    hosts = {"gpu1": None, "gpu2": {"vllm_requirements": "vllm-cpu.txt"}}
    inventory = {"all": {"vars": variables, "children": {"llm_inference": {"hosts": hosts}}}}
    done = run(tmp_path, "playbooks/site.yml", yaml.safe_dump(inventory))
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert f'gpu1: vllm_requirements is "{lock}": 1 of 2 lines of this lock have no hash (vllm)' in said
    assert "uv pip compile --generate-hashes" in said
    assert "gpu2: " not in said
    assert "/nonexistent" not in done.stdout + done.stderr


@pytest.mark.parametrize("playbook", ["plan", "site"])
def test_plain_text_on_a_public_address_is_refused_before_a_host_is_contacted(tmp_path: Path, playbook: str) -> None:
    variables = {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent"}
    variables |= {"llm_models": [{"name": "chat", "source": "demo:"}], "llm_private_networks": ["192.0.2.0/28"]}
    engines = {"gpu1": {"llm_address": "192.0.2.1"}, "gpu2": {"llm_address": "2001:db8::7"}}
    gateway = {"gw": {"llm_address": "192.0.2.2", "gate_listen": "192.0.2.16"}}
    groups = {"llm_inference": {"hosts": engines}, "llm_gateway": {"hosts": gateway}}
    inventory = {"all": {"vars": variables, "children": groups}}
    done = run(tmp_path, f"playbooks/{playbook}.yml", yaml.safe_dump(inventory))
    assert done.returncode != 0
    reason = "services speak plain HTTP there, but it is in no private network"
    remedy = "add its network to llm_private_networks if nobody else can read there, or give a private address."
    assert told(done) == [
        "2 problems:",
        f'gpu2: llm_address is "2001:db8::7": {reason}; {remedy}',
        f'gw: gate_listen is "192.0.2.16": {reason}; {remedy}',
    ]
    assert "/nonexistent" not in done.stdout + done.stderr


def test_engines_send_no_plain_text_outside_and_reach_what_they_are_told_of(tmp_path: Path) -> None:
    model = {"name": "chat", "source": "demo:", "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://203.0.113.5:4318"}}
    variables = {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent", "llm_models": [model]}
    variables |= {"vllm_args": {"kv-transfer-config": {"kv_connector_extra_config": {"proxy_ip": "203.0.113.6"}}}}
    variables |= {"llm_model_defaults": {"env": {"LMCACHE_REMOTE_URL": "rediss://me:canary@cache.example.com"}}}
    variables |= {"llm_address": "10.0.0.1"}
    groups = {"llm_inference": {"hosts": {"gpu1": None}}, "llm_gateway": {"hosts": {"gw": None}}}
    inventory = {"all": {"vars": variables, "children": groups}}
    done = run(tmp_path, "playbooks/plan.yml", yaml.safe_dump(inventory))
    assert done.returncode != 0
    lines = told(done)
    assert lines[0] == "3 problems:", lines
    starts = ("llm_model_defaults.env is", "vllm_args is", "llm_models[chat].env is")
    assert {next(start for start in starts if f"gpu1: {start}" in line) for line in lines[1:]} == {*starts}, lines
    assert "it names cache.example.com, but the service reaches addresses alone" in done.stdout + done.stderr
    assert "canary" not in done.stdout + done.stderr


def test_the_names_of_doors_are_checked_before_addresses_are_known(tmp_path: Path) -> None:
    variables = {"ansible_connection": "local", "ansible_python_interpreter": "/nonexistent"}
    variables |= {"llm_models": [{"name": "chat", "source": "demo:"}], "llm_api_server_name": "münchen.example"}
    groups = {"llm_inference": {"hosts": {"gpu1": None}}, "llm_gateway": {"hosts": {"gw": None}}}
    inventory = {"all": {"vars": variables, "children": groups}}
    done = run(tmp_path, "playbooks/plan.yml", yaml.safe_dump(inventory, allow_unicode=True))
    assert 'gw: llm_api_server_name is "münchen.example": it is no host name' in " ".join(done.stdout.split())
