# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Choose how containers get GPUs (CDI or legacy), read the CDI specification, and find containers that lost a card."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.module_utils.versions import version_tuple

# Docker supports CDI from 25.0 on if `features.cdi` is set, from 28.2 on by default (moby/moby#49963).
DOCKER_KNOWS_CDI = (25,)
DOCKER_HAS_CDI_ON = (28, 2)
# Podman supports CDI from 4.1 on; its other methods need hook files.
PODMAN_KNOWS_CDI = (4, 1)
DEVICE = "nvidia.com/gpu="
UUID = re.compile(r"\b((?:GPU|MIG)-[0-9A-Za-z/-]+)")
LIBRARY = re.compile(r"libcuda\.so\.(\d+\.[\d.]*\d)")
OUTPUT = re.compile(r"^\s*NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=[\"']?([^\"'\s]+)", re.MULTILINE)


def gpu_mode(engine: str, version: str, wanted: str = "auto", host: str = "") -> dict[str, Any]:
    """Choose how a container engine of a version gives GPUs to containers.

    :param wanted: ``auto`` (CDI where the engine can), ``cdi`` or ``legacy``.
    :param host: the inventory's name of the host, for problems.
    :return: ``mode`` (``cdi`` or ``legacy``), ``feature`` (whether the engine has to be told to use CDI), ``problems``.
    """
    numbers = version_tuple(version)
    # A container engine that is not installed yet will be new enough, or else it is reported then.
    knows = not numbers or numbers >= (PODMAN_KNOWS_CDI if engine == "podman" else DOCKER_KNOWS_CDI)
    problems = []
    mode = wanted if wanted != "auto" else "cdi" if knows or engine == "podman" else "legacy"
    variable = "nvidia_container_toolkit_mode"
    if mode == "legacy" and engine == "podman":
        text = "Podman gives GPUs to containers by CDI alone"
        problems.append(Problem(variable, wanted, text, "set it to auto or cdi", host))
    elif mode == "cdi" and not knows:
        text = f"{engine.capitalize()} {version} does not know CDI (Docker does from 25.0 on, Podman from 4.1 on)"
        remedy = "install a newer one" + (", or set it to auto or legacy" if engine == "docker" else "")
        problems.append(Problem(variable, wanted, text, remedy, host))
    feature = mode == "cdi" and engine == "docker" and numbers < DOCKER_HAS_CDI_ON
    return {"mode": mode, "feature": feature, "problems": [problem._asdict() for problem in problems]}


def uuids(listing: str) -> list[str]:
    """Return the GPUs and MIG devices that ``nvidia-smi -L`` lists."""
    return UUID.findall(listing)


def requestable(listing: str) -> list[str]:
    """Return those of them that a container can ask for: a GPU that is cut into MIG devices is asked for by these."""
    found = uuids(listing)
    return [
        uuid
        for uuid, following in zip(found, [*found[1:], ""])
        if uuid.startswith("MIG-") or not following.startswith("MIG-")
    ]


def devices(listing: str) -> list[str]:
    """Return the names that ``nvidia-ctk cdi list`` lists, without their kind."""
    return [word[len(DEVICE) :] for word in listing.split() if word.startswith(DEVICE)]


def refresh_reason(wanted: list[str], listed: list[str], specification: str, driver: str) -> str:
    """Return why the specification must be rewritten; empty if it is current."""
    missing = [uuid for uuid in wanted if uuid not in listed]
    if missing:
        return f"it lacks {', '.join(missing)}"
    known = set(LIBRARY.findall(specification))
    if driver and known and driver not in known:
        return f"it is of driver {', '.join(sorted(known))}, and {driver} is installed"
    return ""


def output_file(environment: str) -> str:
    """Return the output path in the refresh unit's environment file; empty if it sets none."""
    found: list[str] = OUTPUT.findall(environment)
    return found[-1] if found else ""


def lost(label: str, answer: str, complaint: str, code: int) -> list[str] | None:
    """Return the GPUs that a container was given and lost; None if it cannot be checked.

    :param label: uuids joined by commas, or ``all``.
    :param answer: what ``nvidia-smi -L`` printed inside.
    :param complaint: what it, or the engine in its place, complained of.
    :param code: what it exited with; 125 to 127 mean that it was not started.
    """
    if code in (125, 126, 127) or (code and "Error response from daemon" in complaint):
        return None
    given = [name.strip() for name in label.split(",") if name.strip()]
    there = uuids(answer) if code == 0 else []
    if given == ["all"]:
        return [] if there else given
    return [name for name in given if name not in there]
