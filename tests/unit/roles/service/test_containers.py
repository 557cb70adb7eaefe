# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of every application's container, from the roles themselves, against golden files.

Each golden file says word for word what the engine is asked for. After a change that is meant: run with
UPDATE_GOLDEN=1, and read the difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import played
from role_files import default_files

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = Path(__file__).resolve().parent / "golden"
APPLICATIONS = ("vllm", "litellm", "gate", "nginx", "open_webui", "prometheus", "node_exporter", "dcgm_exporter")
SERVICES = (
    "vllm-chat-0",
    "litellm",
    "gate",
    "nginx",
    "nginx-south",
    "nginx-exporter",
    "open-webui",
    "prometheus",
    "node-exporter",
    "dcgm-exporter",
)
GPUS = ["GPU-11111111-2222-3333-4444-555555555555", "GPU-66666666-7777-8888-9999-000000000000"]
SECRETS = {
    name: f"very-secret-{name}"
    for name in (
        "litellm_master_key",
        "litellm_metrics_key",
        "litellm_gate_key",
        "vllm_api_key",
        "open_webui_secret_key",
        "open_webui_admin_password",
        "litellm_key_chat_page",
        "litellm_key_verify",
    )
}
INSTANCE: dict[str, Any] = {
    "name": "chat-0",
    "model": "chat",
    "engine": "vllm",
    "aliases": [],
    "replica": 0,
    "source": "hf://a/b",
    "host": "localhost",
    "address": "192.0.2.1",
    "listen": "192.0.2.1",
    "port": 8100,
    "device": "cuda",
    "gpus": GPUS,
    "cpu": {"cores": "", "kv_cache_space_gib": None},
    "args": {},
    "env": {},
    "max_model_len": 8192,
    "max_num_seqs": 64,
    "stream_interval": 8,
    "tensor_parallel_size": 2,
}
CONTRACT = yaml.safe_load((ROOT / "roles" / "service" / "meta" / "argument_specs.yml").read_text())["argument_specs"][
    "main"
]["options"]["service_specs"]
# Docker that says what it is asked for.
STAND_IN = """#!{python}
import json, sys
if sys.argv[1] == "run":
    print(json.dumps(sys.argv[1:]))
"""


def application(role: str) -> dict[str, Any]:
    """A play that renders what one application's role hands to the service role."""
    folder = ROOT / "roles" / role / "tasks"
    tasks = [task for path in sorted(folder.glob("*.yml")) for task in yaml.safe_load(path.read_text())]
    calls = [task for task in tasks if "llmfleet.serving.service" in str(task.get("ansible.builtin.import_role"))]
    package = next(call["vars"]["service_package"] for call in calls if "service_package" in call["vars"])
    specs = next(call["vars"]["service_specs"] for call in calls if "service_specs" in call["vars"])
    files = [ROOT / "roles" / role / part / "main.yml" for part in ("defaults", "vars")]
    own = ROOT / "roles" / "service"
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [
            *(str(ROOT / "group_vars" / "all" / name) for name in ("llm_catalog.yml", "llm_images.yml")),
            *(str(path) for path in default_files("fleet_defaults")),
            *(str(path) for path in files if path.exists()),
            *(str(own / part / "main.yml") for part in ("defaults", "vars")),
        ],
        "vars": {
            "specs": specs,
            "golden_package": package,
            # What the host needs beside the images counts as installed, so no test installs a package on this machine.
            "service_host_packages": {"stdout_lines": [f"installed {name}" for name in package.get("beside", [])]},
        },
        "tasks": [
            {
                "ansible.builtin.include_role": {"name": "llmfleet.serving.service", "tasks_from": "package.yml"},
                "vars": {"service_package": "{{ golden_package }}"},
            },
            {
                # What the role's own argument specs would refuse.
                "ansible.builtin.validate_argument_spec": {
                    "argument_spec": {"service_specs": CONTRACT},
                    "provided_arguments": {"service_specs": "{{ specs }}"},
                }
            },
            {
                "write_here": {
                    "content": "{{ query('llmfleet.serving.rendered_files', *files) | to_json }}",
                    "dest": f"{{{{ out }}}}/{role}.json",
                },
                "vars": {
                    "files": "{{ specs | llmfleet.serving.service_specs('/etc/llmfleet', '/var/lib/llmfleet',"
                    " service_images) | llmfleet.serving.service_files('systemd', 'llm-', '/etc/llmfleet')"
                    " | selectattr('spec', 'defined') }}",
                    "service_manager": "systemd",
                },
            },
        ],
    }


