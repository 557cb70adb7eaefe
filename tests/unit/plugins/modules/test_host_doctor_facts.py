# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""host_doctor_facts against programs that answer, fail and hang, and against real files, sockets and processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.engine import MARK
from ansible_collections.llmfleet.serving.plugins.module_utils.host import disk_speed, libraries, programs
from ansible_collections.llmfleet.serving.plugins.modules import host_doctor_facts
from module_runner import documented_options, run_module
from patience import Watch

DATA = Path(__file__).parents[1] / "module_utils" / "data" / "nvidia_smi"
UUID = "GPU-00000000-0000-0000-0000-000000000000"
FACTS = {
    "source": None,
    "error": None,
    "driver_version": "580.105.08",
    "kernel_module_version": "580.105.08",
    "reboot_required": False,
    "gpus": [
        {
            "index": 0,
            "uuid": UUID,
            "pci_bus_id": "0000:53:00.0",
            "product_name": "NVIDIA H100 80GB HBM3",
            "health": "ok",
            "memory_total_mib": 81559,
            "memory_used_mib": 0,
            "mig_devices": [],
        }
    ],
}
ANSWER = {
    "shared_mib": 8192,
    "torch": {"version": "2.11", "cuda": "13.0", "devices": [{"name": "NVIDIA H100", "uuid": UUID[4:]}]},
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose clock is kept, whose kernel is silent and whose nvidia-smi replays one H100."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(programs, "SECONDS_TO_DIE", 0.5)
    monkeypatch.setattr(host_doctor_facts, "IOMMU_GROUPS", str(tmp_path / "iommu"))
    add(tmp_path, "nvidia-smi", f"cat {DATA}/h100.xml")
    add(tmp_path, "timedatectl", "echo yes")
    add(tmp_path, "chronyc", "exit 1")
    add(tmp_path, "journalctl", "echo 1763741000.5 host kernel: all is quiet")
    add(tmp_path, "apt-get", "exit 0")
    add(tmp_path, "dpkg-query", "exit 1")
    monkeypatch.setattr(libraries, "LISTS", str(tmp_path))
    # A demo of this machine is not examined.
    monkeypatch.setattr(libraries, "read_maps", lambda _pid: "")
    return tmp_path


def add(root: Path, name: str, script: str) -> str:
    program = root / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def engine(root: Path, answer: Any = ANSWER, script: str = "", **values: Any) -> dict[str, Any]:
    """An engine whose Python is a stand-in that gives an answer."""
    said = f"{MARK}{json.dumps(answer)}"
    program = add(
        root, "engine", script or f"cat > {root}/stdin; echo \"$@\" > {root}/asked; env > {root}/env; echo '{said}'"
    )
    return {"name": "chat-0", "python": [program], "gpus": [UUID], **values}


def instance(root: Path, **values: Any) -> dict[str, Any]:
    return {
        "name": "chat-0",
        "port": 1,
        "listen": "127.0.0.1",
        "source": f"path:{root}/model",
        "path": f"{root}/model",
        "gpus": [UUID],
        "memory": {"weights": 10**9},
        **values,
    }


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool = False, **params: Any
) -> dict[str, Any]:
    args = {
        "host": "gpu1",
        **params,
        "_ansible_check_mode": check,
        "_ansible_diff": True,
        "_ansible_remote_tmp": os.environ.get("TMPDIR", "/tmp"),
    }
    result = run_module(host_doctor_facts.main, args, monkeypatch, capsys)
    assert not result.get("changed")
    assert "diff" not in result
    return result


def params(root: Path, **values: Any) -> dict[str, Any]:
    """Options of the module with their defaults."""
    defaults = {name: option.get("default") for name, option in host_doctor_facts.ARGUMENTS.items()}
    engines = [{"ranks": None, "environment": {}, **one} for one in values.pop("engines", [])]
    return {**defaults, "host": "gpu1", "engines": engines, "models_root": str(root), **values}


def found(result: list[Any], check: str) -> list[tuple[str, str]]:
    return [(one.severity, one.found) for one in result if one.check == check]


# ---- the whole module ----------------------------------------------------------------------------------------------


