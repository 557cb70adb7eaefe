# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules around container engines, against programs that answer as the real ones do."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.modules import (
    cdi_specification,
    container_engine_facts,
    container_engine_restart,
    gpu_containers,
)
from module_runner import documented_options, run_module

NODE = os.uname().nodename
GPUS = "echo 'GPU 0: NVIDIA H100 (UUID: GPU-aaaa)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-bbbb)'"


class Bench:
    """A folder of programs, and what they were called with."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.monkeypatch, self.capsys = root, monkeypatch, capsys
        (root / "bin").mkdir()
        (root / "state").mkdir()
        monkeypatch.setenv("PATH", f"{root}/bin:/usr/bin:/bin")
        monkeypatch.setenv("STATE", str(root / "state"))

    def program(self, name: str, text: str) -> Path:
        path = self.root / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "$STATE/log"\n{text}\n')
        path.chmod(0o755)
        return path

    def calls(self) -> list[str]:
        log = self.root / "state" / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def run(self, module: ModuleType, check: bool = False, **params: Any) -> dict[str, Any]:
        args = {**params, "_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": str(self.root)}
        return run_module(module.main, args, self.monkeypatch, self.capsys)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, monkeypatch, capsys)


# ---- container_engine_facts ------------------------------


@pytest.fixture
def bare(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A machine without an engine and without a package manager."""
    monkeypatch.setattr(container_engine_facts, "DIRECTORIES", ())
    monkeypatch.setattr(container_engine_facts, "SNAP", str(bench.root / "snap"))
    monkeypatch.setenv("PATH", f"{bench.root}/bin")
    bench.program("cat", "exec /bin/cat")
    return bench


def facts(bench: Bench, name: str = "docker") -> dict[str, Any]:
    results = [bench.run(container_engine_facts, check=check, name=name) for check in (True, False)]
    assert results[0] == results[1]
    assert not results[0]["changed"]
    documented = yaml.safe_load(container_engine_facts.RETURN)["ansible_facts"]["contains"]["container_engine_facts"][
        "contains"
    ]
    found: dict[str, Any] = results[0]["ansible_facts"]["container_engine_facts"]
    assert set(found) == set(documented)
    return found


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_no_engine(bare: Bench, name: str) -> None:
    found = facts(bare, name)
    assert (found["program"], found["packages"], found["running"], found["snap"]) == ("", {}, False, "")


def test_docker_from_debian(bare: Bench) -> None:
    program = bare.program("docker", """echo '{"ServerVersion": "26.1.5", "CDISpecDirs": []}'""")
    bare.program("dockerd", "echo '  --validate  Validate daemon configuration'")
    bare.program("dpkg-query", "printf 'config-files docker-ce 5:27\\ninstalled docker.io 26.1.5-9\\n'; exit 1")
    found = facts(bare)
    assert (found["program"], found["packages"]) == (str(program), {"docker.io": "26.1.5-9"})
    assert (found["version"], found["running"], found["cdi"], found["validates"]) == ("26.1.5", True, False, True)


def test_podman_from_an_rpm(bare: Bench) -> None:
    bare.program("podman", """echo '{"Client": {"Version": "5.4.0"}}'""")
    bare.program("rpm", "echo 'installed podman 5.4.0-1.el10'")
    found = facts(bare, "podman")
    assert (found["version"], found["packages"]) == ("5.4.0", {"podman": "5.4.0-1.el10"})


def test_docker_from_snap(bare: Bench) -> None:
    (bare.root / "snap").write_text("")
    assert facts(bare)["snap"] == str(bare.root / "snap")


# ---- container_engine_restart ------------------------------

