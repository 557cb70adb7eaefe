# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks that no host here can run: each is rendered by Ansible with facts of such a host, and read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "nvidia_driver"
# Keys of a task that are no module.
KEYWORDS = {"name", "when", "vars", "loop", "register", "changed_when", "failed_when", "loop_control"}
FACTS: dict[str, Any] = {
    "cards": [{"pci_bus_id": "0000:53:00.0", "device_id": "2330", "architecture": "Hopper", "nvlink_switched": False}],
    "nvswitches": ["0000:05:00.0"],
    "kernel": "5.14.0-570.el9_6.x86_64",
    "secure_boot": False,
    "nouveau_loaded": False,
    "loaded_version": None,
    "loaded_open": None,
    "packages": {},
    "record": [],
    "initramfs": ["dracut", "--force"],
}
VOLTA = [{**FACTS["cards"][0], "device_id": "1db5", "architecture": "Volta"}]
B200 = [{**FACTS["cards"][0], "device_id": "2901", "architecture": "Blackwell", "nvlink_switched": True}]
INSTALLED = {
    "nvidia-open": {"version": "580.95.05", "held": True},
    "nvidia-persistenced": {"version": "580.95.05", "held": True},
}


class Case(NamedTuple):
    """A host, and the files of tasks that it is to go through."""

    distribution: str
    version: str
    wanted: dict[str, Any]
    facts: dict[str, Any]
    files: tuple[str, ...] = ("repository_dnf", "install_dnf")


UPGRADE = {"packages": INSTALLED, "loaded_version": "580.95.05", "loaded_open": True}
NEWER = {"nvidia_driver_version": "580.105.08"}
MIRROR = {
    "nvidia_driver_source": "mirror",
    "nvidia_driver_repository_url": "http://mirror/rhel8",
    "nvidia_driver_repository_key": "http://mirror/key",
    "nvidia_driver_hold": False,
}
CASES = {
    "rocky-9": Case("Rocky", "9.6", {}, {}),
    "alma-10": Case("AlmaLinux", "10.0", NEWER, {}),
    "rhel-8-mirror": Case("RedHat", "8.10", MIRROR, {"cards": VOLTA}),
    "rocky-9-upgrade": Case("Rocky", "9.6", NEWER, UPGRADE),
    "rocky-10-upgrade": Case("Rocky", "10.0", NEWER, UPGRADE),
    "rocky-9-fabric": Case("Rocky", "9.6", {}, UPGRADE, ("fabric_dnf",)),
    "rocky-9-b200": Case(
        "Rocky", "9.6", {}, {**UPGRADE, "cards": B200, "nvswitches": []}, ("fabric_dnf", "subnet_manager")
    ),
}


def conditions_of(task: dict[str, Any]) -> list[str]:
    when = task.get("when", [])
    return list(when) if isinstance(when, list) else [when]


def tasks_of(found: list[dict[str, Any]], conditions: list[str]) -> Iterator[dict[str, Any]]:
    """Yield tasks, those of blocks with the conditions of their block. What follows a failure is left out."""
    for task in found:
        when = [*conditions, *conditions_of(task)]
        if "block" in task:
            yield from tasks_of(task["block"], when)
        else:
            yield {**task, "when": when}


def tasks(name: str) -> list[dict[str, Any]]:
    """Give the tasks of a file another module, which keeps what theirs would be given."""
    found = []
    for task in tasks_of(yaml.safe_load((ROLE / "tasks" / f"{name}.yml").read_text()), [f"'{name}' in files"]):
        (module,) = set(task) - KEYWORDS
        keep = {key: task[key] for key in ("name", "loop") if key in task}
        arguments = task["vars"] if module.endswith("include_role") else task[module]
        told = {"rendered": [module.rpartition(".")[2], arguments]}
        # On the control node: no process for each task and host.
        keeping = {"told": "{{ told | default([]) + [rendered] }}"}
        variables = {**task.get("vars", {}), **told}
        found.append({**keep, "when": task["when"], "vars": variables, "ansible.builtin.set_fact": keeping})
    return found


