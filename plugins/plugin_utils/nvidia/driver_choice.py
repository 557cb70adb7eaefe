# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Choose the NVIDIA driver of a host: branch, kernel modules, packages, and the problems.

By distribution, architecture, cards, virtualization and Secure Boot; what the inventory says outright wins, unless it
cannot work. Branches and generations: https://docs.nvidia.com/datacenter/tesla/drivers/ and the notes of releases 580,
590 and 615. Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import driver_packages, pci_ids
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.driver_packages import System
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

SOURCES = ("nvidia", "distribution", "mirror")
MODULES = ("auto", "open", "proprietary")
# NVIDIA no longer maintains these branches.
ENDED_BRANCHES = (470, 525, 535, 550, 555, 560, 565, 570)
OPEN_ONLY_FROM = 620
# Guests that share the host's kernel, in Ansible's words.
CONTAINERS = frozenset(
    ("lxc", "openvz", "systemd-nspawn", "docker", "podman", "container", "containerd", "rocket", "virtuozzo")
)
VERSION = re.compile(r"[1-9]\d{2}\.\d{1,4}(?:\.\d{1,4})?")
UNSET = "manage the driver yourself with nvidia_driver_manage: false"


def container_guest(facts: Mapping[str, Any]) -> bool:
    """Check whether a host is a guest that shares the kernel of its host.

    :param facts: with ``virtualization_type`` and ``virtualization_role`` in Ansible's words; missing ones say no.
    """
    return facts.get("virtualization_role") == "guest" and facts.get("virtualization_type") in CONTAINERS


