# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import container_command
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec

IMAGE = "docker.io/a/web:1@sha256:" + "0" * 64
PROGRAMS = {"/opt/web": {"image": IMAGE, "program": "web"}}
OPTIONS = {
    "engine": "/usr/bin/docker",
    "prefix": "llm-",
    "run_dir": "/run/llmfleet/web",
    "gpu_mode": "cdi",
    "network": "host",
    "log_driver": "none",
    "memlock": True,
    "forget": False,
}


def arguments(options=None, **spec):
    """What the engine is called with, read by a real shell in which every user is 990 and every group 991."""
    spec = {"name": "web", "command": ["/opt/web", "serve"], **spec}
    (full,) = service_spec.normalise([spec], "/etc/llmfleet", "/var/lib/llmfleet", PROGRAMS)
    lines = container_command.service(full, {**OPTIONS, **(options or {})})
    show = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))'"
    shell = (
        'id() { [ "$1" = -u ] && echo 990 || echo 991; }; getent() { echo "$2:x:77:"; }; files() { echo "$1"; }; '
        + show
        + " "
        + " ".join(lines)
    )
    return json.loads(subprocess.run(["/bin/sh", "-euc", shell], capture_output=True, text=True, check=True).stdout)


def values(found, flag):
    return [value for name, value in zip(found, found[1:]) if name == flag]


def test_a_service_has_no_powers_and_its_own_user():
    found = arguments()
    assert found[:2] == ["/usr/bin/docker", "run"]
    assert values(found, "--user") == ["990:991"]
    assert values(found, "--cap-drop") == ["ALL"]
    assert values(found, "--cap-add") == []
    assert values(found, "--security-opt") == ["no-new-privileges"]
    assert "--read-only" in found
    assert "--rm" not in found
    assert values(found, "--pull") == ["never"]
    assert values(found, "--name") == ["llm-web"]
    assert found[-4:] == ["--entrypoint", "web", IMAGE, "serve"]


def test_it_sees_its_configuration_and_writes_its_state():
    found = arguments(
        readable=["/srv/models", "/var/lib/llmfleet/web"],
        writable=["/var/log/web"],
        directories=[{"path": "/var/lib/llmfleet/web/data"}, {"path": "/srv/data"}],
        container={"mounts": ["/:/host:ro,rslave"]},
    )
    assert values(found, "--volume") == [
        "/etc/llmfleet/web:/etc/llmfleet/web:ro",
        "/srv/models:/srv/models:ro",
        "/var/lib/llmfleet/web:/var/lib/llmfleet/web:rw",
        "/var/log/web:/var/log/web:rw",
        "/srv/data:/srv/data:rw",
        "/:/host:ro,rslave",
    ]
    assert values(found, "--tmpfs") == ["/tmp:mode=1777,exec", "/run/llmfleet/web:mode=1777,exec"]


def test_secrets_are_names_and_the_rest_is_quoted():
    found = arguments(
        environment={"GREETING": "it's $HOME", "HOME": "/elsewhere"},
        secrets={"TOKEN": "sk-hidden"},
        container={"environment": {"GREETING": 'it\'s "$(id)"'}},
    )
    environment = values(found, "--env")
    assert "TOKEN" in environment
    assert 'GREETING=it\'s "$(id)"' in environment
    assert "HOME=/elsewhere" in environment
    assert "USER=llm-web" in environment
    assert not [part for part in found if "sk-hidden" in part]


@pytest.mark.parametrize(
    ("mode", "gpus", "devices", "flags"),
    [
        ("cdi", ["GPU-1", "MIG-2"], ["nvidia.com/gpu=GPU-1", "nvidia.com/gpu=MIG-2"], []),
        ("legacy", ["GPU-1", "MIG-2"], [], ['"device=GPU-1,MIG-2"']),
        ("legacy", ["all"], [], ["all"]),
        ("cdi", ["all"], ["nvidia.com/gpu=all"], []),
        ("cdi", [], [], []),
    ],
)
def test_gpus_are_those_that_were_planned(mode, gpus, devices, flags):
    found = arguments({"gpu_mode": mode}, gpus=gpus)
    assert values(found, "--device") == devices
    assert values(found, "--gpus") == flags
    assert ("CUDA_DEVICE_ORDER=PCI_BUS_ID" in found) == bool(gpus)
    assert ("NVIDIA_VISIBLE_DEVICES=void" in found) == bool(devices)
    assert (f"llmfleet.gpus={','.join(gpus)}" in found) == bool(gpus)
    assert values(found, "--shm-size") == ["16g" if gpus else "64m"]
    assert ("memlock=-1" in found) == bool(gpus)
    assert "memlock=-1" not in arguments({"gpu_mode": mode, "memlock": False}, gpus=gpus)