def test_a_host_is_examined_once(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "model").mkdir()
    (machine / "model" / "model.safetensors").write_bytes(b"x" * 2**20)
    record = machine / "doctor.json"
    options = {
        "instances": [instance(machine)],
        "engines": [engine(machine, environment={"NCCL_DEBUG": "INFO"})],
        "gpu_facts": FACTS,
        "needs_gpus": True,
        "program": "print()",
        "state_file": str(record),
        "control_time": time.time(),
    }
    checked = run(monkeypatch, capsys, check=True, **options)
    assert not record.exists()
    first = run(monkeypatch, capsys, **options)
    assert (checked["examined"], first["examined"]) == (True, True)
    assert first["report"]["why"] == ["this host was not examined before"]
    report = first["report"]
    assert (report["errors"], report["warnings"]) == (0, 0), report
    assert {one["check"] for one in report["findings"]} == {
        "clock",
        "cuda",
        "disk",
        "driver",
        "gpu",
        "libraries",
        "port",
        "shared memory",
        "updates",
        "xid",
    }
    assert first["ansible_facts"]["doctor_start_deadlines"]["chat-0"] >= 360
    assert record.stat().st_mode & 0o777 == 0o644
    # What the engine's Python was given: the program, the request, the planned GPUs.
    assert (machine / "stdin").read_text() == "print()"
    assert (machine / "asked").read_text().startswith('- {"backend": "nccl", "ranks": 1,')
    environment = (machine / "env").read_text().splitlines()
    assert {f"CUDA_VISIBLE_DEVICES={UUID}", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "NCCL_DEBUG=INFO"} <= set(environment)

    (machine / "asked").unlink()
    second = run(monkeypatch, capsys, **options)
    assert (second["examined"], second["report"]) == (False, report)
    assert second["ansible_facts"] == first["ansible_facts"]
    assert not (machine / "asked").exists()
    assert run(monkeypatch, capsys, **options, always=True)["report"]["why"] == ["it was asked for"]
    third = run(monkeypatch, capsys, **{**options, "gpu_facts": {**FACTS, "driver_version": "595.1"}})
    assert third["examined"]
    assert third["report"]["why"][0].startswith("driver: 580.105.08")


def test_an_error_fails_where_it_is_to(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"engines": [engine(machine, {"torch": {"error": "No CUDA GPUs are available"}})], "gpu_facts": FACTS}
    told = run(monkeypatch, capsys, **options)
    assert told["report"]["errors"] == 1
    failed = run(monkeypatch, capsys, **options, fail_on_error=True)
    assert failed["failed"]
    assert failed["msg"].startswith("gpu1: cuda of chat-0: No CUDA GPUs are available; the engine sees no GPU; ")
    assert failed["report"]["findings"] == told["report"]["findings"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduce_seconds": 0}, "gpu1: reduce_seconds is 0: a test needs time; give at least 1 second."),
        (
            {"pins": [{"title": "vLLM", "version": "1", "released": "soon"}]},
            'gpu1: pins[vLLM].released is "soon": it is no date; write the date of its release, such as 2026-01-31.',
        ),
        (
            {"engines": [{"name": "chat-0", "python": []}]},
            "gpu1: engines[chat-0].python is []: nothing can be run; give its command line.",
        ),
    ],
)
def test_options_that_make_no_sense(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, capsys, **options)["msg"] == message


def test_a_host_without_gpus_is_asked_for_none(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(machine, "nvidia-smi", f"touch {machine}/was-asked")
    result = run(monkeypatch, capsys)
    assert [one["check"] for one in result["report"]["findings"]] == ["clock", "updates", "libraries"]
    assert not (machine / "was-asked").exists()


def test_a_damaged_record_is_no_record(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = machine / "doctor.json"
    record.write_text("{")
    assert run(monkeypatch, capsys, state_file=str(record))["examined"]
    assert not run(monkeypatch, capsys, state_file=str(record))["examined"]
    # Where there is no directory yet, nothing is kept and nothing fails.
    assert run(monkeypatch, capsys, state_file=str(machine / "none" / "doctor.json"))["examined"]


# ---- what hangs and fails ------------------------------------------------------------------------------------------


def test_a_hanging_nvidia_smi_hangs_nobody(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_doctor_facts, "SMI_SECONDS", 0.5)
    add(machine, "nvidia-smi", "exec sleep 987654")
    watch = Watch()
    result = host_doctor_facts.gpus(params(machine, gpu_facts=FACTS))
    assert watch.seconds() < 5
    assert [severity for severity, _found in found(result, "gpu")] == ["ok"]


def test_a_driver_that_gave_no_gpu_is_not_asked_again(machine: Path) -> None:
    add(machine, "nvidia-smi", f"touch {machine}/was-asked")
    broken = {**FACTS, "gpus": [], "error": "nvidia-smi cannot reach the driver: reboot."}
    options = params(machine, gpu_facts=broken, needs_gpus=True, engines=[engine(machine)])
    result, _sizes, _rate = host_doctor_facts.examine(options)
    assert ("error", "driver 580.105.08, kernel module 580.105.08") in found(result, "driver")
    # Every engine would only say the same.
    assert found(result, "cuda") == []
    assert not (machine / "was-asked").exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'docker: Cannot connect to the Docker daemon' >&2; exit 125", "ended with status 125: docker: Cannot"),
        ("echo hello", "no answer: hello"),
    ],
)
def test_an_engine_without_an_answer(machine: Path, script: str, words: str) -> None:
    options = params(machine, engines=[engine(machine, script=script)])
    ((severity, said),) = found(host_doctor_facts.try_engine(options["engines"][0], options), "cuda")
    assert severity == "error"
    assert words in said


