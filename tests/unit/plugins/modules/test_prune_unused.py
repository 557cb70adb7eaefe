# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module on real trees: what is in force stays, whatever names it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host.unused import is_named
from ansible_collections.llmfleet.serving.plugins.modules import prune_unused
from module_runner import run_module


@pytest.fixture
def prune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(check: bool = False) -> dict[str, Any]:
        given = {
            "candidates": [f"{tmp_path}/venvs/*-*", f"{tmp_path}/hub/models--*/snapshots/*"],
            "references": [f"{tmp_path}/units/*.service", f"{tmp_path}/etc/**", f"{tmp_path}/tools"],
            "bases": [f"{tmp_path}/python/cpython-*"],
            "base_references": [f"{tmp_path}/venvs/*/pyvenv.cfg"],
            "hub": f"{tmp_path}/hub",
            "_ansible_check_mode": check,
        }
        found = run_module(prune_unused.main, given, monkeypatch, capsys)
        return {**found, "removed": [os.path.relpath(path, tmp_path) for path in found.get("removed", [])]}

    return call


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_what_is_in_force_stays(prune: Any, tmp_path: Path, running: list[subprocess.Popen[bytes]]) -> None:
    names = ("vllm-old", "vllm-new", "vllm-new-er", "litellm-a", "tools-b", "worker-c", "other")
    for name in names:
        (tmp_path / "venvs" / name / "bin").mkdir(parents=True)
    (tmp_path / "units").mkdir()
    (tmp_path / "units/llm-vllm.service").write_text(f"ExecStart={tmp_path}/venvs/vllm-new/bin/python -m vllm\n")
    (tmp_path / "etc/litellm").mkdir(parents=True)
    (tmp_path / "etc/litellm/run").write_text(f'exec "{tmp_path}/venvs/litellm-a/bin/litellm"\n')
    (tmp_path / "tools").symlink_to(tmp_path / "venvs/tools-b")
    waiting = [
        sys.executable,
        "-c",
        "import time; print(flush=True); time.sleep(60)",
        f"{tmp_path}/venvs/worker-c/bin/x",
    ]
    running.append(subprocess.Popen(waiting, stdout=subprocess.PIPE))
    # Its command line can be read a moment after the process has started.
    assert running[-1].stdout
    assert running[-1].stdout.readline()
    gone = ["venvs/vllm-new-er", "venvs/vllm-old"]
    assert (prune(check=True)["removed"], prune(check=True)["changed"]) == (gone, True)
    assert sorted(path.name for path in (tmp_path / "venvs").iterdir()) == sorted(names)
    assert prune()["removed"] == gone
    assert sorted(path.name for path in (tmp_path / "venvs").iterdir()) == sorted(
        set(names) - {"vllm-old", "vllm-new-er"}
    )
    again = prune()
    assert (again["removed"], again["changed"], again["mib"]) == ([], False, 0)


def test_a_lock_stays_or_goes_with_the_environment_that_was_built_from_it(prune: Any, tmp_path: Path) -> None:
    for name in ("vllm-old", "vllm-new"):
        (tmp_path / "venvs" / name).mkdir(parents=True)
    for name in ("vllm-old.txt", "vllm-new.txt", "vllm-interrupted.txt"):
        (tmp_path / "venvs" / name).write_text("torch==2\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/run").write_text(f"{tmp_path}/venvs/vllm-new/bin/python\n")
    assert prune()["removed"] == ["venvs/vllm-interrupted.txt", "venvs/vllm-old", "venvs/vllm-old.txt"]
    assert sorted(path.name for path in (tmp_path / "venvs").iterdir()) == ["vllm-new", "vllm-new.txt"]


def snapshot(repository: Path, commit: str, **files: str) -> Path:
    """Write a snapshot as the hub's own tools do: links into blobs, which snapshots share."""
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    for name, blob in files.items():
        (repository / "blobs" / blob).write_text(blob * 1000)
        (folder / name).symlink_to(f"../../blobs/{blob}")
    return folder