SYSTEMCTL = r"""
unit() { cat "$STATE/$1" 2>/dev/null || echo inactive; }
verb=$1; shift
case $verb in
  show) echo "ActiveState=$(unit docker.service)"; echo "MainPID=77"; echo "UnitFileState=$(unit file)" ;;
  list-units) for one in llm-a llm-b llm-venv; do echo "$one.service loaded $(unit $one.service) running x"; done ;;
  is-active) unit "$1" ;;
  start | restart)
    [ "$1" != --no-block ] || shift
    if [ -e "$STATE/broken" ] && [ "$1" = docker.service ]; then echo 'Job failed.' >&2; exit 1; fi
    for one; do [ -e "$STATE/stuck-$one" ] || echo active > "$STATE/$one"; done ;;
  stop) for one; do echo inactive > "$STATE/$one"; done ;;
  enable) echo enabled > "$STATE/file" ;;
esac
"""


@pytest.fixture
def engine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Docker, started at second 1010, with a container of two of three units."""
    bench.program("systemctl", SYSTEMCTL)
    bench.program("docker", "printf 'llm-a\\nllm-b\\nsomebody\\n'")
    bench.program("journalctl", "echo 'unable to configure the Docker daemon'")
    proc = bench.root / "proc"
    (proc / "77").mkdir(parents=True)
    ticks = os.sysconf("SC_CLK_TCK")
    (proc / "77" / "stat").write_text("77 (dockerd) S " + "0 " * 18 + f"{10 * ticks} 0")
    (proc / "stat").write_text("btime 1000\n")
    monkeypatch.setattr(container_engine_restart, "PROC", str(proc))
    monkeypatch.setattr(container_engine_restart.time, "sleep", lambda _seconds: None)
    for unit in ("docker", "llm-a", "llm-venv"):
        (bench.root / "state" / f"{unit}.service").write_text("active")
    (bench.root / "state" / "file").write_text("enabled")
    (bench.root / "daemon.json").write_text("{}")
    os.utime(bench.root / "daemon.json", (1005, 1005))
    return bench


def restart(bench: Bench, **params: Any) -> dict[str, Any]:
    files = [str(bench.root / name) for name in ("daemon.json", "never-there")]
    return bench.run(container_engine_restart, files=files, **params)


def changing(bench: Bench) -> list[str]:
    words = ("show", "list-units", "is-active")
    return [
        call.removeprefix("systemctl ")
        for call in bench.calls()
        if call.startswith("systemctl") and call.split()[1] not in words
    ]


def test_an_engine_that_runs_as_configured(engine: Bench) -> None:
    result = restart(engine)
    assert (result["changed"], result["action"], result["units"]) == (False, "none", [])
    assert changing(engine) == []


def test_drained_and_restarted(engine: Bench) -> None:
    os.utime(engine.root / "daemon.json", (1013, 1013))
    told = restart(engine, check=True)
    assert (told["changed"], told["action"], told["units"]) == (True, "restart", ["llm-a.service"])
    assert "llm-a.service: stopped, started again" in told["diff"]["after"]
    assert changing(engine) == []
    done = restart(engine)
    assert {**done, "invocation": 0} == {**told, "invocation": 0}
    assert changing(engine) == [
        "stop llm-a.service",
        "daemon-reload",
        "restart docker.service",
        "start --no-block llm-a.service",
    ]


def test_what_serves_is_not_ended(engine: Bench) -> None:
    os.utime(engine.root / "daemon.json", (1013, 1013))
    told = restart(engine, check=True, serving=["chat-0"])
    assert told["units"] == ["llm-a.service"]
    failed = restart(engine, serving=["chat-0"], host="gpu1")
    assert failed["failed"]
    assert "would end what serves here (chat-0)" in failed["msg"]
    assert "maintain.yml -e host=gpu1 -e do=driver" in failed["msg"]
    assert changing(engine) == []
    # Without containers a restart ends nothing.
    (engine.root / "state" / "llm-a.service").write_text("inactive")
    assert restart(engine, serving=["chat-0"])["action"] == "restart"


def test_restarted_because_this_run_changed_something(engine: Bench) -> None:
    engine.program("docker", "")
    assert restart(engine, changed=True)["units"] == []
    assert changing(engine) == ["daemon-reload", "restart docker.service"]


def test_an_engine_that_does_not_run_is_started(engine: Bench) -> None:
    (engine.root / "state" / "docker.service").write_text("failed")
    (engine.root / "state" / "file").write_text("disabled")
    told = restart(engine, check=True)
    assert (told["changed"], told["action"]) == (True, "start")
    assert told["diff"]["before"] == "docker.service: failed, disabled\n"
    assert changing(engine) == []
    assert restart(engine)["action"] == "start"
    assert changing(engine) == [
        "enable docker.service",
        "daemon-reload",
        "reset-failed docker.service",
        "start docker.service",
    ]
    assert not restart(engine)["changed"]


def test_an_engine_that_fails_leaves_its_units_to_systemd(engine: Bench) -> None:
    (engine.root / "state" / "broken").write_text("")
    failed = restart(engine, changed=True)
    assert failed["failed"]
    assert failed["msg"].startswith(
        f"{NODE}: 'systemctl restart docker.service' failed: Job failed; mend what the log says"
    )
    assert "unable to configure the Docker daemon" in failed["msg"]
    assert changing(engine)[-1] == "start --no-block llm-a.service"


def test_a_unit_that_does_not_come_back(engine: Bench) -> None:
    (engine.root / "state" / "stuck-llm-a.service").write_text("")
    failed = restart(engine, changed=True, timeout=1)
    assert failed["msg"].startswith(f"{NODE}: llm-a.service did not come back within 1 s after docker.service")


# ---- cdi_specification -----------------------------------------------------------------------------------------------

CTK = """
case "$*" in
  *generate*) for word; do case $word in --output=*) cp "$STATE/new" "${word#--output=}" ;; esac; done ;;
  *list) cat "$STATE"/cdi/*.yaml "$STATE"/static/*.yaml 2>/dev/null | grep '^nvidia.com' ;;
esac
"""
REFRESH = """
case $1 in
  show) case $* in
      *NeedDaemonReload) echo "NeedDaemonReload=$(cat "$STATE/old" || echo no)" ;;
      *LoadState) echo "LoadState=$(cat "$STATE/loaded")" ;;
      *) echo "UnitFileState=$(cat "$STATE/enabled")" ;;
    esac ;;
  enable) echo enabled > "$STATE/enabled" ;;
  daemon-reload) rm "$STATE/old" ;;
  restart) [ ! -e "$STATE/broken" ] || { echo 'no driver' >&2; exit 1; }; cp "$STATE/new" "$STATE/cdi/nvidia.yaml" ;;
esac
"""
NEW = "nvidia.com/gpu=0\nnvidia.com/gpu=GPU-aaaa\nnvidia.com/gpu=GPU-bbbb\nlibcuda.so.595.10\n"


@pytest.fixture
def toolkit(bench: Bench) -> Bench:
    """NVIDIA's toolkit with its unit, two GPUs, driver 595.10, no specification."""
    state = bench.root / "state"
    for name, text in (("loaded", "loaded"), ("enabled", "enabled"), ("new", NEW)):
        (state / name).write_text(text)
    (state / "cdi").mkdir()
    (state / "static").mkdir()
    bench.program("nvidia-ctk", CTK)
    bench.program("systemctl", REFRESH)
    bench.program("nvidia-smi", f"case $1 in -L)\n{GPUS}\n;;\n*) echo 595.10; echo 595.10 ;; esac")
    return bench


def specify(bench: Bench, **params: Any) -> dict[str, Any]:
    state = bench.root / "state"
    files = {"file": "cdi/nvidia.yaml", "static_file": "static/nvidia.yaml", "environment_file": "refresh.env"}
    return bench.run(cdi_specification, **{key: str(state / path) for key, path in files.items()}, **params)


def settled(bench: Bench) -> None:
    bench.calls()
    again = specify(bench)
    assert (again["changed"], again["reason"]) == (False, "")
    assert not [call for call in bench.calls() if "restart" in call or "generate" in call]


def test_a_specification_is_written(toolkit: Bench) -> None:
    told = specify(toolkit, check=True)
    assert (told["changed"], told["reason"]) == (True, "it lacks GPU-aaaa, GPU-bbbb")
    assert not (toolkit.root / "state" / "cdi" / "nvidia.yaml").exists()
    done = specify(toolkit)
    assert done["changed"]
    assert (done["gpus"], done["missing"]) == (["GPU-aaaa", "GPU-bbbb"], [])
    assert done["devices"] == ["0", "GPU-aaaa", "GPU-bbbb"]
    settled(toolkit)


def test_one_of_another_driver(toolkit: Bench) -> None:
    (toolkit.root / "state" / "cdi" / "nvidia.yaml").write_text(NEW.replace("595.10", "580.1"))
    assert specify(toolkit)["reason"] == "it is of driver 580.1, and 595.10 is installed"
    settled(toolkit)


def test_a_unit_that_changed_is_read_first(toolkit: Bench) -> None:
    (toolkit.root / "state" / "old").write_text("yes")
    assert specify(toolkit)["changed"]
    calls = toolkit.calls()
    assert calls.index("systemctl daemon-reload") < calls.index("systemctl restart nvidia-cdi-refresh.service")


def test_a_stale_one_goes(toolkit: Bench) -> None:
    state = toolkit.root / "state"
    (state / "cdi" / "nvidia.yaml").write_text(NEW)
    (state / "static" / "nvidia.yaml").write_text(NEW)
    assert str(state / "static" / "nvidia.yaml") in specify(toolkit, check=True)["diff"]["before"]
    assert (state / "static" / "nvidia.yaml").exists()
    assert specify(toolkit)["changed"]
    assert not (state / "static" / "nvidia.yaml").exists()
    settled(toolkit)


def test_one_that_the_unit_was_told_to_write_there_stays(toolkit: Bench) -> None:
    static = toolkit.root / "state" / "static" / "nvidia.yaml"
    static.write_text(NEW)
    (toolkit.root / "state" / "refresh.env").write_text(f"NVIDIA_CTK_CDI_OUTPUT_FILE_PATH={static}\n")
    settled(toolkit)
    assert static.exists()


def test_units_are_enabled(toolkit: Bench) -> None:
    (toolkit.root / "state" / "cdi" / "nvidia.yaml").write_text(NEW)
    (toolkit.root / "state" / "enabled").write_text("disabled")
    assert "nvidia-cdi-refresh.path enabled" in specify(toolkit, check=True)["diff"]["after"]
    toolkit.calls()
    assert specify(toolkit)["changed"]
    calls = toolkit.calls()
    assert "systemctl enable nvidia-cdi-refresh.path nvidia-cdi-refresh.service" in calls
    assert "systemctl start nvidia-cdi-refresh.path" in calls
    settled(toolkit)


def test_an_older_toolkit_writes_it_where_it_lasts(toolkit: Bench) -> None:
    (toolkit.root / "state" / "loaded").write_text("not-found")
    (toolkit.root / "state" / "static").rmdir()
    assert specify(toolkit)["changed"]
    assert (toolkit.root / "state" / "static" / "nvidia.yaml").read_text() == NEW
    settled(toolkit)


def test_a_gpu_without_its_mig_devices_is_told_and_changes_nothing(toolkit: Bench) -> None:
    new = NEW.replace("nvidia.com/gpu=GPU-bbbb\n", "")
    (toolkit.root / "state" / "new").write_text(new)
    (toolkit.root / "state" / "cdi" / "nvidia.yaml").write_text(new)
    result = specify(toolkit)
    assert (result["changed"], result["missing"]) == (False, ["GPU-bbbb"])


@pytest.mark.parametrize("smi", ["echo 'No devices were found'", "echo 'no driver' >&2; exit 9"])
def test_without_a_gpu_nothing_is_done(toolkit: Bench, smi: str) -> None:
    toolkit.program("nvidia-smi", smi)
    result = specify(toolkit)
    assert (result["changed"], result["gpus"]) == (False, [])


def test_a_machine_without_any_of_it(toolkit: Bench) -> None:
    for name in ("nvidia-smi", "nvidia-ctk"):
        (toolkit.root / "bin" / name).unlink()
    assert not specify(toolkit)["changed"]


def test_a_unit_that_fails(toolkit: Bench) -> None:
    (toolkit.root / "state" / "broken").write_text("")
    failed = specify(toolkit)
    assert failed["failed"]
    assert failed["msg"].startswith(f"{NODE}: 'systemctl restart nvidia-cdi-refresh.service' failed")
    assert failed["msg"].endswith("no driver; see 'journalctl -u nvidia-cdi-refresh', and run it by hand on the host.")


# ---- gpu_containers --------------------------------------------------------------------------------------------------

CONTAINERS = f"""
case "$1 $2" in
  'ps --filter') printf 'llm-a\\tGPU-aaaa\\nllm-b\\tGPU-aaaa,GPU-bbbb\\nllm-c\\tGPU-bbbb\\n' ;;
  'exec llm-a')
{GPUS}
;;
  'exec llm-b') [ ! -e "$STATE/lost" ] || {{ echo 'Failed to initialize NVML: Unknown Error'; exit 255; }}
{GPUS}
;;
  *) echo 'exec: "nvidia-smi": executable file not found in $PATH' >&2; exit 127 ;;
esac
"""


@pytest.fixture
def containers(bench: Bench) -> Bench:
    """Three containers with GPUs: one has it, one lost them, one has no nvidia-smi."""
    bench.program("docker", CONTAINERS)
    bench.program("systemctl", '[ ! -e "$STATE/broken" ] || { echo no >&2; exit 1; }; rm -f "$STATE/lost"')
    (bench.root / "state" / "lost").write_text("")
    return bench


def test_only_the_container_that_lost_its_gpus_is_restarted(containers: Bench) -> None:
    told = containers.run(gpu_containers, check=True)
    assert (told["changed"], told["lost"]) == (True, {"llm-b": ["GPU-aaaa", "GPU-bbbb"]})
    assert told["unknown"] == ["llm-c"]
    assert told["diff"]["before"] == "llm-b: lost GPU-aaaa, GPU-bbbb\n"
    assert not [call for call in containers.calls() if call.startswith("systemctl")]
    assert containers.run(gpu_containers)["lost"] == told["lost"]
    assert [call for call in containers.calls() if call.startswith("systemctl")] == ["systemctl restart llm-b.service"]
    assert not containers.run(gpu_containers)["changed"]


def test_a_unit_that_cannot_be_restarted(containers: Bench) -> None:
    (containers.root / "state" / "broken").write_text("")
    said = f"{NODE}: llm-b lost GPUs and could not be restarted: no; see 'journalctl -u llm-b'."
    assert containers.run(gpu_containers)["msg"] == said


def test_an_engine_that_does_not_answer(containers: Bench) -> None:
    containers.program("docker", "echo 'Cannot connect' >&2; exit 1")
    said = f"{NODE}: docker cannot list its containers: Cannot connect; see 'systemctl status docker'."
    assert containers.run(gpu_containers)["msg"] == said


def test_no_engine_no_containers(containers: Bench) -> None:
    assert not containers.run(gpu_containers, program="no-such-engine")["changed"]


class Module(Protocol):
    """A module with a table of its arguments."""

    ARGUMENTS: dict[str, Any]
    DOCUMENTATION: str


@pytest.mark.parametrize("module", [cdi_specification, container_engine_restart, gpu_containers])
def test_documentation_and_options_agree(module: Module) -> None:
    documented = documented_options(module)
    assert set(documented) == set(module.ARGUMENTS)
    for name, option in module.ARGUMENTS.items():
        assert option["type"] == documented[name]["type"]
        assert option.get("default") == documented[name].get("default")
