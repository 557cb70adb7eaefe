# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters of the role nvidia_driver: what they hand on, and what they say of what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.filter import driver

ROOT = Path(__file__).resolve().parents[4]
FILTERS = driver.FilterModule().filters()
FACTS: dict[str, Any] = {
    "cards": [{"pci_bus_id": "0000:53:00.0", "device_id": "2330", "architecture": "Hopper", "nvlink_switched": False}],
    "nvswitches": [],
    "kernel": "6.1.0-38-amd64",
    "secure_boot": False,
    "nouveau_loaded": False,
    "loaded_version": None,
    "loaded_open": None,
    "packages": {},
    "record": [],
}
MACHINE = {
    "host": "gpu1",
    "distribution": "Debian",
    "distribution_version": "12",
    "architecture": "x86_64",
    "virtualization_type": "NA",
    "virtualization_role": "NA",
}
WANTED = {
    **dict.fromkeys(("version", "repository_url", "repository_key"), ""),
    "packages": [],
    "kernel_packages": [],
    **dict.fromkeys(("manage", "hold", "persistence"), True),
    **dict.fromkeys(("secure_boot_enrolled", "compute_only"), False),
    **dict.fromkeys(("modules", "user_space_only", "fabric_manager"), "auto"),
    "source": "nvidia",
    "branch": 580,
}


def choose(facts: dict[str, Any] | None = None, **wanted: Any) -> dict[str, Any]:
    return dict(FILTERS["nvidia_driver_choice"]({**FACTS, **(facts or {})}, MACHINE, {**WANTED, **wanted}))


def test_choice_and_what_is_left_to_do_in_one() -> None:
    found = choose()
    assert (found["packages"], found["install"]) == (["nvidia-open", "nvidia-persistenced"], True)


def test_nothing_is_left_to_do_where_nothing_is_needed_or_possible() -> None:
    assert "install" not in choose({"cards": []})
    assert "install" not in choose(branch=300)


def test_a_problem_names_the_host() -> None:
    found = choose({"loaded_version": "570.211.01", "loaded_open": True})
    (problem,) = found["problems"]
    assert (problem["host"], problem["variable"], problem["value"]) == ("gpu1", "nvidia_driver_branch", 580)
    assert problem["problem"].startswith("a driver 570.211.01")
    assert choose(branch=300)["problems"][0]["host"] == "gpu1"


def test_what_is_none() -> None:
    with pytest.raises(AnsibleFilterError, match="filter nvidia_driver_choice: KeyError 'cards': give facts"):
        FILTERS["nvidia_driver_choice"]({}, MACHINE, WANTED)


def test_the_others() -> None:
    assert FILTERS["nvidia_driver_record"]([], ["nvidia-open"], []) == ["nvidia-open"]
    assert FILTERS["nvidia_fabric_problem"]({"error": "It hangs."}) == "It hangs."


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_documentation_names_the_arguments_of_the_filter(name: str) -> None:
    document = yaml.safe_load((ROOT / f"plugins/filter/{name}.yml").read_text())["DOCUMENTATION"]
    code = FILTERS[name].__code__
    arguments = list(code.co_varnames[: code.co_argcount])
    assert list(document["options"]) == ["_input", *arguments[1:]]
    assert [part.strip() for part in document.get("positional", "").split(",") if part.strip()] == arguments[1:]


@pytest.mark.parametrize(
    ("family", "result", "said"),
    [
        (
            "dnf",
            {"failed": True, "msg": "Failed to install some of the specified packages", "failures": ["No package x."]},
            "Failed to install some of the specified packages; No package x. Mirrors keep",
        ),
        ("apt", {"failed": True, "msg": "No package matching 'linux-headers-1' is available"}, "apt full-upgrade"),
        ("apt", {"failed": True}, "no reason is given"),
    ],
)
def test_headers_that_mirrors_have_no_more(family: str, result: dict[str, Any], said: str) -> None:
    choice = {"family": family, "kernel_packages": ["linux-headers-1"]}
    text = driver.nvidia_driver_headers_problem(result, choice, "1")
    assert said in text
    assert "the running kernel 1 cannot be installed (linux-headers-1)" in text
    assert "nvidia_driver_kernel_packages" in text
