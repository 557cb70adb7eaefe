# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles for containers would do on hosts of every family: rendered by Ansible with facts of such hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_playbook import played

ROLES = Path(__file__).resolve().parents[4] / "roles"
NOTHING = {
    "name": "docker",
    "program": "",
    "packages": {},
    "running": False,
    "snap": "",
    "is_podman": False,
    "init": True,
}
NOTHING = {**NOTHING, "version": "", "validates": False}
DOCKER_SOURCE = {"container_engine_source": "docker", "container_engine_version": "28.5"}
MIRROR = {
    "container_engine_repository_url": "http://mirror",
    "container_engine_repository_key": "http://mirror/key.asc",
}
OLD = {**NOTHING, "program": "/usr/bin/docker", "running": True, "version": "24.0.7", "packages": {"docker-ce": "x"}}
HOSTS: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "debian-13": ("Debian", "13", "Debian", {**DOCKER_SOURCE}, {}),
    "ubuntu-24": ("Ubuntu", "24", "Debian", {**DOCKER_SOURCE, **MIRROR}, {}),
    "rhel-9": ("RedHat", "9", "RedHat", {**DOCKER_SOURCE}, {}),
    "rocky-10": ("Rocky", "10", "RedHat", {"container_engine_source": "docker"}, {}),
    "alma-8": ("AlmaLinux", "8", "RedHat", {"container_engine_name": "podman"}, {}),
    "rocky-9-old": ("Rocky", "9", "RedHat", {"nvidia_container_toolkit_version": "1.18.2"}, OLD),
}
SOURCES = "lookup('ansible.builtin.template', roles ~ '/service/templates/apt.sources.j2',"
EXPRESSIONS = {
    "repository": "{{ __container_engine_repository }}",
    "key": "{{ __container_engine_key }}",
    "plan": "{{ __container_engine_plan }}",
    "sources": f"{{{{ {SOURCES} template_vars={{'service_apt_repository': docker_repository}}) }}}}",
    "preferences": "{{ lookup('ansible.builtin.template', roles ~ '/container_engine/templates/preferences.j2') }}",
    "registries": "{{ lookup('ansible.builtin.template', roles ~ '/container_engine/templates/registries.conf.j2') }}",
    "containers": "{{ lookup('ansible.builtin.template', roles ~ '/container_engine/templates/containers.conf.j2') }}",
    "proxy": "{{ lookup('ansible.builtin.template', roles ~ '/container_engine/templates/proxy.env.j2') }}",
    "toolkit_sources": (
        f"{{{{ {SOURCES} template_vars={{'service_apt_repository': __nvidia_container_toolkit_repository}}) }}}}"
    ),
    "toolkit_missing": "{{ __nvidia_container_toolkit_missing }}",
    "toolkit_other": "{{ __nvidia_container_toolkit_other }}",
    "toolkit_free": "{{ __nvidia_container_toolkit_free }}",
}
# Module arguments of tasks that no bench runs.
TASKS = {
    "engine_dnf": ("container_engine", "install_redhat", "Install the packages"),
    "engine_repository": ("container_engine", "repository_redhat", "Add Docker's repository"),
    "toolkit_dnf": ("nvidia_container_toolkit", "install_redhat", "Install the packages"),
    "toolkit_repository": ("nvidia_container_toolkit", "repository_redhat", "Add NVIDIA's repository"),
    "toolkit_lock": ("nvidia_container_toolkit", "hold_redhat", "Lock the versions"),
}
RPM = "\n".join(
    [
        "nvidia-container-toolkit-base 1.18.1-1 hold installed",
        "nvidia-container-toolkit 1.18.2-1 install installed",
        "libnvidia-container-tools 1.18.2-1 hold installed",
    ]
)


def arguments(role: str, file: str, name: str) -> tuple[Any, dict[str, Any]]:
    """Return a task's module arguments and its own variables."""
    tasks = yaml.safe_load((ROLES / role / "tasks" / f"{file}.yml").read_text())
    (task,) = [task for task in tasks if task["name"] == name]
    (module,) = [key for key in task if key.startswith("ansible.builtin.")]
    return task[module], task.get("vars", {})


def variables(name: str) -> dict[str, Any]:
    distribution, major, family, wanted, engine = HOSTS[name]
    found: dict[str, Any] = {}
    for role in ("container_engine", "nvidia_container_toolkit"):
        for folder in ("defaults", "vars"):
            found.update(yaml.safe_load((ROLES / role / folder / "main.yml").read_text()))
    (add,) = yaml.safe_load((ROLES / "container_engine" / "tasks" / "repository_debian.yml").read_text())
    found["docker_repository"] = add["vars"]["service_apt_repository"]
    for key, task in TASKS.items():
        found[f"rendered_{key}"], own = arguments(*task)
        found.update(own)
    return {
        **found,
        "container_engine_registry_mirrors": ["https://mirror.example.com/", "http://10.0.0.1:5000"],
        "container_engine_insecure_registries": ["10.0.0.2:5000"],
        "service_proxy_environment": {"https_proxy": 'http://u:p"@proxy:3128', "no_proxy": "10.0.0.0/8"},
        "service_state_root": "/var/lib/llmfleet",
        "roles": str(ROLES),
        "ansible_connection": "local",
        "__nvidia_container_toolkit_dpkg": {"stdout_lines": RPM.splitlines() if engine else []},
        **wanted,
        "known": {
            "distribution": distribution,
            "distribution_major_version": major,
            "distribution_release": {"Debian": "trixie", "Ubuntu": "noble"}.get(distribution, "x"),
            "os_family": family,
            "architecture": "aarch64" if major == "24" else "x86_64",
            "service_mgr": "systemd",
            "container_engine_facts": engine or NOTHING,
        },
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("rendered")
    hosts = {name: variables(name) for name in HOSTS}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    wanted = {**EXPRESSIONS, **{name: f"{{{{ rendered_{name} }}}}" for name in TASKS}}
    facts = {name: f"{{{{ known.{name} }}}}" for name in variables("rhel-9")["known"]}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.set_fact": {**facts, "cacheable": True}},
            {
                "write_here": {
                    "content": "{{ told | to_json }}",
                    "dest": f"{folder}/{{{{ inventory_hostname }}}}",
                },
                "vars": {"told": wanted},
            },
        ],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    played("-i", folder / "hosts.yml", folder / "play.yml")
    return {name: json.loads((folder / name).read_text()) for name in HOSTS}


