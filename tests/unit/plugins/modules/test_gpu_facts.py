# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module gpu_facts against programs that answer, fail, hang, flood and die as an nvidia-smi may."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.modules import gpu_facts
from module_runner import documented_options, run_module
from patience import Watch

DATA = Path(__file__).parents[1] / "module_utils" / "data" / "nvidia_smi"
ANSWERS = f"""
case "$1" in
  -q) cat {DATA}/h100.xml ;;
  -L) echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-00000000-0000-0000-0000-000000000000)' ;;
  topo) cat {DATA}/h100-mig-topo.txt ;;
  *) echo '0, GPU-00000000-0000-0000-0000-000000000000, 9.0' ;;
esac
"""
LOADED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.105.08  Mon Oct 27 10:00:00 UTC 2025\n"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a card, a driver and an nvidia-smi."""
    monkeypatch.setattr(gpu_facts, "PCI_DEVICES", str(tmp_path / "devices"))
    monkeypatch.setattr(gpu_facts, "KERNEL_MODULE", str(tmp_path / "version"))
    monkeypatch.setattr(gpu_facts, "DIRECTORIES", ())
    monkeypatch.setattr(gpu_facts.programs, "SECONDS_TO_DIE", 1.0)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path


def add_card(root: Path, address: str, vendor: str = "0x10de", kind: str = "0x030200") -> None:
    folder = root / "devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")


def add_program(root: Path, script: str) -> str:
    program = root / "bin" / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool = False, **params: Any
) -> dict[str, Any]:
    args = {**params, "_ansible_check_mode": check, "_ansible_remote_tmp": os.environ.get("TMPDIR", "/tmp")}
    result = run_module(gpu_facts.main, args, monkeypatch, capsys)
    assert not result.get("changed")
    return result


def gather(**params: Any) -> dict[str, Any]:
    return gpu_facts.gather({"nvidia_smi_path": None, "timeout": 30, **params})


def test_the_same_in_check_mode_and_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = add_program(machine, ANSWERS)
    (machine / "version").write_text(LOADED)
    results = [run(monkeypatch, capsys, check=check, fail_on_error=True) for check in (True, False, False)]
    assert results[0] == results[1] == results[2]
    found = results[0]["ansible_facts"]["gpu_facts"]
    assert (found["source"], found["error"], found["gpu_count"]) == (program, None, 1)
    assert (found["kernel_module_version"], found["kernel_module_open"]) == ("580.105.08", False)
    assert found["reboot_required"] is False
    (gpu,) = found["gpus"]
    assert (gpu["compute_capability"], gpu["numa_node"], gpu["memory_total_mib"]) == ("9.0", 0, 81559)