def test_capabilities_reach_a_user_that_is_not_root():
    found = arguments(capabilities=["CAP_NET_BIND_SERVICE"])
    assert values(found, "--user") == ["0:0"]
    assert values(found, "--cap-add") == ["NET_BIND_SERVICE", "SETGID", "SETPCAP", "SETUID"]
    start = found.index("--entrypoint")
    assert found[start : start + 2] == ["--entrypoint", "setpriv"]
    kept = "-all,+net_bind_service"
    assert found[start + 2 :] == [
        IMAGE,
        "--reuid=990",
        "--regid=991",
        "--clear-groups",
        "--no-new-privs",
        f"--inh-caps={kept}",
        f"--ambient-caps={kept}",
        f"--bounding-set={kept}",
        "web",
        "serve",
    ]


def test_what_else_a_spec_can_say():
    found = arguments(
        {"forget": True, "network": "fleet", "log_driver": "journald"},
        groups=["adm"],
        limits={"memory_max": "2G", "tasks_max": 100, "nofile": 1024},
        stop={"signal": "QUIT", "timeout": 7},
        container={
            "pid": "host",
            "arguments": ["--more"],
            "capabilities": ["SYS_NICE"],
            "workdir": "/work",
            "writable_root": True,
            "shared_memory": "1g",
        },
    )
    assert values(found, "--network") == ["fleet"]
    assert values(found, "--log-driver") == ["journald"]
    assert values(found, "--group-add") == ["77"]
    assert values(found, "--memory") == ["2G"]
    assert values(found, "--pids-limit") == ["100"]
    assert values(found, "--ulimit") == ["nofile=1024"]
    assert values(found, "--stop-signal") == ["SIGQUIT"]
    assert values(found, "--stop-timeout") == ["7"]
    assert values(found, "--pid") == ["host"]
    assert values(found, "--cap-add") == ["SYS_NICE"]
    assert values(found, "--user") == ["990:991"]
    assert values(found, "--workdir") == ["/work"]
    assert values(found, "--shm-size") == ["1g"]
    assert "--rm" in found
    assert "--read-only" not in found
    assert found[-2:] == ["serve", "--more"]


def test_a_probe_has_the_image_the_gpus_and_the_rights_of_its_engine():
    options = {"engine": "/usr/bin/docker", "gpu_mode": "cdi", "memlock": True, "network": "host"}
    argv = container_command.probe(IMAGE, "python3", ["GPU-1"], options)
    assert argv[:2] == ["/usr/bin/docker", "run"]
    assert argv[-3:] == ["--entrypoint", "python3", IMAGE]
    assert values(argv, "--device") == ["nvidia.com/gpu=GPU-1"]
    assert values(argv, "--cap-add") == []
    assert values(argv, "--shm-size") == ["16g"]
    assert "--interactive" in argv
    legacy = container_command.probe(IMAGE, "python3", ["GPU-1", "GPU-2"], {**options, "gpu_mode": "legacy"})
    assert values(legacy, "--gpus") == ['"device=GPU-1,GPU-2"']
    assert values(argv, "--ulimit") == ["memlock=-1"]
    assert "--ulimit" not in container_command.probe(IMAGE, "python3", [], options)
    assert values(container_command.probe(IMAGE, "python3", [], options), "--shm-size") == ["1g"]
    assert "--ulimit" not in container_command.probe(IMAGE, "python3", ["GPU-1"], {**options, "memlock": False})
