# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module nvidia_driver_facts on machines with and without cards, with dpkg and with rpm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.modules import nvidia_driver_facts
from module_runner import documented_options, run_module

LOADED = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.105.08  Release Build  (builder@host)\n"
DPKG = """\
printf 'hi \\tnvidia-open\\t580.105.08-1\\nii \\tlibcuda1\\t580.105.08-1\\nrc \\tnvidia-old\\t1\\n'
echo none >&2
exit 1
"""
RPM = "printf 'nvidia-open\\t580.105.08\\nnvidia-persistenced\\t580.105.08\\n'"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a card, a driver and any package manager."""
    monkeypatch.setattr(nvidia_driver_facts, "RECORD", str(tmp_path / "record"))
    monkeypatch.setattr(nvidia_driver_facts, "LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def add(root: Path, path: str, content: str | bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())


def add_device(root: Path, address: str, kind: str, device: str) -> None:
    for name, value in (("vendor", "0x10de"), ("class", kind), ("device", device)):
        add(root, f"sys/bus/pci/devices/{address}/{name}", f"{value}\n")


def add_program(root: Path, name: str, script: str) -> None:
    add(root, f"bin/{name}", f"#!/bin/sh\n{script}\n")
    (root / "bin" / name).chmod(0o755)


def run(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool = False
) -> dict[str, Any]:
    params = {"sysfs_root": str(root / "sys"), "proc_root": str(root / "proc")}
    args = {**params, "_ansible_check_mode": check, "_ansible_remote_tmp": str(root)}
    result = run_module(nvidia_driver_facts.main, args, monkeypatch, capsys)
    assert not result.get("failed")
    assert result["changed"] is False
    return dict(result["ansible_facts"]["nvidia_driver"])


def test_a_machine_without_a_card_is_not_asked_further(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_program(machine, "dpkg-query", f"touch {machine}/asked")
    add(machine, "proc/driver/nvidia/version", LOADED)
    found = run(machine, monkeypatch, capsys)
    assert (found["cards"], found["packages"], found["loaded_version"]) == ([], {}, None)
    assert not (machine / "asked").exists()


def test_a_machine_with_cards_and_dpkg_and_the_same_in_check_mode_and_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_device(machine, "0000:53:00.0", "0x030200", "0x2330")
    add_device(machine, "0000:05:00.0", "0x068000", "0x22a3")
    add(machine, "proc/driver/nvidia/version", LOADED)
    add(machine, f"sys/{nvidia_driver_facts.SECURE_BOOT}", b"\x06\x00\x00\x00\x01")
    add(machine, "sys/module/nouveau/refcnt", "1\n")
    add(machine, "record", '{"packages": ["nvidia-open"]}')
    add_program(machine, "dpkg-query", DPKG)
    add_program(machine, "update-initramfs", "")
    results = [run(machine, monkeypatch, capsys, check=check) for check in (True, False, False)]
    assert results[0] == results[1] == results[2]
    found = results[0]
    assert [card["architecture"] for card in found["cards"]] == ["Hopper"]
    assert found["nvswitches"] == ["0000:05:00.0"]
    assert (found["loaded_version"], found["loaded_open"], found["nouveau_loaded"]) == ("580.105.08", True, True)
    assert found["secure_boot"] is True
    assert found["packages"] == {
        "nvidia-open": {"version": "580.105.08-1", "held": True},
        "libcuda1": {"version": "580.105.08-1", "held": False},
    }
    assert (found["record"], found["initramfs"]) == (["nvidia-open"], ["update-initramfs", "-u", "-k", "all"])
    assert found["kernel"] == os.uname().release


def test_a_machine_with_rpm(machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    add_device(machine, "0000:53:00.0", "0x030200", "0x2330")
    add(machine, f"sys/{nvidia_driver_facts.SECURE_BOOT}", b"\x06\x00\x00\x00\x00")
    add(machine, "locks", "nvidia-open-3:580.105.08-1.el9.*\n")
    add_program(machine, "rpm", RPM)
    add_program(machine, "dracut", "")
    found = run(machine, monkeypatch, capsys)
    assert {name: package["held"] for name, package in found["packages"].items()} == {
        "nvidia-open": True,
        "nvidia-persistenced": False,
    }
    assert (found["secure_boot"], found["loaded_version"], found["initramfs"][0]) == (False, None, "dracut")


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"packages": "nvidia-open"}'])
def test_a_record_that_is_none(
    text: str, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(machine, "record", text)
    add_device(machine, "0000:53:00.0", "0x030200", "0x2330")
    found = run(machine, monkeypatch, capsys)
    assert (found["record"], found["packages"], found["initramfs"]) == ([], {}, [])


def test_what_was_brought_is_known_after_the_card_is_gone(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(machine, "record", '{"packages": ["nvidia-open"]}')
    add_program(machine, "dpkg-query", DPKG)
    assert "nvidia-open" in run(machine, monkeypatch, capsys)["packages"]


def test_documentation_options_and_facts_agree(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = documented_options(nvidia_driver_facts)
    assert {name: (option["type"], option["default"]) for name, option in documented.items()} == {
        name: (option["type"], option["default"]) for name, option in nvidia_driver_facts.ARGUMENTS.items()
    }
    facts = yaml.safe_load(nvidia_driver_facts.RETURN)["ansible_facts"]["contains"]["nvidia_driver"]["contains"]
    assert set(facts) == set(run(machine, monkeypatch, capsys))
