# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import platform
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.host import processes
from ansible_collections.llmfleet.serving.plugins.modules import host_requirements_info as module
from module_runner import run_apart
from patience import Watch

HERE = {"host": "here", "problems": [], "distribution": None, "distribution_version": "", "listeners": [], "disk": []}
HERE |= {
    "memory_mib": 0,
    "instances": [],
    "containers": False,
    "python": {"path": sys.executable, "release": "", "root": "/nonexistent/python", "downloads": True},
    "pythons": [],
    "roots": ["/nonexistent/llmfleet"],
    "prefix": "llm-",
}
NOBODY = pwd.getpwuid(os.getuid()).pw_name


def sentences(**params: Any) -> list[str]:
    problems = module.check({**HERE, **params})[0]
    return [problem.sentence() for problem in problems]


@pytest.fixture(autouse=True)
def shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough of it, whatever this machine or container has."""
    monkeypatch.setattr(module, "SHARED_MEMORY", "/")


@pytest.fixture
def listener() -> Any:
    """A process of its own that listens, started through a script in the folder it is given."""
    running = []

    def start(folder: Path) -> int:
        script = folder / "listen.py"
        script.write_text(
            "import socket, time\n"
            "s = socket.create_server(('127.0.0.1', 0))\n"
            "print(s.getsockname()[1], flush=True)\n"
            "time.sleep(60)\n"
        )
        process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        return int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_host_that_is_fit() -> None:
    assert (
        sentences(
            distribution="Debian",
            distribution_version="12.11",
            memory_mib=1,
            disk=[{"path": "/nonexistent/a/b", "needed_mib": 1, "purpose": "x", "creates": None}],
            listeners=[{"name": "x", "address": "127.0.0.1", "port": free_port()}],
            instances=[{"cpu": {"cores": str(min(os.sched_getaffinity(0)))}, "source": "demo:", "path": ""}],
        )
        == []
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_of_somebody_else_is_a_problem_and_one_of_ours_is_none(tmp_path: Path, listener: Any) -> None:
    port = listener(tmp_path)
    wanted = [{"name": "litellm_port", "address": "", "port": port}]
    (sentence,) = sentences(listeners=wanted)
    assert f'here: litellm_port is "*:{port}": in use by python' in sentence
    assert "(pid " in sentence
    assert sentences(listeners=wanted, roots=[str(tmp_path)]) == []
    ours = module.check({**HERE, "roots": [str(tmp_path)]})[2]
    assert any(f"(pid {pid})" in sentence for pid in ours)


def test_a_port_of_an_orphan_of_ours_is_no_problem(tmp_path: Path, listener: Any) -> None:
    """Nothing but its user tells whose it is: no unit, no command line of ours, nobody above it."""
    port = listener(tmp_path)
    wanted = [{"name": "vllm-chat-0", "address": "", "port": port}]
    (sentence,) = sentences(listeners=wanted)
    assert f"of user {NOBODY}, which this collection did not start" in sentence
    assert sentences(listeners=wanted, prefix=NOBODY) == []


def test_shared_memory_that_does_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = [{"cpu": {"cores": ""}, "source": "demo:", "path": ""}] * 2
    monkeypatch.setattr(module, "SHARED_MEMORY", str(tmp_path / "none"))
    (sentence,) = sentences(instances=engines)
    assert f'here: free space of {tmp_path / "none"} is "0 MiB": 2 engines need 320 MiB there' in sentence
    assert sentences() == []
    assert sentences(instances=engines, containers=True) == []


def test_shared_memory_that_ours_hold_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED_MEMORY", str(tmp_path))
    monkeypatch.setattr(module.os, "statvfs", lambda path: SimpleNamespace(f_bavail=10, f_frsize=2**20))
    (tmp_path / "psm_1").write_bytes(b"x" * 2**21)
    assert module.read_shared_memory("llm-") == 10
    assert module.read_shared_memory(NOBODY) == 12


def test_everything_is_told_at_once(tmp_path: Path, listener: Any) -> None:
    port = listener(tmp_path)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 2048}')
    found = sentences(
        problems=[
            {"host": "", "variable": "llm_models", "value": 1, "problem": "p", "remedy": "r"},
            {"host": "here", "variable": "v", "value": 1, "problem": "p", "remedy": "r"},
            {"host": "elsewhere", "variable": "w", "value": 1, "problem": "p", "remedy": "r"},
        ],
        distribution="Fedora",
        distribution_version="43",
        memory_mib=10**9,
        disk=[
            {"path": str(tmp_path), "needed_mib": 10**9, "purpose": "vLLM", "creates": str(tmp_path / "none-*")},
            {"path": str(tmp_path), "needed_mib": 10**9, "purpose": "there", "creates": str(tmp_path / "*.json")},
            {"path": str(tmp_path), "needed_mib": 0, "purpose": "nothing", "creates": None},
        ],
        listeners=[{"name": "x_port", "address": "127.0.0.1", "port": port}],
        instances=[
            {
                "model": "m",
                "source": f"path:{folder}",
                "path": str(folder),
                "max_model_len": 4096,
                "args": {},
                "env": {},
                "cpu": {"cores": cores},
            }
            for folder, cores in ((tmp_path, "4095"), (tmp_path / "none", ""))
        ],
    )
    assert [sentence.partition(" is ")[0] for sentence in found] == [
        "llm_models",
        "here: v",
        "here: ansible_facts.distribution",
        "here: x_port",
        f"here: free space of {tmp_path}",
        "here: memory",
        "here: llm_cores",
        "here: llm_models[m].context",
        "here: llm_models[m].source",
    ]


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_configuration_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert module.read_config(str(tmp_path)) is None


@pytest.mark.parametrize(("limit", "total"), [("max", 4000), (str(3000 * 2**20), 3000), (str(2**62), 4000)])
def test_memory_of_a_machine_and_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, total: int
) -> None:
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    monkeypatch.setattr(module, "MEMORY_LIMITS", (str(tmp_path / "limit"), str(tmp_path / "none")))
    (tmp_path / "limit").write_text(limit + "\n")
    (tmp_path / "meminfo").write_text("MemTotal:  4096000 kB\nMemFree: 1 kB\nMemAvailable:  3584000 kB\n")
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "statm").write_text("9999 51200 1 1 0 1 0")
    ours = 51200 * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert module.read_memory({5, 6}) == {"total": total, "available": min(3500, total), "ours": ours}


def test_documentation_and_options_agree() -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]

    def agree(spec: dict[str, Any], document: dict[str, Any]) -> None:
        assert set(spec) == set(document)
        for name, option in spec.items():
            described = document[name]
            assert option.get("type", "str") == described["type"]
            for key in ("default", "required", "elements"):
                assert option.get(key) == described.get(key), (name, key)
            if "options" in option:
                agree(option["options"], described["suboptions"])

    agree(module.argument_spec(), documented)


def run(check: bool, **params: Any) -> dict[str, Any]:
    """Run the module as Ansible does, in a process of its own."""
    return run_apart("host_requirements_info", {"host": "here", "_ansible_check_mode": check, **params})


@pytest.mark.parametrize("check", [True, False])
def test_the_module_passes_and_fails_the_same_in_check_mode(check: bool) -> None:
    fit = run(check)
    assert (fit["changed"], fit["problems"]) == (False, [])
    assert fit["memory_mib"]["total"] > 0
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pythons = [
        {"program": "a", "versions": []},
        {"program": "b", "versions": [here]},
        {"program": "c", "versions": ["2.7"]},
    ]
    python = {"path": sys.executable, "release": "2.7.18", "downloads": False}
    unfit = run(
        check, distribution="Fedora", distribution_version="43", memory_mib=10**9, pythons=pythons, python=python
    )
    assert unfit["failed"]
    assert unfit["msg"].startswith("3 problems:\n  - here: ansible_facts.distribution is")
    assert [problem["host"] for problem in unfit["problems"]] == ["here"] * 3
    assert [problem["value"] for problem in unfit["problems"] if problem["variable"] == "service_python"] == [
        f"{sys.executable} (Python {platform.python_version()})"
    ]
    assert [(one["program"], one["brought"]) for one in unfit["pythons"]] == [("b", ""), ("c", "2.7.18")]


def test_a_python_that_uv_is_to_bring(tmp_path: Path) -> None:
    pythons = [{"program": "c", "versions": ["2.7"]}]
    python = {"path": sys.executable, "release": "2.7.18", "root": str(tmp_path), "downloads": True}
    assert run(False, pythons=pythons, python=python)["pythons"][0]["brought"] == "2.7.18"
    refused = run(False, pythons=pythons, python={**python, "downloads": False})
    assert "llm_python_downloads is false" in refused["msg"]
    # It was brought earlier: nothing needs to be downloaded any more.
    (tmp_path / "cpython-2.7.18-linux-x86_64-gnu/bin").mkdir(parents=True)
    (tmp_path / "cpython-2.7.18-linux-x86_64-gnu/bin/python3").touch()
    assert run(False, pythons=pythons, python={**python, "downloads": False})["problems"] == []
    broken = run(False, pythons=pythons, python={**python, "path": "/nonexistent/python"})
    assert 'service_python is "/nonexistent/python": it cannot be run' in broken["msg"]


def test_it_is_quick() -> None:
    watch = Watch()
    module.check(HERE)
    assert watch.seconds() < 2