def test_an_engine_that_is_not_there(machine: Path) -> None:
    options = params(machine, engines=[engine(machine, python=["/nonexistent/python"])])
    ((severity, said),) = found(host_doctor_facts.try_engine(options["engines"][0], options), "cuda")
    assert severity == "error"
    assert said.startswith("cannot be started (")


def test_gpus_in_use_are_left_alone(machine: Path) -> None:
    busy = {**FACTS, "gpus": [{**FACTS["gpus"][0], "memory_used_mib": 80000}]}
    options = params(machine, gpu_facts=busy, engines=[engine(machine)])
    ((severity, said),) = found(host_doctor_facts.try_engine(options["engines"][0], options), "cuda")
    assert (severity, said.startswith("not tried")) == ("ok", True)
    assert not (machine / "asked").exists()


def test_a_group_of_gpus(machine: Path) -> None:
    (machine / "iommu" / "0").mkdir(parents=True)
    answer = {**ANSWER, "all_reduce": {"backend": "nccl", "ok": False, "stage": "joining", "seconds": 60}}
    options = params(machine, engines=[engine(machine, answer, ranks=2)])
    ((severity, said),) = found(host_doctor_facts.try_engine(options["engines"][0], options), "all-reduce")
    assert severity == "error"
    assert "the IOMMU is on, with 1 groups" in said


# ---- disk, clock, log, ports ---------------------------------------------------------------------------------------


def test_weights_are_counted_once_and_read(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "BLOCK", 2**20)
    blobs = machine / "hub" / "models--a--b" / "blobs"
    snapshot = machine / "hub" / "models--a--b" / "snapshots" / "1"
    for folder in (blobs, snapshot):
        folder.mkdir(parents=True)
    (blobs / "0123").write_bytes(os.urandom(3 * 2**20 + 5))
    (snapshot / "model.safetensors").symlink_to(blobs / "0123")
    (snapshot / "again.safetensors").symlink_to(blobs / "0123")
    (snapshot / "gone.safetensors").symlink_to(blobs / "4567")
    (snapshot / "config.json").write_text("{}")
    one = instance(machine, source="hf://a/b", path="", gpus=[], memory=None)
    (judged,), sizes, rate = host_doctor_facts.disk(params(machine, instances=[one]))
    assert sizes == {"chat-0": 3 * 2**20 + 5}
    assert rate
    assert "MB/s" in judged.found
    assert host_doctor_facts.disk(params(machine)) == ([], {}, None)
    nothing = instance(machine, source="hf://a/none", path="")
    assert host_doctor_facts.disk(params(machine, instances=[nothing]))[1:] == ({"chat-0": 0}, None)


def test_a_disk_that_hangs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "READ_SECONDS", 0.1)
    monkeypatch.setattr(disk_speed, "measure_disk", lambda _folders: time.sleep(600))
    watch = Watch()
    (judged,), sizes, rate = host_doctor_facts.disk(params(machine, instances=[instance(machine)]))
    assert watch.seconds() < 5
    assert (judged.severity, sizes, rate) == ("error", {}, None)


@pytest.mark.parametrize(
    ("timedatectl", "chronyc", "severity", "word"),
    [
        ("echo yes", "exit 1", "ok", "kept by"),
        ("echo no", "exit 1", "warning", "not kept"),
        ("exit 1", "echo 'Leap status     : Normal'", "ok", "kept by"),
        ("exit 1", "echo 'Leap status     : Not synchronised'", "warning", "not kept"),
        ("exit 1", "exit 1", "ok", "nobody tells"),
        ("echo no", "echo 'Leap status     : Normal'", "ok", "kept by"),
    ],
)
def test_clock(machine: Path, timedatectl: str, chronyc: str, severity: str, word: str) -> None:
    add(machine, "timedatectl", timedatectl)
    add(machine, "chronyc", chronyc)
    (judged,) = host_doctor_facts.clock(params(machine))
    assert judged.severity == severity
    assert word in judged.found


SHELL = os.path.realpath("/bin/sh")
READ_MAPS = libraries.read_maps


