# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left to do on a host, by what was chosen and what is there."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import driver_state

CHOICE: dict[str, Any] = {
    "branch": 580,
    "version": "",
    "modules": "open",
    "packages": ["nvidia-open", "nvidia-persistenced"],
    "user_space_only": False,
    "fabric_manager": "",
    "fabric_packages": [],
}
INSTALLED = {
    "nvidia-open": "580.105.08-1",
    "nvidia-persistenced": "580.105.08-1",
    "libcuda1": "580.105.08-1",
    "nvidia-container-toolkit": "1.18.0-1",
    "dkms": "3.0.10-8",
}


def facts(installed: dict[str, str] | None = None, loaded: str | None = None, **more: Any) -> dict[str, Any]:
    packages = INSTALLED if installed is None else installed
    return {
        "packages": {name: {"version": version, "held": False} for name, version in packages.items()},
        "record": [],
        "nouveau_loaded": False,
        "loaded_version": loaded,
        "loaded_open": True if loaded else None,
        **more,
    }


def compare(found: dict[str, Any], hold: bool = True, **choice: Any) -> dict[str, Any]:
    return driver_state.compare({**CHOICE, **choice}, found, hold)


def test_a_bare_host() -> None:
    state = compare(facts({}))
    assert (state["install"], state["upgrade"], state["installed"], state["adopted"]) == (True, False, "", False)
    assert state["upgrade_packages"] == CHOICE["packages"]
    assert (state["to_hold"], state["held"], state["reboot"], state["problems"]) == ([], [], [], [])
    assert state["load"]


def test_a_host_that_is_as_it_should_be() -> None:
    found = facts(loaded="580.105.08")
    for package in found["packages"].values():
        package["held"] = True
    state = compare(found)
    assert not state["install"]
    assert (state["to_hold"], state["reboot"], state["load"]) == ([], [], False)
    assert state["held"] == ["libcuda1", "nvidia-open", "nvidia-persistenced"]


def test_what_is_held_is_the_driver_and_nothing_else() -> None:
    assert compare(facts())["to_hold"] == ["libcuda1", "nvidia-open", "nvidia-persistenced"]
    assert compare(facts(), hold=False)["to_hold"] == []


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("nvidia-driver-pinning-580", True),
        ("linux-modules-nvidia-580-server-open-generic", True),
        ("xserver-xorg-video-nvidia-580", True),
        ("firmware-nvidia-gsp", True),
        ("cuda-drivers-580", True),
        ("kmod-nvidia-open-dkms", True),
        ("nvidia-fabricmanager", True),
        ("nvlsm", True),
        ("nvidia-cuda-mps", True),
        ("libnvidia-container1", False),
        ("nvidia-container-toolkit-base", False),
        ("nvidia-cuda-toolkit", False),
        ("cuda-keyring", False),
        ("dkms", False),
    ],
)
def test_packages_of_the_driver(name: str, ours: bool) -> None:
    assert driver_state.driver_packages_of([name]) == ([name] if ours else [])


def test_a_package_is_missing() -> None:
    state = compare(facts({"nvidia-open": "580.105.08-1"}, loaded="580.105.08"))
    assert (state["install"], state["upgrade"]) == (True, False)


@pytest.mark.parametrize(
    ("choice", "install"),
    [
        ({"version": "580.105.08"}, False),
        ({"version": "580.95.05"}, True),
        ({"branch": 595}, True),
    ],
)
def test_another_version_is_wanted(choice: dict[str, Any], install: bool) -> None:
    state = compare(facts(loaded="580.105.08"), **choice)
    assert (state["install"], state["upgrade"]) == (install, install)
    stopped = compare(facts(), **choice)
    assert (stopped["install"], stopped["upgrade"]) == (install, False)
    if install:
        assert state["upgrade_packages"] == ["libcuda1", "nvidia-open", "nvidia-persistenced"]


def test_the_pin_of_the_version_before_is_not_asked_for() -> None:
    found = facts({"nvidia-open": "580.95.05-1", "nvidia-driver-pinning-580.95.05": "580.95.05-1"})
    state = compare(found, version="580.105.08")
    assert state["upgrade_packages"] == ["nvidia-open", "nvidia-persistenced"]


def test_packages_of_another_branch_are_not_kept() -> None:
    found = facts({"nvidia-open": "580.105.08-1", "libnvidia-compute-580": "580.105.08-1", "nvidia-dkms-open": "1"})
    state = compare(found, branch=595)
    assert state["upgrade_packages"] == ["nvidia-dkms-open", "nvidia-open", "nvidia-persistenced"]
    assert state["superseded"] == ["libnvidia-compute-580"]
    assert compare(found)["superseded"] == []


def test_the_pin_of_another_branch_is_no_package_in_the_way() -> None:
    found = facts({"nvidia-open": "580.105.08-1", "nvidia-driver-pinning-580": "580-1"})
    assert compare(found, branch=595)["superseded"] == []