def test_blobs_go_with_the_last_snapshot_that_needs_them(prune: Any, tmp_path: Path) -> None:
    chat = tmp_path / "hub/models--o--chat"
    snapshot(chat, "1" * 40, config="shared", weights="first")
    used = snapshot(chat, "2" * 40, config="shared", weights="second")
    snapshot(tmp_path / "hub/models--o--gone", "3" * 40, weights="third")
    # A download that has no snapshot yet, and a model whose snapshots are all in force.
    (tmp_path / "hub/models--o--coming/blobs").mkdir(parents=True)
    (tmp_path / "hub/models--o--coming/blobs/x.incomplete").write_text("x")
    kept = snapshot(tmp_path / "hub/models--o--kept", "4" * 40, weights="fourth")
    (tmp_path / "hub/models--o--kept/blobs/y.incomplete").write_text("y")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/run").write_text(f"--model={used}\n--model={kept}\n")
    expected = [f"hub/models--o--chat/snapshots/{'1' * 40}", "hub/models--o--chat/blobs/first", "hub/models--o--gone"]
    assert prune()["removed"] == expected
    assert (used / "weights").read_text() == "second" * 1000
    assert (used / "config").exists()
    assert (tmp_path / "hub/models--o--coming/blobs/x.incomplete").exists()
    assert (tmp_path / "hub/models--o--kept/blobs/y.incomplete").exists()
    assert prune()["removed"] == []


def environment(root: Path, name: str, base: str) -> None:
    """Write what uv writes of an environment that is built on one of its Pythons."""
    folder = root / "venvs" / name
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {root}/python/{base}/bin\nimplementation = CPython\n")
    (folder / "bin/python").symlink_to(root / "python" / base / "bin/python3")


def test_a_python_goes_with_the_last_environment_that_is_built_on_it(prune: Any, tmp_path: Path) -> None:
    for release in ("3.11.17", "3.11.18", "3.12.1", "3.12.10", "3.13.1"):
        (tmp_path / f"python/cpython-{release}-linux/bin").mkdir(parents=True)
    # uv keeps a link to the newest release of each version, and builds environments on it or on the release.
    for version, release in (("3.11", "3.11.18"), ("3.12", "3.12.10"), ("3.13", "3.13.1")):
        (tmp_path / f"python/cpython-{version}-linux").symlink_to(f"cpython-{release}-linux")
    (tmp_path / "python/.lock").touch()
    environment(tmp_path, "vllm-old", "cpython-3.11.17-linux")
    environment(tmp_path, "vllm-new", "cpython-3.11.18-linux")
    environment(tmp_path, "web-old", "cpython-3.12.1-linux")
    environment(tmp_path, "web-new", "cpython-3.12-linux")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/run").write_text(f"{tmp_path}/venvs/vllm-new/bin/x\n{tmp_path}/venvs/web-new/bin/x\n")
    gone = [
        "venvs/vllm-old",
        "venvs/web-old",
        "python/cpython-3.11.17-linux",
        "python/cpython-3.12.1-linux",
        "python/cpython-3.13-linux",
        "python/cpython-3.13.1-linux",
    ]
    assert prune(check=True)["removed"] == gone
    assert prune()["removed"] == gone
    left = [".lock", *(f"cpython-{name}-linux" for name in ("3.11", "3.11.18", "3.12", "3.12.10"))]
    assert sorted(path.name for path in (tmp_path / "python").iterdir()) == left
    assert prune()["removed"] == []


def test_a_python_stays_while_a_process_or_a_unit_names_it(
    prune: Any, tmp_path: Path, running: list[subprocess.Popen[bytes]]
) -> None:
    for release in ("3.11.17", "3.11.18", "3.12.1"):
        (tmp_path / f"python/cpython-{release}-linux").mkdir(parents=True)
    (tmp_path / "units").mkdir()
    (tmp_path / "units/x.service").write_text(f"ExecStart={tmp_path}/python/cpython-3.11.17-linux/bin/python3 -m x\n")
    waiting = [
        sys.executable,
        "-c",
        "import time; time.sleep(60)",
        f"{tmp_path}/python/cpython-3.12.1-linux/bin/python",
    ]
    running.append(subprocess.Popen(waiting))
    assert prune()["removed"] == ["python/cpython-3.11.18-linux"]


def test_nothing_at_all_is_no_failure(prune: Any) -> None:
    assert prune()["removed"] == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("exec /opt/v/vllm-1/bin/python", True),
        ("PATH=/opt/v/vllm-1:/bin", True),
        ('"/opt/v/vllm-1"', True),
        ("/opt/v/vllm-12/bin/python", False),
        ("/opt/v/vllm-1.txt", False),
        ("/srv/opt/v/vllm-1/bin", False),
        ("", False),
    ],
)
def test_a_path_is_not_one_that_begins_alike(text: str, named: bool) -> None:
    assert is_named("/opt/v/vllm-1", text) is named
