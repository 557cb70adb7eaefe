# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of installed packages as Ansible writes it: real, in check mode, twice, and where it cannot be written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import package_record
from module_runner import run_module


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(path: Path, *names: str, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {"path": str(path), "names": list(names), "host": "gw1", "_ansible_check_mode": check, **options}
        return run_module(package_record.main, given, monkeypatch, capsys)

    return call


def test_a_name_is_recorded_once_in_its_order(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "state" / "installed-packages"
    would = run(path, "nginx", "jq", check=True)
    assert (would["changed"], would["names"], path.exists()) == (True, ["nginx", "jq"], False)
    old = os.umask(0o077)
    try:
        assert run(path, "nginx", "jq")["changed"]
    finally:
        os.umask(old)
    assert path.read_text() == "nginx\njq\n"
    assert path.stat().st_mode & 0o777 == 0o644
    again = run(path, "jq", "nginx")
    assert (again["changed"], again["names"]) == (False, ["nginx", "jq"])
    more = run(path, "acl", "nginx")
    assert (more["names"], more["diff"]["before"], more["diff"]["after"]) == (
        ["nginx", "jq", "acl"],
        "nginx\njq\n",
        "nginx\njq\nacl\n",
    )


def test_lines_of_an_earlier_version_are_read_and_kept(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "installed-packages"
    path.write_text("docker.io containerd runc\nnginx nginx-common\n")
    read = run(path)
    assert (read["changed"], read["names"]) == (False, ["docker.io", "containerd", "runc", "nginx", "nginx-common"])
    assert path.read_text() == "docker.io containerd runc\nnginx nginx-common\n"
    # A name that only begins like one of these stays, and so does one that was never recorded.
    taken = run(path, "docker", "containerd", "nginx", "podman", state="absent")
    assert taken["names"] == ["docker.io", "runc", "nginx-common"]
    assert path.read_text() == "docker.io\nrunc\nnginx-common\n"
    assert run(path, "docker", state="absent")["changed"] is False


def test_nothing_is_written_where_nothing_is_recorded(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "state" / "installed-packages"
    assert run(path)["names"] == []
    assert run(path, "", " ")["changed"] is False
    assert run(path, "nginx", state="absent")["changed"] is False
    assert not path.parent.exists()


def test_a_record_that_cannot_be_written_is_told_with_its_host(run: Any, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    failed = run(tmp_path / "state" / "installed-packages", "nginx")
    assert failed["failed"]
    assert failed["msg"].startswith(f"gw1: {tmp_path}/state/installed-packages cannot be written: ")