def test_repository_of_docker(rendered: dict[str, dict[str, Any]]) -> None:
    root = "https://download.docker.com/linux"
    assert {name: (told["repository"], told["key"]) for name, told in rendered.items()} == {
        "debian-13": (f"{root}/debian", f"{root}/debian/gpg"),
        "ubuntu-24": ("http://mirror/ubuntu", "http://mirror/key.asc"),
        "rhel-9": (f"{root}/rhel", f"{root}/rhel/gpg"),
        "rocky-10": (f"{root}/centos", f"{root}/centos/gpg"),
        "alma-8": (f"{root}/centos", f"{root}/centos/gpg"),
        "rocky-9-old": (f"{root}/centos", f"{root}/centos/gpg"),
    }
    sources = rendered["ubuntu-24"]["sources"].splitlines()
    assert "URIs: http://mirror/ubuntu" in sources
    assert "Suites: noble" in sources
    assert "Architectures: arm64" in sources
    assert "Components: stable" in sources
    assert sources[-1] == "Signed-By: /etc/apt/keyrings/llmfleet-docker.asc"
    assert "Pin: version 5:28.5*" in rendered["debian-13"]["preferences"]
    repository = rendered["rhel-9"]["engine_repository"]
    assert repository["baseurl"] == f"{root}/rhel/$releasever/$basearch/stable"
    assert repository["gpgcheck"] is True
    assert repository["gpgkey"] == "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-llmfleet-docker"


def test_packages_of_the_engine(rendered: dict[str, dict[str, Any]]) -> None:
    assert rendered["rhel-9"]["engine_dnf"]["name"] == ["docker-ce-28.5*", "docker-ce-cli-28.5*", "containerd.io"]
    assert rendered["rocky-10"]["engine_dnf"]["name"] == ["docker-ce", "docker-ce-cli", "containerd.io"]
    assert rendered["alma-8"]["engine_dnf"]["name"] == ["podman"]
    assert rendered["rocky-9-old"]["plan"]["install"] == []
    assert not any(told["plan"]["problems"] for told in rendered.values())


def test_podman(rendered: dict[str, dict[str, Any]]) -> None:
    told = rendered["alma-8"]
    assert 'location = "10.0.0.2:5000"\ninsecure = true\n' in told["registries"]
    assert 'location = "mirror.example.com"\ninsecure = false\n' in told["registries"]
    assert 'location = "10.0.0.1:5000"\ninsecure = true\n' in told["registries"]
    assert "log_size_max = 10485760\n" in told["containers"]
    assert 'env = ["https_proxy=http://u:p\\"@proxy:3128", "no_proxy=10.0.0.0/8"]' in told["containers"]
    assert 'https_proxy="http://u:p\\"@proxy:3128"\n' in told["proxy"]


def test_toolkit(rendered: dict[str, dict[str, Any]]) -> None:
    base = "https://nvidia.github.io/libnvidia-container/stable"
    assert f"URIs: {base}/deb/amd64" in rendered["debian-13"]["toolkit_sources"]
    flat = rendered["ubuntu-24"]["toolkit_sources"].splitlines()
    assert {f"URIs: {base}/deb/arm64", "Suites: /"} < set(flat)
    assert not any(line.startswith(("Components", "Architectures")) for line in flat)
    repository = rendered["rhel-9"]["toolkit_repository"]
    assert (repository["baseurl"], repository["repo_gpgcheck"]) == (f"{base}/rpm/$basearch", True)
    assert repository["gpgkey"] == "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-llmfleet-nvidia-container-toolkit"
    assert rendered["rhel-9"]["toolkit_dnf"]["name"] == ["nvidia-container-toolkit-base"]
    assert rendered["rhel-9"]["toolkit_missing"] == ["nvidia-container-toolkit-base"]
    assert rendered["rhel-9"]["toolkit_other"] == []


def test_toolkit_of_another_version_that_is_not_held(rendered: dict[str, dict[str, Any]]) -> None:
    told = rendered["rocky-9-old"]
    assert told["toolkit_missing"] == ["libnvidia-container1"]
    assert told["toolkit_other"] == ["nvidia-container-toolkit-base 1.18.1-1 hold installed"]
    assert told["toolkit_free"] == ["nvidia-container-toolkit 1.18.2-1 install installed"]
    assert told["toolkit_dnf"]["name"][0] == "nvidia-container-toolkit-base-1.18.2"
    assert told["toolkit_lock"]["argv"][:4] == ["dnf", "--quiet", "versionlock", "add"]