class Choice:
    """The choices so far for one host, and their problems."""

    def __init__(self, machine: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        self.machine = machine
        self.wanted = wanted
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.source: str = wanted["source"]
        self.version: str = wanted["version"]
        self.branch = int(wanted["branch"])
        self.modules: str = wanted["modules"]
        self.guest = self._guest()

    def refuse(self, variable: str, problem: str, remedy: str) -> None:
        """Record a problem that prevents the installation of the driver."""
        value = self.wanted.get(variable, self.machine.get(variable))
        name = f"nvidia_driver_{variable}" if variable in self.wanted else variable
        self.problems.append(Problem(name, value, problem, remedy, self.machine["host"]))

    def _guest(self) -> bool:
        told = str(self.wanted["user_space_only"]).lower()
        if told != "auto":
            return told in ("true", "yes", "on", "1")
        return container_guest(self.machine)

    def check_words(self) -> None:
        """Refuse invalid values."""
        if self.source not in SOURCES:
            self.refuse("source", "there is no such source", f"give one of {', '.join(SOURCES)}")
        if self.modules not in MODULES:
            self.refuse("modules", "there are no such modules", f"give one of {', '.join(MODULES)}")
        if self.version and not VERSION.fullmatch(self.version):
            self.refuse("version", "that is no version of the driver", "give one like 580.105.08")
        if self.source == "mirror" and not (self.wanted["repository_url"] and self.wanted["repository_key"]):
            variable = "repository_key" if self.wanted["repository_url"] else "repository_url"
            self.refuse(variable, "a mirror needs address and key", "set nvidia_driver_repository_url and _key")

    def choose_branch(self, system: System) -> None:
        """Take the branch of the version, of the host of a container guest, or of Debian's archive."""
        if self.version:
            self.branch = driver_packages.branch_of(self.version)
        if self.guest:
            loaded = self.machine["loaded_version"]
            if not loaded:
                self.refuse(
                    "loaded_version",
                    "this is a container guest, and its host shows no loaded driver in /proc/driver/nvidia/version",
                    "install the driver on the host first and make the cards available to the guest",
                )
                return
            if self.version and self.version != loaded:
                self.refuse(
                    "version", f"the host of this container guest has {loaded}", "leave it empty, or upgrade the host"
                )
            self.version, self.branch = loaded, driver_packages.branch_of(loaded)
        elif self.source == "distribution" and system.name == "debian":
            only = driver_packages.DEBIAN_BRANCHES[system.release[0]]
            if self.version and self.branch != only:
                self.refuse(
                    "version",
                    f"Debian {system.release[0]} has only branch {only}",
                    "take nvidia_driver_source: nvidia",
                )
            if self.branch != only:
                self.notes.append(f"Debian {system.release[0]} has the driver in branch {only} alone: that is taken.")
            self.branch = only
        if self.branch in ENDED_BRANCHES:
            self.notes.append(f"Branch {self.branch} of the driver has ended: NVIDIA mends nothing in it any more.")

    def generations(self) -> dict[str, pci_ids.Generation]:
        """Return the generation of each card whose id tells one, by its name and address."""
        found = {}
        for card in self.machine["cards"]:
            known = pci_ids.by_name(card["architecture"] or "")
            name = f"the card {card['pci_bus_id']} (10de:{card['device_id']}, {card['architecture'] or 'unknown'})"
            if known:
                found[name] = known
                if known is pci_ids.NEWER:
                    self.notes.append(
                        f"{name} is newer than what is known here: taken for one that needs open modules."
                    )
            elif self.modules == "auto":
                remedy = "say open (Turing and newer) or proprietary (older), and choose nvidia_driver_branch by hand"
                self.refuse("modules", f"{name} has an unknown device id", remedy)
        return found

    def choose_modules(self) -> None:
        """Choose open or proprietary kernel modules by the cards, and refuse modules that do not support a card."""
        cards = self.generations()
        old = [name for name, of in cards.items() if of.open_modules == pci_ids.NO]
        new = [name for name, of in cards.items() if of.open_modules == pci_ids.ONLY]
        if old and new:
            self.refuse(
                "modules",
                f"{old[0]} needs proprietary modules and {new[0]} needs open ones",
                f"take one out, or {UNSET}",
            )
        elif self.modules == "auto":
            self.modules = "proprietary" if old else "open"
        elif self.modules == "open" and old:
            self.refuse("modules", f"{old[0]} is not supported by open modules", "set auto or proprietary")
        elif self.modules == "proprietary" and new:
            self.refuse("modules", f"{new[0]} is supported only by open modules", "leave it at auto, or say open")
        if self.modules == "proprietary" and self.branch >= OPEN_ONLY_FROM:
            self.refuse("branch", f"from {OPEN_ONLY_FROM} on only open modules exist", "take branch 580")
        for name, of in cards.items():
            if of.newest_branch and self.branch > of.newest_branch:
                remedy = (
                    f"take branch {of.newest_branch}" if of is not pci_ids.LEGACY else f"take the card out, or {UNSET}"
                )
                self.refuse("branch", f"{name} is supported only up to branch {of.newest_branch}", remedy)
            if self.branch < of.oldest_branch:
                self.refuse(
                    "branch",
                    f"{name} is supported from branch {of.oldest_branch} on, and the choice is {self.branch}",
                    "take branch 580 and nvidia_driver_source: nvidia",
                )

    def signed_only(self, system: System) -> bool:
        """Check whether only modules that the distribution signed may be installed."""
        ubuntu = self.source == "distribution" and system.name == "ubuntu"
        return ubuntu and bool(self.machine["secure_boot"]) and not self.wanted["secure_boot_enrolled"]

    def check_secure_boot(self, system: System) -> None:
        """Refuse modules built on the host if the kernel would not load them."""
        open_to_all = not self.machine["secure_boot"] or self.wanted["secure_boot_enrolled"]
        if not open_to_all and not self.signed_only(system):
            self.refuse(
                "secure_boot",
                "Secure Boot is on, and the kernel loads no module that DKMS builds here and signs with an unknown key",
                "enroll a key (mokutil --import) and set nvidia_driver_secure_boot_enrolled: true, take the modules "
                "that Ubuntu signs (nvidia_driver_source: distribution), or switch Secure Boot off",
            )

    def fabric(self, system: System) -> tuple[str, list[str]]:
        """Return the package of the fabric manager and the packages that it needs; empty if it is not wanted."""
        told = str(self.wanted["fabric_manager"]).lower()
        subnet = any(card["nvlink_switched"] for card in self.machine["cards"])
        needed = bool(self.machine["nvswitches"]) or subnet if told == "auto" else told in ("true", "yes", "on", "1")
        if self.guest or not needed:
            return "", []
        package = driver_packages.fabric_manager(system, self.source, self.branch)
        if not package:
            self.refuse("source", "this distribution has no fabric manager", "take nvidia_driver_source: nvidia")
        elif subnet and self.source == "distribution":
            self.refuse(
                "source",
                "the NVSwitches of these cards need NVIDIA's subnet manager (nvlsm) beside the fabric manager, and "
                "this distribution does not have it: every GPU would fail with CUDA error 802",
                "take nvidia_driver_source: nvidia, or a mirror of it",
            )
        return package, ["nvlsm"] if subnet else []


def choose(machine: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the driver of one host.

    ``machine`` has host, distribution, distribution_version, architecture, kernel, virtualization_type,
    virtualization_role, cards, nvswitches, secure_boot and loaded_version; ``wanted`` the role's variables without
    their prefix. Where ``problems``, a list of ``Problem``, is not empty, nothing is to be done. A machine without a
    card is not ``needed``.
    """
    choice = Choice(machine, wanted)
    told: dict[str, Any] = {
        "needed": bool(machine["cards"]) and bool(wanted["manage"]) and machine["virtualization_type"] != "wsl",
        "problems": [],
        "notes": [],
    }
    if not told["needed"]:
        return told
    system = driver_packages.system(
        machine["distribution"], machine["distribution_version"], machine["architecture"], machine["kernel"]
    )
    choice.check_words()
    if system is None:
        what = f"{machine['distribution']} {machine['distribution_version']} on {machine['architecture']}"
        known = "Debian 12 and 13, Ubuntu 22.04, 24.04 and 26.04, RHEL and its rebuilds 8, 9 and 10; x86_64 and aarch64"
        choice.refuse("distribution", f"no driver is packaged for {what}", f"take one of {known}; or {UNSET}")
    if system is None or choice.problems:
        return {**told, "problems": choice.problems}
    if choice.source == "distribution" and system.name == "rhel":
        choice.refuse("source", "this distribution has no driver of its own", "take nvidia or mirror")
    choice.choose_branch(system)
    if not choice.guest:
        choice.choose_modules()
        choice.check_secure_boot(system)
    fabric_package, fabric_needs = choice.fabric(system)
    if choice.guest:
        packages = driver_packages.libraries(system, choice.source, choice.branch)
        if not packages and not wanted["packages"]:
            remedy = "name packages without kernel modules in nvidia_driver_packages"
            choice.refuse(
                "packages",
                "the driver's libraries cannot be installed without its kernel modules on this distribution",
                remedy,
            )
    else:
        packages = driver_packages.packages(
            system,
            choice.source,
            choice.branch,
            choice.modules,
            bool(wanted["compute_only"]),
            choice.signed_only(system),
        )
    headers = driver_packages.kernel_packages(system, choice.signed_only(system))
    stream = driver_packages.module_stream(system, choice.source, choice.branch, choice.modules)
    return {
        **told,
        "problems": choice.problems,
        "notes": [f"{machine['host']}: {note}" for note in choice.notes],
        "family": system.family,
        "distro": system.slug,
        "repository_architecture": system.architecture,
        "source": choice.source,
        "repository": (wanted["repository_url"] or driver_packages.repository(system)).rstrip("/") + "/",
        "repository_key": driver_packages.repository_key(system),
        "keyring_checksum": driver_packages.keyring_checksum(system),
        "branch": choice.branch,
        "version": choice.version,
        "modules": "none" if choice.guest else choice.modules,
        "user_space_only": choice.guest,
        "packages": list(wanted["packages"]) or packages,
        "kernel_packages": [] if choice.guest else list(wanted["kernel_packages"]) or headers,
        "pinning_package": driver_packages.pinning(system, choice.source, choice.branch, choice.version),
        "module_stream": "" if choice.guest else stream,
        "epel": "" if choice.guest else driver_packages.epel(system, choice.source),
        "fabric_manager": fabric_package,
        "fabric_packages": fabric_needs,
        # Ubuntu starts the daemon without persistence mode.
        "persistence_drop_in": system.name == "ubuntu",
        "persistence": bool(wanted["persistence"]) and not choice.guest,
    }
