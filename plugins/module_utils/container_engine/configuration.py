# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of a container engine, and the changes that a host needs for the wanted one."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.module_utils.versions import version_tuple

# Package names of container engines in distributions and in Docker's repository; an installed one is kept.
PACKAGES = {"docker": ("docker-ce", "docker.io", "moby-engine"), "podman": ("podman",)}
PROGRAMS = {"docker": "docker", "podman": "podman"}
DEBIAN = ("Debian", "Ubuntu")
RED_HAT = ("RedHat", "Rocky", "AlmaLinux", "OracleLinux", "CentOS")


def docker_facts(info: str, dockerd: str, options: str) -> dict[str, Any]:
    """Return facts from the output of ``docker info``, ``dockerd --version`` and ``dockerd --help``.

    A daemon that does not run is told of by what its program says.
    """
    try:
        said = json.loads(info)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    running = bool(said.get("ServerVersion"))
    on_disk = re.search(r"version ([^\s,]+)", dockerd)
    return {
        "version": said.get("ServerVersion") or (on_disk.group(1) if on_disk else ""),
        "running": running,
        "cdi": bool(said.get("CDISpecDirs")),
        "validates": "--validate" in options,
        "data_root": said.get("DockerRootDir") or "",
        # If the package podman-docker is installed, the command `docker` is Podman, whose output has another format.
        "is_podman": "host" in said and not running,
    }


def podman_facts(version: str) -> dict[str, Any]:
    """Return facts from the output of ``podman version --format json``."""
    try:
        said = json.loads(version)["Client"]["Version"]
    except (ValueError, KeyError, TypeError):
        said = ""
    return {
        "version": said,
        "running": bool(said),
        "cdi": version_tuple(said) >= (4, 1),
        "validates": False,
        "data_root": "",
        "is_podman": False,
    }


def wanted_packages(name: str, source: str, distribution: str, major: int) -> list[str]:
    """Return the packages of a container engine on a distribution."""
    debian = distribution in DEBIAN
    if name == "podman":
        # Debian's package only recommends what containers with their own network, and those with --init, need.
        needed = ["podman", "crun", "netavark", "aardvark-dns", "catatonit", "ca-certificates"]
        return needed if debian else ["podman"]
    if source == "docker":
        engine = ["docker-ce", "docker-ce-cli", "containerd.io"]
    else:
        # Debian 13 has a separate package for the client, which docker.io only recommends.
        engine = ["docker.io", "docker-cli"] if distribution == "Debian" and major >= 13 else ["docker.io"]
    return engine + (["iptables", "ca-certificates"] if debian else [])


def container_engine_plan(
    found: dict[str, Any],
    host: dict[str, str],
    name: str,
    source: str,
    version: str = "",
) -> dict[str, Any]:
    """Return what a host needs for a container engine, or why it cannot have one.

    :param found: what the module ``container_engine_facts`` found.
    :param host: ``name``, ``distribution``, ``major`` (version), ``service_mgr``.
    :return: ``problems`` (empty where there is none), ``manage`` (whether this host's engine is ours to install and
        restart), ``install`` (packages), ``repository`` (whether Docker's is needed), ``version`` (to install).
    """
    plan: dict[str, Any] = {"problems": [], "manage": True, "install": [], "repository": False, "version": ""}
    problem: Problem | None = None
    if found["snap"] and name == "docker":
        text = f"Docker is installed as a snap ({found['snap']}), which sees neither GPUs nor our directories"
        remedy = "remove it with 'snap remove --purge docker' (images and volumes go with it)"
        problem = Problem("container_engine_name", name, text, remedy)
    elif found["is_podman"] and name == "docker":
        remedy = "remove the package podman-docker, or set container_engine_name: podman"
        problem = Problem("container_engine_name", name, "the program 'docker' on this host belongs to Podman", remedy)
    elif host["service_mgr"] != "systemd":
        plan["manage"] = False
        if not found["running"]:
            text = f"no {name} answers here, and without systemd as PID 1 the collection starts none"
            remedy = f"start {name} yourself, or set llm_package: native for this host"
            problem = Problem("container_engine_name", name, text, remedy)
    elif not found["packages"] and not found["program"]:
        problem = refusal(name, source, host["distribution"], f"{host['distribution']} {host['major']}")
        plan["install"] = [] if problem else wanted_packages(name, source, host["distribution"], major(host))
        plan["repository"] = bool(plan["install"]) and name == "docker" and source == "docker"
    elif not found["init"] and host["distribution"] in DEBIAN:
        # This package is also installed if the container engine is kept, because no service starts without it.
        plan["install"] = ["catatonit"]
    if plan["manage"] and not problem and version:
        plan.update(change_of_version(found["packages"], version, source))
    if problem:
        plan["problems"] = [problem._replace(host=host["name"])._asdict()]
    return plan


def major(host: dict[str, str]) -> int:
    """Return the distribution's major version as a number; 0 where it has none."""
    return (version_tuple(str(host["major"])) or (0,))[0]


def refusal(name: str, source: str, distribution: str, on: str) -> Problem | None:
    """Return why a distribution cannot have the container engine.

    :param on: the distribution with its version, for the message.
    """
    if distribution not in (*DEBIAN, *RED_HAT):
        text = f"how to install {name} on {on} is unknown here"
        return Problem("container_engine_name", name, text, "install it yourself, because an installed one is used")
    if name == "docker" and source == "distribution" and distribution in RED_HAT:
        remedy = "set it to docker, which is Docker's repository, or set container_engine_name: podman"
        return Problem("container_engine_source", source, f"{on} has no Docker of its own", remedy)
    return None


def change_of_version(packages: dict[str, str], version: str, source: str) -> dict[str, Any]:
    """Return the version to install or to change the packages to; empty if they have it."""
    engine = next(iter(packages), "")
    if not engine:
        return {"version": version}
    # A container engine from another source is not replaced, and its versions differ from those of the wanted source.
    if matches(packages[engine], version) or (source == "docker") != (engine == "docker-ce"):
        return {}
    return {"version": version, "install": [engine, "docker-ce-cli"] if engine == "docker-ce" else [engine]}


def matches(installed: str, wanted: str) -> bool:
    """Check whether an installed version begins with the wanted one, number by number."""
    upstream = installed.partition(":")[2] or installed
    return upstream == wanted or bool(re.match(re.escape(wanted) + r"(?![0-9])", upstream))


def daemon_values(settings: dict[str, Any], mirrors: list[str], insecure: list[str], data_root: str) -> dict[str, Any]:
    """Return the collection's settings in ``daemon.json``; those of others are not included."""
    values: dict[str, Any] = {}
    if mirrors:
        values["registry-mirrors"] = mirrors
    if insecure:
        values["insecure-registries"] = insecure
    if data_root:
        values["data-root"] = data_root
    return {**values, **settings}


def registry_auths(registries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the client's configuration that logs in at registries."""
    auths = {
        "https://index.docker.io/v1/" if entry["host"] == "docker.io" else entry["host"]: {
            "auth": base64.b64encode(f"{entry['username']}:{entry.get('password', '')}".encode()).decode()
        }
        for entry in registries
        if entry.get("username")
    }
    return {"auths": auths} if auths else {}