def test_updates_that_wait_and_files_that_were_replaced(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process of ours runs a program; dpkg says whose it is, apt what waits for that, and /proc what is gone."""
    program = machine / "waits"
    program.write_text(f"#!{SHELL}\nwhile :; do sleep 9; done\n")
    add(machine, "dpkg-query", f"echo 'dash: {SHELL}'; echo 'dpkg-query: no path found' >&2; exit 1")
    waits = "Inst dash [1.0] (1.1 Debian-Security:12/oldstable-security [amd64])"
    add(machine, "apt-get", f'echo "$*" > {machine}/asked; echo "{waits}"; echo "Inst other [1] (2 Debian:12 [amd64])"')
    process = subprocess.Popen([SHELL, str(program)], start_new_session=True)
    options = params(machine, roots=[str(machine)], prefix="llm-test-")
    try:
        wait_for(lambda: SHELL in READ_MAPS(process.pid))
        monkeypatch.setattr(libraries, "read_maps", READ_MAPS)
        updates, replaced = host_doctor_facts.installed(options)
        assert (updates.severity, updates.found) == ("warning", "security updates wait for dash (1.0 -> 1.1)")
        assert replaced.severity == "ok"
        assert "--simulate" in (machine / "asked").read_text()
        monkeypatch.setattr(libraries, "read_maps", lambda pid: READ_MAPS(pid).replace(SHELL, f"{SHELL} (deleted)"))
        (replaced,) = [one for one in host_doctor_facts.installed(options) if one.check == "libraries"]
        assert replaced.severity == "warning"
        assert SHELL in replaced.found
    finally:
        os.killpg(process.pid, 9)
        process.wait()
    monkeypatch.setattr(host_doctor_facts.shutil, "which", lambda _name: None)
    assert [one.check for one in host_doctor_facts.installed(options)] == ["libraries"]


def test_what_is_not_there_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert READ_MAPS(2**22 + 1) == ""
    monkeypatch.setattr(libraries, "LISTS", str(tmp_path / "none"))
    assert libraries.lists_age() == 0


def wait_for(what: Any) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_clock_far_from_the_control_nodes(machine: Path) -> None:
    (judged,) = host_doctor_facts.clock(params(machine, control_time=time.time() - 1000))
    assert judged.severity == "error"


def test_xids_of_the_journal_or_of_dmesg(machine: Path) -> None:
    message = "NVRM: Xid (PCI:0000:53:00): 79, GPU has fallen off the bus."
    add(machine, "journalctl", f"echo '{time.time()} host kernel: {message}'")
    (judged,) = host_doctor_facts.xids(FACTS)
    assert (judged.severity, judged.subject) == ("error", "GPU 0 (NVIDIA H100 80GB HBM3)")
    add(machine, "journalctl", "exit 1")
    add(machine, "dmesg", f"echo '[ 10.5] {message}'")
    (judged,) = host_doctor_facts.xids(FACTS)
    assert "ago" in judged.found
    add(machine, "dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1")
    (judged,) = host_doctor_facts.xids(FACTS)
    assert (judged.severity, "cannot be read here" in judged.found) == ("ok", True)


def test_a_port_of_a_stranger_and_one_of_our_own(machine: Path) -> None:
    script = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout
        port = int(child.stdout.readline())
        one = instance(machine, port=port)
        (judged,) = host_doctor_facts.ports(params(machine, instances=[one], roots=["/nonexistent"]))
        assert judged.severity == "error"
        assert f"(pid {child.pid})" in judged.cause
        # It was started from one of our directories.
        folder = str(Path(sys.executable).parent)
        (judged,) = host_doctor_facts.ports(params(machine, instances=[one], roots=[folder]))
        assert judged.severity == "ok"
    finally:
        child.kill()
        child.wait()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (judged,) = host_doctor_facts.ports(params(machine, instances=[instance(machine, port=free.getsockname()[1])]))
        assert judged.severity == "ok"


def test_documentation_and_options_agree() -> None:
    documented = documented_options(host_doctor_facts)

    def compare(options: dict[str, Any], described: dict[str, Any]) -> None:
        assert set(described) == set(options)
        for name, option in options.items():
            assert option["type"] == described[name]["type"]
            assert option.get("default") == described[name].get("default")
            assert bool(option.get("required")) == bool(described[name].get("required"))
            compare(option.get("options") or {}, described[name].get("suboptions") or {})

    compare(host_doctor_facts.ARGUMENTS, documented)


def test_every_result_is_documented(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documented = yaml.safe_load(host_doctor_facts.RETURN)
    result = run(monkeypatch, capsys)
    assert set(documented) == set(result) - {"changed", "invocation"}
    assert set(documented["report"]["contains"]) == set(result["report"])