def host_variables(case: Case) -> dict[str, Any]:
    known = {
        "distribution": case.distribution,
        "distribution_version": case.version,
        "architecture": "x86_64",
        "virtualization_type": "NA",
        "virtualization_role": "NA",
        "nvidia_driver": {**FACTS, **case.facts},
    }
    return {**case.wanted, "files": list(case.files), "known": known, "ansible_connection": "local"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Return module and arguments of every task that would run, in order, by case."""
    out = tmp_path_factory.mktemp("rendered")
    defaults, internal = (yaml.safe_load((ROLE / name / "main.yml").read_text()) for name in ("defaults", "vars"))
    hosts = {name: {**defaults, **internal, **host_variables(case)} for name, case in CASES.items()}
    inventory = out / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}, sort_keys=False))
    facts = {name: f"{{{{ known.{name} }}}}" for name in host_variables(CASES["rocky-9"])["known"]}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.set_fact": {**facts, "cacheable": True}},
            *(
                task
                for name in ("repository_dnf", "install_dnf", "fabric_dnf", "subnet_manager")
                for task in tasks(name)
            ),
            {
                "ansible.builtin.command": {
                    "argv": ["tee", f"{out}/{{{{ inventory_hostname }}}}"],
                    "stdin": "{{ told | to_json }}",
                }
            },
        ],
    }
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), "/dev/stdin"]
    text = yaml.safe_dump([play], sort_keys=False)
    result = subprocess.run(command, input=text, text=True, capture_output=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return {name: json.loads((out / name).read_text()) for name in CASES}


SERVER = "https://developer.download.nvidia.com/compute/cuda/repos"


def calls(rendered: list[Any]) -> list[str]:
    return [" ".join(args["argv"]) for module, args in rendered if module == "command"]


def installed(rendered: list[Any]) -> list[Any]:
    return [args["name"] for module, args in rendered if module == "dnf"]


def key_of(rendered: list[Any]) -> str:
    (key,) = [args["service_repository_key"] for module, args in rendered if module == "include_role"]
    assert key["variable"] == "nvidia_driver_repository_fingerprints"
    assert "610C7B14E068A878070DA4E99CD0A493D42D0685" in key["fingerprints"]
    return str(key["key"])


def test_rocky_9_takes_a_stream(rendered: dict[str, list[Any]]) -> None:
    found = rendered["rocky-9"]
    (repository,) = [args for module, args in found if module == "yum_repository"]
    assert repository["name"] == "cuda-rhel9-x86_64"
    assert repository["baseurl"] == f"{SERVER}/rhel9/x86_64/"
    assert repository["gpgkey"] == "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-llmfleet-nvidia-driver"
    assert key_of(found) == f"{SERVER}/rhel9/x86_64/D42D0685.pub"
    assert repository["gpgcheck"] is True
    assert calls(found) == [
        "dnf --assumeyes module reset nvidia-driver",
        "dnf --assumeyes module enable nvidia-driver:580-open",
    ]
    assert installed(found) == [
        "epel-release",
        "python3-dnf-plugin-versionlock",
        ["kernel-devel-5.14.0-570.el9_6.x86_64", "kernel-headers"],
        ["nvidia-open", "nvidia-persistenced"],
    ]
    assert found[-1][1]["state"] == "present"


def test_alma_10_takes_a_lock(rendered: dict[str, list[Any]]) -> None:
    found = rendered["alma-10"]
    assert calls(found) == ["dnf versionlock add *nvidia*580.105.08*"]
    assert key_of(found) == f"{SERVER}/rhel10/x86_64/CDF6BA43.pub"
    assert installed(found)[-1] == ["nvidia-open-580.105.08", "nvidia-persistenced"]


def test_rhel_8_with_an_old_card_and_a_mirror(rendered: dict[str, list[Any]]) -> None:
    found = rendered["rhel-8-mirror"]
    assert found[0][0] == "rpm_key"
    assert found[0][1]["key"].endswith("RPM-GPG-KEY-EPEL-8")
    assert found[0][1]["fingerprint"] == "94E279EB8D8F25B21810ADF121EA45AB2F86D6A1"
    (repository,) = [args for module, args in found if module == "yum_repository"]
    assert (repository["baseurl"], key_of(found)) == ("http://mirror/rhel8/", "http://mirror/key")
    assert calls(found)[-1] == "dnf --assumeyes module enable nvidia-driver:580-dkms"
    assert "python3-dnf-plugin-versionlock" not in installed(found)
    assert installed(found)[-1] == ["cuda-drivers", "nvidia-persistenced"]


@pytest.mark.parametrize(
    ("case", "last"),
    [
        ("rocky-9-upgrade", "dnf --assumeyes module enable nvidia-driver:580-open"),
        ("rocky-10-upgrade", "dnf versionlock add *nvidia*580.105.08*"),
    ],
)
def test_an_upgrade_lets_go_of_the_locks_first(case: str, last: str, rendered: dict[str, list[Any]]) -> None:
    found = rendered[case]
    assert calls(found)[0] == "dnf versionlock delete *nvidia* cuda-drivers*"
    assert calls(found)[-1] == last
    assert (found[-1][1]["state"], found[-1][1]["allow_downgrade"]) == ("latest", True)
    assert found[-1][1]["name"][0] == "nvidia-open-580.105.08"


def test_the_fabric_manager_has_the_version_of_the_driver(rendered: dict[str, list[Any]]) -> None:
    ((module, args),) = rendered["rocky-9-fabric"]
    assert (module, args["name"]) == ("dnf", ["nvidia-fabricmanager-580.95.05"])


def test_a_subnet_manager_gets_its_kernel_module_now_and_after_a_boot(rendered: dict[str, list[Any]]) -> None:
    (_dnf, packages), (_copy, file), (_command, load) = rendered["rocky-9-b200"]
    assert packages["name"] == ["nvidia-fabricmanager-580.95.05", "nvlsm"]
    assert file["dest"] == "/etc/modules-load.d/llmfleet-nvidia-driver.conf"
    assert file["content"].splitlines()[-1] == "ib_umad"
    assert (load["argv"], load["creates"]) == (["modprobe", "ib_umad"], "/sys/module/ib_umad")
