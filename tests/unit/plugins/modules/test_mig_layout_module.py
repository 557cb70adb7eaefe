# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module mig_layout against an nvidia-smi that keeps what it is told: check mode, diff, real, again, failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import mig_layout
from module_runner import documented_options, run_module

# It keeps the calls that change something, and MIG mode as a real one tells it. What "stubborn" holds takes a mode over
# after a reset, "dead" never, "busy" fails as a card does that somebody has opened.
NVIDIA_SMI = """#!/bin/sh
cd {root} || exit 1
case "$*" in
  *--query-gpu=mig.mode.current*) cat mode; exit 0 ;;
esac
echo "$*" >> calls
case "$*" in
  *"-mig 1") [ -e stubborn ] || [ -e dead ] || echo Enabled > mode ;;
  *"-mig 0") echo Disabled > mode ;;
  --gpu-reset*) [ -e dead ] || echo Enabled > mode ;;
  *-dci | *-dgi) echo 'No GPU instances found: Not Found'; exit 6 ;;
  *-cgi*) if [ -e busy ]; then echo 'In use by another client' >&2; exit 19; fi ;;
esac
"""
GPU = {
    "index": 0,
    "uuid": "GPU-0",
    "pci_bus_id": "0000:53:00.0",
    "product_name": "NVIDIA A100-SXM4-80GB",
    "mig_mode_current": "Disabled",
    "mig_devices": [],
    "processes": [],
}
WANTED = [{"card": "0", "profiles": ["1g.10gb", "3g.40gb"]}]
CUT = {**GPU, "mig_mode_current": "Enabled", "mig_devices": [{"profile": "3g.40gb"}, {"profile": "1g.10gb"}]}
STEPS = ["-i GPU-0 -mig 1", "mig -i GPU-0 -dci", "mig -i GPU-0 -dgi", "mig -i GPU-0 -cgi 3g.40gb,1g.10gb -C"]


class Host:
    """A host with one card."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.monkeypatch, self.capsys = root, monkeypatch, capsys
        self.program = root / "nvidia-smi"
        self.program.write_text(NVIDIA_SMI.format(root=root))
        self.program.chmod(0o755)
        (root / "mode").write_text("Disabled\n")

    def run(self, gpu: dict[str, Any], check: bool = False, layout: Any = None) -> dict[str, Any]:
        args = {
            "layout": WANTED if layout is None else layout,
            "gpus": [gpu],
            "nvidia_smi_path": str(self.program),
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            "_ansible_remote_tmp": str(self.root),
        }
        return run_module(mig_layout.main, args, self.monkeypatch, self.capsys)

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, monkeypatch, capsys)


def test_check_mode_tells_and_changes_nothing(host: Host) -> None:
    result = host.run(GPU, check=True)
    assert (result["changed"], result["cards"], result["reboot_required"]) == (True, ["GPU-0"], False)
    assert [" ".join(words) for words in result["commands"]] == STEPS
    name = "GPU 0 (NVIDIA A100-SXM4-80GB, GPU-0)"
    assert result["diff"] == {"before": f"{name}: whole\n", "after": f"{name}: 1g.10gb, 3g.40gb\n"}
    assert host.calls == []


def test_for_real(host: Host) -> None:
    result = host.run(GPU)
    assert (result["changed"], result["reboot_required"]) == (True, False)
    assert host.calls == STEPS


@pytest.mark.parametrize("check", [True, False])
def test_what_is_as_it_should_be_is_left_alone(host: Host, check: bool) -> None:
    result = host.run(CUT, check)
    assert (result["changed"], result["cards"], result["commands"]) == (False, [], [])
    assert result["diff"] == {"before": "", "after": ""}
    assert host.calls == []


def test_mig_off(host: Host) -> None:
    host.run(CUT, layout=[{"card": "*A100*", "profiles": []}])
    assert host.calls == ["mig -i GPU-0 -dci", "mig -i GPU-0 -dgi", "-i GPU-0 -mig 0"]


def test_a_card_that_takes_mig_mode_over_at_a_reset(host: Host) -> None:
    (host.root / "stubborn").touch()
    assert host.run(GPU)["reboot_required"] is False
    assert host.calls == [STEPS[0], "--gpu-reset -i GPU-0", *STEPS[1:]]


def test_a_card_that_takes_it_over_at_a_reboot(host: Host) -> None:
    (host.root / "dead").touch()
    result = host.run(GPU)
    assert (result["changed"], result["reboot_required"]) == (True, True)
    assert host.calls == [STEPS[0], "--gpu-reset -i GPU-0"]


@pytest.mark.parametrize("check", [True, False])
def test_a_card_in_use_is_refused(host: Host, check: bool) -> None:
    result = host.run({**GPU, "processes": [{"pid": 42, "name": "vllm"}]}, check)
    assert result["failed"]
    assert "nvidia_driver_mig[0]" in result["msg"]
    assert "is in use by 42 vllm" in result["msg"]
    assert host.calls == []


def test_what_nvidia_smi_refuses(host: Host) -> None:
    (host.root / "busy").touch()
    result = host.run(GPU)
    assert result["failed"]
    assert "'nvidia-smi mig -i GPU-0 -cgi 3g.40gb,1g.10gb -C' ended with status 19, saying 'In use by" in result["msg"]
    assert "monitoring too" in result["msg"]


def test_documentation_and_options_agree() -> None:
    documented = documented_options(mig_layout)
    assert set(documented) == set(mig_layout.ARGUMENTS)
    for name, option in mig_layout.ARGUMENTS.items():
        for key in ("type", "elements"):
            assert option.get(key) == documented[name].get(key)
        assert option.get("required", False) == documented[name].get("required", False)
    assert set(documented["layout"]["suboptions"]) == set(mig_layout.ENTRY)
    assert documented["nvidia_smi_path"].get("default", "nvidia-smi") == "nvidia-smi"