def test_a_driver_of_somebody_else_is_kept_where_it_fits() -> None:
    found = facts({"nvidia-driver-580-server": "580.95.05-0ubuntu1"}, loaded="580.95.05", loaded_open=False)
    state = compare(found)
    assert (state["adopted"], state["install"], state["installed"], state["reboot"]) == (True, False, "580.95.05", [])
    assert state["to_hold"] == ["nvidia-driver-580-server"]


def test_a_driver_of_somebody_else_that_does_not_fit_is_refused() -> None:
    (problem,) = compare(facts({}, loaded="570.211.01"))["problems"]
    assert problem.sentence() == (
        "nvidia_driver_branch is 580: a driver 570.211.01 that was not installed from here is loaded; remove it and "
        "reboot, set nvidia_driver_branch: 570 to keep it, or set nvidia_driver_manage: false."
    )
    (problem,) = compare(facts({}, loaded="580.95.05"), version="580.105.08")["problems"]
    assert problem.sentence().startswith('nvidia_driver_version is "580.105.08": a driver 580.95.05')


def test_other_packages_of_our_own_are_no_strangers() -> None:
    found = facts({"cuda-drivers": "580.95.05-1"}, loaded="580.95.05", record=["cuda-drivers"])
    state = compare(found)
    assert (state["problems"], state["install"], state["upgrade"]) == ([], True, True)


def test_a_container_guest() -> None:
    libraries = ["libcuda1", "nvidia-smi"]
    guest = {"user_space_only": True, "packages": libraries, "version": "580.105.08", "modules": "none"}
    state = compare(facts({}, loaded="580.105.08", nouveau_loaded=True), **guest)
    assert (state["install"], state["upgrade"], state["load"], state["reboot"]) == (True, False, False, [])
    there = dict.fromkeys(libraries, "580.105.08-1")
    assert not compare(facts(there, loaded="580.105.08"), **guest)["install"]
    behind = dict.fromkeys(libraries, "580.95.05-1")
    state = compare(facts(behind, loaded="580.105.08"), **guest)
    assert (state["install"], state["upgrade"], state["upgrade_packages"]) == (True, False, libraries)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (facts(nouveau_loaded=True), "by nouveau"),
        (facts(loaded="580.95.05"), "runs version 580.95.05 of the driver, and 580.105.08 is installed"),
        (
            facts(loaded="580.105.08", loaded_open=False),
            "runs the proprietary modules, and the open ones are installed",
        ),
    ],
)
def test_what_a_reboot_is_for(found: dict[str, Any], words: str) -> None:
    (reason,) = compare(found)["reboot"]
    assert words in reason
    assert not compare(found)["load"]


def test_the_other_kind_of_modules() -> None:
    (reason,) = compare(facts(loaded="580.105.08"), modules="proprietary")["reboot"]
    assert "runs the open modules, and the proprietary ones" in reason


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({}, True),
        ({"nvidia-fabricmanager": "580.95.05-1"}, True),
        ({"nvidia-fabricmanager": "580.105.08-1"}, True),
        ({"nvidia-fabricmanager": "580.105.08-1", "nvlsm": "2025.06.11-1"}, False),
    ],
)
def test_the_fabric_manager_has_the_version_of_the_driver(more: dict[str, str], lacks: bool) -> None:
    found = facts({**INSTALLED, **more}, loaded="580.105.08")
    state = compare(found, fabric_manager="nvidia-fabricmanager", fabric_packages=["nvlsm"])
    assert state["fabric_install"] is lacks
    assert not compare(found)["fabric_install"]


LOCKS = """\
# Added lock on Mon Sep  7 10:00:00 2026
nvidia-open-3:580.105.08-1.el9.*
libnvidia-ml-580.105.08-1.el9.*
!nvidia-driver-3:580.105.08-1.el9.*
# cuda-drivers-580.105.08-1.*
kmod-nvidia-open-dkms-3:580.95.05-1.el9.*
"""


def test_locks_of_dnf() -> None:
    names = ("nvidia-open", "libnvidia-ml", "nvidia-driver", "cuda-drivers", "kmod-nvidia-open-dkms", "nvidia")
    found = driver_state.locked(dict.fromkeys(names, "580.105.08"), LOCKS)
    assert found == ["nvidia-open", "libnvidia-ml"]
    assert driver_state.locked({"nvidia-open": "1"}, "") == []


def test_what_is_remembered() -> None:
    assert driver_state.new_packages(["dkms"], ["dkms", "nvidia-open", "old"], ["old", "gone"]) == [
        "nvidia-open",
        "old",
    ]
    assert driver_state.new_packages(["dkms", "old"], ["dkms", "old"], ["old"]) == ["old"]
