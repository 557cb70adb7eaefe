# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is secret stays with those who own it, and only the north door listens to the world."""

from __future__ import annotations

from typing import Any

import pytest
from bench_hosts import Secrets, in_host, listeners
from engine import HOST, REGISTRY_FOLDER, SERVICES
from test_secrets import SEARCHED

# Layers of images were published before these secrets were made; caches of packages are not the host's.
SKIPPED = ["--exclude-dir=overlay2", "--exclude-dir=venvs", "--exclude-dir=archives", "--exclude-dir=lists"]
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
PUBLIC_PORTS = {443}
FLEET_PORTS = {port for _image, port, _path in SERVICES.values()} - {4100, 4101, 9090}


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
    printed = in_host(HOST, "sh", "-c", command, codes=(0, 1))
    assert len(printed) > 100, f"{command} printed nothing to search"
    assert everything.hits(printed) == 0


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


def test_only_what_is_meant_to_listens() -> None:
    found = listeners(HOST)
    assert found.public == PUBLIC_PORTS
    assert found.fleet == FLEET_PORTS
