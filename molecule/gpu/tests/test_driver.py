# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On every machine with a card: the driver that its card needs, in the version asked for, loaded and kept so."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

from gpu_hosts import CASES, Case, of_driver

testinfra_hosts = [f"docker://{name}" for name in CASES]


def test_packages(case: Case, installed: dict[str, str]) -> None:
    assert case.packages <= set(installed)
    assert not case.absent & set(installed)


def test_everything_is_of_the_version_asked_for(case: Case, installed: dict[str, str]) -> None:
    versions = of_driver(installed)
    assert versions
    assert {
        package: version for package, version in versions.items() if not version.startswith(f"{case.version}-")
    } == {}


def test_module_is_loaded_and_answers(host: Any, case: Case, gpus: list[str]) -> None:
    module = host.file("/proc/driver/nvidia/version").content_string
    assert f"  {case.version}  " in module
    assert ("Open Kernel Module" in module) == (case.flavour == "open")
    assert len(set(gpus)) == case.gpus


def test_no_upgrade_touches_it(host: Any, installed: dict[str, str]) -> None:
    held = set(host.check_output("apt-mark showhold").split())
    assert set(of_driver(installed)) <= held
    for pinned in (True, False):
        # Even where somebody takes the pinning package's preferences away.
        options = "" if pinned else "-o Dir::Etc::PreferencesParts=/nonexistent"
        plan = host.check_output(f"apt-get {options} --simulate dist-upgrade")
        assert not re.search(r"^(?:Inst|Remv) \S*(?:nvidia|cuda)", plan, re.M), plan


def test_unattended_upgrades_leave_it_alone(host: Any, installed: dict[str, str]) -> None:
    dump = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    patterns = [re.compile(pattern) for pattern in re.findall(r':: "([^"]+)";', dump)]
    assert [
        package for package in of_driver(installed) if not any(pattern.match(package) for pattern in patterns)
    ] == []
    # Kernels and everything else stay the business of who runs the machine.
    assert not any(pattern.match(package) for pattern in patterns for package in ("linux-image-amd64", "openssl"))


def test_nouveau_stays_out(host: Any, name: str) -> None:
    assert not host.file("/sys/module/nouveau").exists
    kept_out = host.run("grep -rqs '^blacklist nouveau' /etc/modprobe.d").rc == 0
    assert kept_out == (name != "gpu-guest")
    if kept_out:
        assert host.check_output("cat /boot/initrd.img-*") == "without nouveau"


def test_persistence_daemon(host: Any, name: str) -> None:
    unit = host.service("nvidia-persistenced")
    if name == "gpu-guest":
        assert not unit.exists
        return
    assert unit.is_enabled
    assert unit.is_running
    modes = host.check_output("nvidia-smi --query-gpu=persistence_mode --format=csv,noheader").split()
    assert set(modes) == {"Enabled"}


def test_fabric_manager(host: Any, case: Case, installed: dict[str, str]) -> None:
    assert ("nvidia-fabricmanager" in installed) == case.fabric
    root = ET.fromstring(host.check_output("nvidia-smi -q -x"))
    states = {(gpu.findtext("fabric/state"), gpu.findtext("fabric/status")) for gpu in root.iter("gpu")}
    if not case.fabric:
        assert states == {("N/A", "N/A")}
        return
    assert installed["nvidia-fabricmanager"].startswith(f"{case.version}-")
    unit = host.service("nvidia-fabricmanager")
    assert unit.is_enabled
    assert unit.is_running
    assert states == {("Completed", "Success")}


def test_mig_layout(host: Any, name: str) -> None:
    profiles = re.findall(r"^ +MIG (\S+)", host.check_output("nvidia-smi -L"), re.M)
    wanted = ["1g.10gb", "1g.10gb", "2g.20gb", "3g.40gb"] if name == "gpu-a100" else []
    assert sorted(profiles) == wanted


def test_no_unit_failed(host: Any) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