def test_a_machine_without_a_card_is_no_error(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_card(machine, "0000:00:02.0", vendor="0x8086", kind="0x030000")
    add_card(machine, "0000:01:00.1", kind="0x040300")
    (machine / "devices" / "0000:02:00.0").mkdir()
    result = run(monkeypatch, capsys, fail_on_error=True)
    found = result["ansible_facts"]["gpu_facts"]
    assert (found["source"], found["error"], found["gpu_count"]) == (None, None, 0)


def test_a_card_without_a_driver(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_card(machine, "0000:64:00.0")
    add_card(machine, "0000:53:00.0", kind="0x030000")
    found = run(monkeypatch, capsys)["ansible_facts"]["gpu_facts"]
    assert found["source"] is None
    assert found["error"].startswith(
        "There is an NVIDIA GPU at 0000:53:00.0 and 1 more but no program nvidia-smi: install"
    )
    failed = run(monkeypatch, capsys, fail_on_error=True, nvidia_smi_path="/nonexistent/nvidia-smi")
    assert failed["failed"]
    assert failed["msg"].startswith(f"{os.uname().nodename}: There is an NVIDIA GPU")
    assert "no program /nonexistent/nvidia-smi" in failed["msg"]
    assert failed["ansible_facts"]["gpu_facts"]["gpu_count"] == 0


def test_the_program_that_was_named(machine: Path) -> None:
    program = machine / "smi"
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Insufficient Permissions' >&2; exit 4\n")
    program.chmod(0o755)
    found = gather(nvidia_smi_path=str(program))
    assert found["source"] == str(program)
    assert found["error"].startswith("This user may not read the GPUs")


def test_a_program_that_cannot_be_started(machine: Path) -> None:
    program = add_program(machine, "")
    Path(program).write_bytes(b"\x7fELF no program at all")
    found = gather()
    assert "cannot be started (" in found["error"]
    assert (found["source"], found["gpu_count"]) == (program, 0)


def test_a_program_that_hangs_is_killed_with_its_children(machine: Path) -> None:
    add_program(machine, f"sleep 987654 & echo $! >> {machine}/pids; echo $$ >> {machine}/pids; wait")
    watch = Watch()
    found = gather(timeout=1)
    assert watch.seconds() < 4
    assert "did not answer within 1 s" in found["error"]
    assert found["gpu_count"] == 0
    pids = (machine / "pids").read_text().split()
    assert len(pids) == 8
    for pid in pids:
        assert not alive(pid)


def alive(pid: str) -> bool:
    """Tell whether a process runs; one that waits for its parent to hear of its end does not."""
    for _attempt in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.02)
    return True


def test_one_call_that_hangs_leaves_the_others(machine: Path) -> None:
    add_program(machine, f'[ "$1" = topo ] && exec sleep 987654\n{ANSWERS}')
    found = gather(timeout=1)
    assert (found["gpu_count"], found["gpus"][0]["compute_capability"]) == (1, "9.0")
    assert found["topology"]["matrix"] is None
    assert found["error"].startswith("'nvidia-smi topo -m' did not answer within 1 s")


def test_a_program_that_closes_its_output_and_stays(machine: Path) -> None:
    add_program(machine, "exec >&- 2>&-; exec sleep 987654")
    assert "did not answer within 1 s" in gather(timeout=1)["error"]


def test_one_that_no_signal_ends_is_left_behind(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_program(machine, "exec sleep 30")
    kill, spared = os.killpg, []
    monkeypatch.setattr(gpu_facts.programs.os, "killpg", lambda pid, _signal: spared.append(pid))
    monkeypatch.setattr(gpu_facts.programs, "SECONDS_TO_DIE", 0.2)
    watch = Watch()
    found = gather(timeout=1)
    assert watch.seconds() < 3
    assert "did not answer within 1 s" in found["error"]
    for pid in spared:
        kill(pid, 9)
        os.waitpid(pid, 0)


def test_a_flood_is_cut_off(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_facts.programs, "MAX_BYTES", 100_000)
    add_program(machine, "exec yes '<nvidia_smi_log>'")
    replies = gpu_facts.ask(str(machine / "bin" / "nvidia-smi"), 30)
    assert {name: len(reply.out) < 200_000 for name, reply in replies.items()} == dict.fromkeys(replies, True)
    assert gather()["gpu_count"] == 0


def test_bytes_that_are_no_text(machine: Path) -> None:
    add_program(machine, "head -c 5000 /dev/urandom; head -c 5000 /dev/urandom >&2; exit 1")
    found = gather()
    assert found["gpu_count"] == 0
    assert found["error"]
    json.dumps(found)


def test_the_calls_run_at_the_same_time(machine: Path) -> None:
    add_program(machine, f"sleep 1; {ANSWERS}")
    watch = Watch()
    assert gather()["error"] is None
    assert watch.seconds() < 3


def test_the_language_of_the_user_is_not_asked_for(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    add_program(machine, 'echo "$LC_ALL" >&2; read line && echo "$line" >&2; exit 3')
    replies = gpu_facts.ask(str(machine / "bin" / "nvidia-smi"), 30)
    assert {(reply.err, reply.code) for reply in replies.values()} == {("C\n", 3)}


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_that_is_none(
    timeout: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, capsys, timeout=timeout)["msg"].endswith(
        f": timeout is {timeout}: nvidia-smi needs time; give at least 1 second."
    )


def test_documentation_and_options_agree() -> None:
    documented = documented_options(gpu_facts)
    assert set(documented) == set(gpu_facts.ARGUMENTS)
    for name, option in gpu_facts.ARGUMENTS.items():
        assert option["type"] == documented[name]["type"]
        assert option.get("default") == documented[name].get("default")


def test_every_fact_is_documented(machine: Path) -> None:
    """What RETURN says is what the module gives, down to a MIG device and a process."""
    documented = yaml.safe_load(gpu_facts.RETURN)["ansible_facts"]["contains"]["gpu_facts"]["contains"]
    add_program(machine, ANSWERS.replace("h100.xml", "a100-mig.xml"))
    found = gather()
    assert set(found) == set(documented)
    gpu = documented["gpus"]["contains"]
    assert set(found["gpus"][0]) == set(gpu)
    assert set(found["gpus"][0]["mig_devices"][0]) == set(gpu["mig_devices"]["contains"])
    assert set(found["topology"]) == set(documented["topology"]["contains"])


def add_one_by_one(root: Path, listing: str, **answers: str) -> None:
    """A program whose XML ends at a GPU that cannot be opened, and that tells of the others one by one."""
    (root / "list").write_text(listing)
    for name, text in answers.items():
        (root / name.replace("_", "-")).write_text(text)
    script = f"""
case "$*" in
  "-q -x -i "*) cat {root}/$4 2>/dev/null || exit 15 ;;
  "-q -x") echo 'Unable to determine the device handle for GPU0000:03:00.0: Unknown Error'; exit 255 ;;
  -L) cat {root}/list; exit 255 ;;
  topo*) exit 3 ;;
  *) exit 255 ;;
esac
"""
    add_program(root, script)


def one_xml(uuid: str, address: str) -> str:
    whole = (DATA / "l40s.xml").read_text()
    now = whole[whole.index("<uuid>") + 6 : whole.index("</uuid>")]
    bus = whole[whole.index("<pci_bus_id>") + 12 : whole.index("</pci_bus_id>")]
    return whole.replace(now, uuid).replace(bus, address)


LOST = "Unable to determine the device handle for GPU0000:03:00.0: Unknown Error\n"


def test_one_lost_gpu_does_not_hide_the_others(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_one_by_one(
        machine,
        f"GPU 0: NVIDIA L40S (UUID: GPU-a)\n{LOST}GPU 2: NVIDIA L40S (UUID: GPU-c)\n",
        GPU_a=one_xml("GPU-a", "00000000:01:00.0"),
        GPU_c=one_xml("GPU-c", "00000000:05:00.0"),
    )
    result = run(monkeypatch, capsys, fail_on_error=True)
    found = result["ansible_facts"]["gpu_facts"]
    assert [(gpu["uuid"], gpu["index"], gpu["memory_total_mib"], gpu["health"]) for gpu in found["gpus"]] == [
        ("GPU-a", 0, 46068, "ok"),
        ("GPU-c", 2, 46068, "ok"),
    ]
    assert found["driver_version"]
    assert "0000:03:00.0 is out of service" in found["error"]


def test_the_others_are_asked_by_their_addresses_where_the_list_ends_too(machine: Path) -> None:
    for address in ("0000:03:00.0", "0000:05:00.0", "0000:06:00.0"):
        add_card(machine, address)
    (machine / "0000:05:00.0").write_text(one_xml("GPU-c", "00000000:05:00.0"))
    (machine / "0000:06:00.0").write_text(one_xml("GPU-d", "00000000:06:00.0"))
    add_one_by_one(machine, LOST)
    found = gather()
    assert [(gpu["uuid"], gpu["health"]) for gpu in found["gpus"]] == [("GPU-c", "ok"), ("GPU-d", "ok")]


def test_all_gpus_lost_is_an_error(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_one_by_one(machine, "GPU 0: NVIDIA L40S (UUID: GPU-a)\n")
    assert run(monkeypatch, capsys, fail_on_error=True)["failed"]
    found = gather()
    assert (found["degraded"], [gpu["health"] for gpu in found["gpus"]]) == (False, ["unknown"])
