# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On every host: each secret of the fleet is in files of mode 0600 and nowhere else."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from bench_hosts import Secrets, in_host

SEARCHED = ["/etc", "/opt", "/root", "/home", "/run", "/tmp", "/usr/local", "/var"]
# Python environments and package caches hold gigabytes of what others published before these secrets were made.
SKIPPED = ["--exclude-dir=venvs", "--exclude-dir=archives", "--exclude-dir=lists"]


@pytest.fixture
def name(host: Any) -> str:
    return str(host.backend.name)


def test_there_are_secrets_to_look_for(secrets: Secrets) -> None:
    assert len(secrets) >= 4


@pytest.mark.parametrize(
    "command",
    [
        "ps -ef ww",
        "cat /proc/[0-9]*/cmdline",
        "journalctl --no-pager --all -o verbose",
        "systemctl cat --no-pager 'llm-*'",
        "systemctl show --no-pager 'llm-*'",
        "nginx -T -c /etc/llmfleet/nginx/nginx.conf 2>&1",
        "nginx -T -c /etc/llmfleet/nginx-south/nginx.conf 2>&1",
        "find /var/log -type f -exec cat {} +",
    ],
)
def test_no_secret_is_printed_by(name: str, secrets: Secrets, command: str) -> None:
    # Processes and files that go while they are read make the command fail; what it printed must be there all the same.
    printed = in_host(name, "sh", "-c", command, codes=(0, 1))
    assert len(printed) > 100, f"{name}: {command} printed nothing to search"
    assert secrets.hits(printed) == 0


def test_a_secret_that_is_printed_is_found(name: str) -> None:
    """A canary with every character that somebody quotes, so that the tests above can fail."""
    canary = 'it\'s-a "canary" $HOME %n \\ secret'
    shown = in_host(name, "sh", "-c", "cat", stdin=f"level=info key={shlex.quote(canary)} done\n")
    assert Secrets({"canary": canary}).hits(shown) == 1


def test_files_with_secrets_are_for_their_owner_only(name: str, secrets: Secrets) -> None:
    files = secrets.files(name, SKIPPED, SEARCHED)
    assert files, "the services' own secrets files must be found"
    modes = in_host(name, "xargs", "-d", "\\n", "stat", "-c", "%a %U %n", stdin="\n".join(files)).splitlines()
    assert [line for line in modes if line.split()[0] not in ("600", "400")] == []