class Rendered:
    """The scripts and units of all applications."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = [file for role in APPLICATIONS for file in json.loads((folder / f"{role}.json").read_text())]
        self.texts: dict[str, str] = {file["dest"]: file["content"] for file in found}

    def unit(self, name: str) -> str:
        return self.texts[f"/etc/systemd/system/llm-{name}.service"]

    def script(self, name: str) -> str:
        return self.texts[f"/etc/llmfleet/{name}/run"]

    def arguments(self, name: str, most_files: str = "unlimited") -> list[str]:
        """What the engine is called with, read by a real shell with users that exist nowhere."""
        programs = self.folder / "bin"
        script = f"ulimit() {{ echo {most_files}; }}\n" + re.sub(r"^\. .*$", "", self.script(name), flags=re.M)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True, env=environment)
        return list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    if os.geteuid() != 0:
        pytest.skip("the service role makes files of root: run as root")
    folder = tmp_path_factory.mktemp("containers")
    (folder / "bin").mkdir()
    for name, text in {
        "docker": STAND_IN.format(python=sys.executable),
        "id": '#!/bin/sh\n[ "$1" = -u ] && echo 990 || echo 991\n',
    }.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    parameters = {
        "out": str(folder),
        # Files are searched in a role only from within a role.
        "__nginx_south_digest": "",
        "service_root": str(folder / "opt"),
        "service_container_program": str(folder / "bin" / "docker"),
        "service_container_digests": False,
        "llm_package": "container",
        "llm_models": [{"name": "chat", "source": "hf://a/b"}],
        "llm_planned": {"plan": {"instances": [INSTANCE]}},
        "llm_hosts": {"localhost": {"address": "192.0.2.1", "cpu": {"vcpus": 8}}},
        "llm_address": "192.0.2.1",
        "llm_secrets": SECRETS,
        "llm_secrets_file": "/nowhere",
        "vllm_instances": [INSTANCE],
        "models_paths": {"chat": "/var/lib/llmfleet/models/hub/chat"},
        "nginx_tls_certificate_file": "/etc/ssl/own.pem",
        "nginx_tls_key_file": "/etc/ssl/own.key",
    }
    (folder / "parameters.json").write_text(json.dumps(parameters))
    plays = [application(role) for role in APPLICATIONS]
    (folder / "templates").symlink_to(ROOT / "roles" / "service" / "templates")
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    groups = {f"llm_{name}": {"hosts": {"localhost": None}} for name in ("inference", "gateway", "webui", "monitoring")}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}, "children": groups}}))
    played("-i", folder / "hosts.yml", "-e", f"@{folder / 'parameters.json'}", folder / "play.yml")
    return Rendered(folder)


@pytest.mark.parametrize("name", SERVICES)
def test_the_engine_is_asked_for_this_and_nothing_else(rendered: Rendered, name: str) -> None:
    lines = [argument.replace(str(rendered.folder), "") for argument in rendered.arguments(name)]
    text = "\n".join(lines) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_a_script_a_unit_or_a_command_line(rendered: Rendered, name: str) -> None:
    said = rendered.script(name) + rendered.unit(name) + " ".join(rendered.arguments(name))
    assert "very-secret" not in said


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_powers_to_spare(rendered: Rendered, name: str) -> None:
    arguments = rendered.arguments(name)
    assert "--privileged" not in arguments
    assert not [argument for argument in arguments if argument.endswith(":latest")]
    assert not [argument for argument in arguments if "docker.sock" in argument]
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert "no-new-privileges" in arguments
    assert "--read-only" in arguments
    added = {value for flag, value in zip(arguments, arguments[1:]) if flag == "--cap-add"}
    assert added == ({"NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"} if name == "nginx" else set())
    users = [value for flag, value in zip(arguments, arguments[1:]) if flag == "--user"]
    assert users == (["0:0"] if name == "nginx" else ["990:991"])


def test_no_more_open_files_are_asked_for_than_the_machine_allows(rendered: Rendered) -> None:
    for allowed, asked in {"unlimited": "65536", "524288": "65536", "20000": "20000"}.items():
        assert f"nofile={asked}" in rendered.arguments("litellm", most_files=allowed)


def test_engines_see_the_planned_gpus_alone(rendered: Rendered) -> None:
    for name in SERVICES:
        arguments = rendered.arguments(name)
        devices = [value for flag, value in zip(arguments, arguments[1:]) if flag == "--device"]
        planned = {"vllm-chat-0": [f"nvidia.com/gpu={uuid}" for uuid in GPUS], "dcgm-exporter": ["nvidia.com/gpu=all"]}
        assert devices == planned.get(name, [])
        assert "--gpus" not in arguments


def test_services_listen_where_they_are_told_and_nothing_is_published(rendered: Rendered) -> None:
    for name in SERVICES:
        arguments = rendered.arguments(name)
        assert "--publish" not in arguments
        assert arguments[arguments.index("--network") + 1] == "host"
        listening = re.findall(r"(?:--host[= ]|listen-address=|--address=)(\S+?)(?::\d+)?(?=\s|$)", " ".join(arguments))
        expected = {
            "nginx": set(),
            "nginx-south": set(),
            "gate": set(),
            "prometheus": {"127.0.0.1"},
            "litellm": {"127.0.0.1"},
        }
        assert set(listening) == expected.get(name, {"192.0.2.1"}), name


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_stops_its_container_and_leaves_none_behind(rendered: Rendered, name: str) -> None:
    unit = rendered.unit(name)
    assert re.search(rf"^ExecStop=-\S+docker stop llm-{name}$", unit, re.M)
    assert re.search(rf"^ExecStopPost=-\S+docker rm --force --volumes llm-{name}$", unit, re.M)
    assert "After=network-online.target docker.service" in unit
    assert "CapabilityBoundingSet=\n" in unit
