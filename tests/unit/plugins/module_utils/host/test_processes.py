# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes and sockets as the kernel writes them, and as they come and go."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import processes as host_processes
from ansible_collections.llmfleet.serving.plugins.module_utils.host.sockets import Process, Socket


def proc(root: Path, pid: int, stat: str, **files: str) -> None:
    folder = root / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(stat)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_processes_whatever_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_processes, "PROC", str(tmp_path))
    monkeypatch.setattr(host_processes, "user_name", {7: "llm-x"}.get)
    status = "Name:\ta\nUid:\t6\t7\t8\t9\n"
    proc(tmp_path, 5, "5 (a (b) c) S 3 5", cmdline="a\0-b\0", cgroup="0::/x\n", status=status)
    proc(tmp_path, 6, "")
    (tmp_path / "self").mkdir()
    assert host_processes.read_processes() == {5: Process(5, 3, "a (b) c", "a -b ", "0::/x\n", "llm-x")}
    assert host_processes.socket_inodes(6) == set()


def test_a_socket_that_several_hold_is_ours_if_one_of_them_is(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = {pid: Process(pid, 1, f"p{pid}", "", "") for pid in (2, 3)}
    monkeypatch.setattr(host_processes, "socket_inodes", lambda pid: {"77"})
    sockets = [Socket("127.0.0.1", 1, "77")]
    assert host_processes.find_owners(sockets, processes, {3})["77"].pid == 3
    assert host_processes.find_owners(sockets, processes, set())["77"].pid == 2


def test_users_that_are_gone_have_no_name() -> None:
    assert host_processes.user_name(0) == "root"
    assert host_processes.user_name(2**31 - 7) == ""
