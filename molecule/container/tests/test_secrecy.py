# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is secret stays with those who own it, and only the north door listens to the world."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from bench_hosts import Secrets, in_host
from engine import HOST, REGISTRY_FOLDER
from test_secrets import SEARCHED

# Layers of images were published before these secrets were made; caches of packages are not the host's.
SKIPPED = ["--exclude-dir=overlay2", "--exclude-dir=venvs", "--exclude-dir=archives", "--exclude-dir=lists"]
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
PUBLIC_PORTS = {443}


@pytest.fixture(scope="module")
def everything(secrets: Secrets) -> Secrets:
    """The fleet's secrets and the registry's password, plain and as the engine's client keeps it."""
    password = (REGISTRY_FOLDER / "password").read_text(encoding="utf-8").strip()
    return Secrets({**secrets, "registry": password})


@pytest.mark.parametrize(
    "command",
    [
        "ps -ef ww",
        "cat /proc/[0-9]*/cmdline",
        "journalctl --no-pager --all -o verbose",
        "systemctl cat --no-pager 'llm-*'",
        "systemctl show --no-pager 'llm-*'",
        "cat /etc/llmfleet/*/run /etc/docker/daemon.json",
        "docker container ls --all --no-trunc; docker image ls --all --no-trunc; docker info",
        "find /var/log -type f -exec cat {} +",
    ],
)
def test_no_secret_is_printed_by(everything: Secrets, command: str) -> None:
    assert everything.hits(in_host(HOST, "sh", "-c", command)) == 0


def test_files_with_secrets_are_for_their_owner_only(everything: Secrets) -> None:
    files = everything.files(HOST, SKIPPED, SEARCHED)
    assert files, "the services' own secrets files must be found"
    readable = in_host(HOST, *NOBODY, "find", *files, "-maxdepth", "0", "-readable", "-print")
    assert readable.split() == []
    # The engine keeps what it starts containers with in folders that are closed, not in files that are.
    modes = in_host(HOST, "xargs", "-d", "\\n", "stat", "-c", "%a %U %n", stdin="\n".join(files)).splitlines()
    open_files = [line.split()[2] for line in modes if line.split()[0] not in ("600", "400")]
    assert [path for path in open_files if "/containerd/" not in path] == []


def test_no_image_of_ours_holds_a_secret(everything: Secrets) -> None:
    assert everything.hits(in_host(HOST, "sh", "-c", "docker image inspect $(docker image ls --quiet)")) == 0


def test_the_registrys_password_is_known_to_root_alone(host: Any) -> None:
    file = host.file("/root/.docker/config.json")
    assert (file.user, file.mode) == ("root", 0o600)


def test_only_the_north_door_is_public(host: Any) -> None:
    own = set(host.check_output("hostname -I").split())
    public = set()
    for line in host.check_output("ss -Hltn").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        address = address.strip("[]").partition("%")[0]
        if address == "*" or ipaddress.ip_address(address).is_unspecified:
            public.add(int(port))
        elif address not in own:
            assert ipaddress.ip_address(address).is_loopback, line
    assert public == PUBLIC_PORTS
