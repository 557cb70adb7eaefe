# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the chosen NVIDIA driver with the installed one: the changes that are left, and whether a reboot is needed.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import driver_packages
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# Packages that belong to a driver. They work only if all have the same version.
OURS = re.compile(
    r"(?:lib)?nvidia-.+|lib(?:cuda1|cudadebugger1|nvcuvid1|nvsdm.*|xnvctrl.*)|cuda-drivers.*|firmware-nvidia-.+"
    r"|linux-(?:modules|objects|signatures)-nvidia-.+|xserver-xorg-video-nvidia.*|kmod-nvidia-.+|xorg-x11-nvidia"
    r"|nvlsm|nvlink5.*"
)
# Packages for containers and CUDA, which have their own versions.
OTHERS = re.compile(r"(?:lib)?nvidia-container.*|nvidia-(?:docker|ctk|cuda-(?!mps)|gds|fs-dkms|dcgm|nsight).*")
OF_A_BRANCH = re.compile(r"-(\d{3})(?:-|$)")


def driver_packages_of(names: Iterable[str]) -> list[str]:
    """Return those packages that belong to the driver."""
    return sorted(name for name in names if OURS.fullmatch(name) and not OTHERS.fullmatch(name))


def _fits(version: str, choice: Mapping[str, Any]) -> bool:
    if choice["version"]:
        return bool(version == choice["version"])
    return bool(driver_packages.branch_of(version) == choice["branch"])


def locked(names: Mapping[str, str], locks: str) -> list[str]:
    """Return which packages, of names to versions, a versionlock.list of dnf keeps at their version."""
    lines = [line.strip() for line in locks.splitlines() if not line.lstrip().startswith(("#", "!"))]
    found = []
    for name, version in names.items():
        lock = re.compile(rf"{re.escape(name)}-(?:\d+:)?{re.escape(version)}-.*")
        found += [name] if any(lock.fullmatch(line) for line in lines) else []
    return found


def _branch_in_name(name: str) -> int:
    found = OF_A_BRANCH.search(name)
    return int(found[1]) if found else 0


def _reboot(choice: Mapping[str, Any], facts: Mapping[str, Any], installed: str) -> list[str]:
    reasons = []
    if facts["nouveau_loaded"]:
        reasons.append("the kernel runs the cards by nouveau")
    loaded = facts["loaded_version"]
    if loaded and installed and loaded != installed:
        reasons.append(f"the kernel runs version {loaded} of the driver, and {installed} is installed")
    elif loaded and installed and facts["loaded_open"] is not (choice["modules"] == "open"):
        kind = "open" if facts["loaded_open"] else "proprietary"
        reasons.append(f"the kernel runs the {kind} modules, and the {choice['modules']} ones are installed")
    return reasons


def compare(choice: Mapping[str, Any], facts: Mapping[str, Any], hold: bool) -> dict[str, Any]:
    """Return the changes that are left on a host: ``choice`` is the chosen driver, ``facts`` are those read there.

    ``install`` and ``upgrade`` are about the driver itself; ``installed`` is its version, empty where it is not there.
    A driver that somebody else installed and that fits is kept (``adopted``); one that does not is a problem.
    """
    packages = facts["packages"]
    present = driver_packages_of(packages)
    ours = driver_packages_of(facts["record"])
    main = choice["packages"][0]
    installed = driver_packages.upstream(packages[main]["version"]) if main in packages else ""
    loaded = facts["loaded_version"] or ""
    foreign = bool(loaded) and not installed and not ours and not choice["user_space_only"]
    adopted = foreign and _fits(loaded, choice)
    problems = []
    if foreign and not adopted:
        wanted = "version" if choice["version"] else "branch"
        text = f"a driver {loaded} that was not installed from here is loaded"
        branch = f"set nvidia_driver_branch: {driver_packages.branch_of(loaded)} to keep it"
        remedy = f"remove it and reboot, {branch}, or set nvidia_driver_manage: false"
        problems.append(Problem(f"nvidia_driver_{wanted}", choice[wanted], text, remedy))
    fits = bool(installed) and _fits(installed, choice)
    missing = [name for name in choice["packages"] if name not in packages]
    install = not foreign and not (fits and not missing)
    running = loaded if adopted else installed
    fabric = choice["fabric_manager"]
    fabric_version = driver_packages.upstream(packages[fabric]["version"]) if fabric in packages else ""
    lacks_fabric = bool(fabric) and (
        fabric_version != running or any(name not in packages for name in choice["fabric_packages"])
    )
    # The pin of the previous version is left out, because apt would remove the new one for it.
    candidates = [name for name in present if not name.startswith("nvidia-driver-pinning-")]
    superseded = [name for name in candidates if _branch_in_name(name) not in (0, choice["branch"])]
    kept = {name for name in candidates if name not in superseded}
    return {
        "problems": problems,
        "installed": running,
        "adopted": adopted,
        "install": install,
        # The running kernel module does not work with the new packages: nothing could use the cards until a reboot.
        "upgrade": install and not fits and bool(loaded) and not choice["user_space_only"],
        "upgrade_packages": sorted(kept | set(choice["packages"])) if installed and not fits else choice["packages"],
        # From 590 on Ubuntu's packages have no branch in their names, so for apt the old ones conflict with the new.
        "superseded": superseded if install else [],
        "held": [name for name in present if packages[name]["held"]],
        "to_hold": [name for name in present if not packages[name]["held"]] if hold else [],
        "fabric_install": lacks_fabric,
        "reboot": [] if choice["user_space_only"] or adopted else _reboot(choice, facts, running),
        "load": not choice["user_space_only"] and not loaded and not facts["nouveau_loaded"],
    }


def new_packages(before: Iterable[str], after: Iterable[str], record: Iterable[str]) -> list[str]:
    """Return the packages to record as ours: earlier ones that are still installed, and new ones."""
    now = set(after)
    return sorted((now - set(before)) | (now & set(record)))
