#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gather facts about the container engine of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_engine_facts
short_description: Gather facts about the container engine of a host
version_added: 0.1.0
author: llmfleet contributors (@llmfleet)
description:
  - Asks Docker or Podman for its version, whether it answers, and whether it gives devices to containers by CDI, and
    the distribution under which package it is installed.
extends_documentation_fragment: llmfleet.serving.attributes.reads
options:
  name: {description: The engine., type: str, choices: [docker, podman], required: true}
"""

EXAMPLES = r"""
- name: See whether Docker is here
  llmfleet.serving.container_engine_facts:
    name: docker

- name: Show its version
  ansible.builtin.debug:
    var: ansible_facts['container_engine_facts']['version']
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  returned: always
  type: dict
  contains:
    container_engine_facts:
      description: The engine.
      returned: always
      type: dict
      contains:
        name: {description: The engine that was asked for., type: str, sample: docker}
        program: {description: Its client; empty where there is none., type: str, sample: /usr/bin/docker}
        init: {description: Whether containers can have an init process; Podman needs a program for it., type: bool}
        packages: {description: Version of each package that brings it., type: dict, sample: {docker.io: 26.1.5}}
        version: {description: Its version; empty where that is unknown., type: str, sample: 26.1.5+dfsg1}
        running: {description: Whether it answers., type: bool}
        cdi: {description: Whether it gives devices to containers by CDI., type: bool}
        validates: {description: Whether it can judge its configuration before it is used., type: bool}
        data_root: {description: Directory of images and containers; empty if unknown., type: str}
        is_podman: {description: Whether Podman answers in Docker's name., type: bool}
        snap: {description: Path of a Docker that is a snap; empty where it is none., type: str}
"""

import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.container_engine import (
    configuration as container_engine_configuration,
)

# A login without a profile may lack some of them.
DIRECTORIES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin")
SNAP = "/snap/bin/docker"
# Podman looks for its helpers here before it uses PATH (containers.conf, helper_binaries_dir).
HELPERS = ("/usr/libexec/podman", "/usr/local/libexec/podman", "/usr/lib/podman", "/usr/local/lib/podman")


def which(program: str, *before: str) -> str:
    """Return the path of a program; empty where there is none."""
    return shutil.which(program, path=os.pathsep.join([*before, os.environ.get("PATH", ""), *DIRECTORIES])) or ""


def output(module: AnsibleModule, program: str, *words: str) -> str:
    """Return the standard output of a program; empty if it is missing."""
    path = which(program)
    if not path:
        return ""
    _code, out, _err = module.run_command([path, *words])
    return str(out)


def packages(module: AnsibleModule, names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    if which("dpkg-query"):
        form = "${db:Status-Status} ${Package} ${Version}\n"
        printed = output(module, "dpkg-query", "--show", f"--showformat={form}", *names)
    else:
        printed = output(module, "rpm", "--query", "--queryformat", "installed %{NAME} %{VERSION}-%{RELEASE}\n", *names)
    lines = [line.split() for line in printed.splitlines()]
    found = {line[1]: line[2] for line in lines if len(line) == 3 and line[0] == "installed"}
    return {name: found[name] for name in names if name in found}


def facts(module: AnsibleModule, name: str) -> dict[str, Any]:
    """Gather all facts."""
    program = which(container_engine_configuration.PROGRAMS[name])
    snap = ""
    if name == "docker":
        snap = (
            SNAP if os.path.exists(SNAP) else program if os.path.realpath(program or "/").startswith("/snap/") else ""
        )
        found = container_engine_configuration.docker_facts(
            output(module, "docker", "info", "--format", "{{json .}}"),
            output(module, "dockerd", "--version"),
            output(module, "dockerd", "--help"),
        )
    else:
        found = container_engine_configuration.podman_facts(output(module, "podman", "version", "--format", "json"))
    return {
        "name": name,
        "program": program,
        "init": name == "docker" or bool(which("catatonit", *HELPERS)),
        "packages": packages(module, container_engine_configuration.PACKAGES[name]),
        "snap": snap,
        **found,
    }


def main() -> None:
    """Run the module."""
    spec: dict[str, Any] = {"name": {"type": "str", "choices": ["docker", "podman"], "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    module.run_command_environ_update = {"LC_ALL": "C", "LANGUAGE": "C"}
    module.exit_json(changed=False, ansible_facts={"container_engine_facts": facts(module, module.params["name"])})


if __name__ == "__main__":
    main()
