# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each container is what was asked for, has what it needs, and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bench_hosts import in_host
from engine import HOST, SERVICES, containers, docker, images, is_init, main_process

NATIVE_PACKAGES = ["nginx", "prometheus", "prometheus-node-exporter", "prometheus-nginx-exporter"]
# Capabilities that a process may hold; no other process holds any.
HELD = {"nginx": 1 << 10}
SECCOMP_FILTER = "2"


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return containers()


def processes(container: dict[str, Any]) -> list[int]:
    """Processes of a container but for its init."""
    pids = [int(pid) for pid in docker("top", container["Id"], "-eo", "pid").split()[1:]]
    return [pid for pid in pids if not is_init(pid)]


def status_of(pid: int) -> dict[str, str]:
    lines = in_host(HOST, "cat", f"/proc/{pid}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_host_has_the_expected_containers(found: dict[str, dict[str, Any]]) -> None:
    assert set(found) == set(SERVICES)
    assert {name for name, entry in found.items() if not entry["State"]["Running"]} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_container_runs_the_pinned_image(service: str, found: dict[str, dict[str, Any]]) -> None:
    wanted = images()[SERVICES[service][0]]
    name, _, digest = wanted.partition("@")
    assert found[service]["Config"]["Image"] == wanted
    known = json.loads(docker("image", "inspect", found[service]["Image"]))[0]["RepoDigests"]
    assert f"{name.rpartition(':')[0]}@{digest}" in known


@pytest.mark.parametrize("service", SERVICES)
def test_container_has_no_power_to_spare(service: str, found: dict[str, dict[str, Any]]) -> None:
    container = found[service]["HostConfig"]
    assert not container["Privileged"]
    assert container["ReadonlyRootfs"]
    assert container["CapDrop"] == ["ALL"]
    assert "no-new-privileges" in " ".join(container["SecurityOpt"])
    assert "unconfined" not in " ".join(container["SecurityOpt"])
    # Who starts it again is the unit, and nobody else.
    assert container["RestartPolicy"]["Name"] in ("", "no")
    assert container["NetworkMode"] == "host"
    assert not container["Devices"]
    assert not container["DeviceRequests"]


@pytest.mark.parametrize("service", SERVICES)
def test_container_sees_no_engine_and_writes_where_it_may(service: str, found: dict[str, dict[str, Any]]) -> None:
    mounts = {mount["Source"]: mount["RW"] for mount in found[service]["Mounts"]}
    assert [source for source in mounts if "docker.sock" in source or source in ("/run", "/var/run")] == []
    allowed = (f"/var/lib/llmfleet/{service}", "/var/log/llmfleet/", "/run/llmfleet/", "/var/lib/docker/volumes/")
    writable = [source for source, can_write in mounts.items() if can_write and not source.startswith(allowed)]
    assert writable == []
    assert not any(mount["RW"] for mount in found[service]["Mounts"] if mount["Destination"].startswith("/etc"))


@pytest.mark.parametrize("service", SERVICES)
def test_processes_are_the_services_own_and_powerless(service: str, found: dict[str, dict[str, Any]]) -> None:
    pids = processes(found[service])
    assert pids
    user = in_host(HOST, "ps", "-o", "user:32=", "-p", str(main_process(found[service]))).strip()
    assert user.startswith("llm-")
    for pid in pids:
        status = status_of(pid)
        if not status:
            continue
        assert in_host(HOST, "id", "-un", status["Uid"].split()[0]).strip() == user, pid
        assert int(status["CapEff"], 16) | int(status["CapPrm"], 16) in (0, HELD.get(service, 0)), pid
        assert status["NoNewPrivs"] == "1", pid
        assert status["Seccomp"] == SECCOMP_FILTER, pid


def test_the_root_of_a_container_is_left_as_it_came(found: dict[str, dict[str, Any]]) -> None:
    for service, container in found.items():
        # The engine's own init is put there by the engine.
        targets = ["/usr/sbin/docker-init", "/sbin/docker-init"]
        targets += [mount["Destination"] for mount in container["Mounts"]] + list(
            container["HostConfig"]["Tmpfs"] or {}
        )
        for line in docker("diff", container["Id"]).splitlines():
            path = line.split(maxsplit=1)[1]
            assert any(f"{target}/".startswith(f"{path}/") for target in targets), f"{service}: {line}"


def test_units_are_active_and_enabled(host: Any) -> None:
    for service in SERVICES:
        assert host.run(f"systemctl is-active llm-{service}.service").stdout.strip() == "active", service
        assert host.run(f"systemctl is-enabled llm-{service}.service").stdout.strip() == "enabled", service
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_what_services_print_is_in_the_journal(host: Any) -> None:
    assert host.check_output("journalctl --no-pager -q -n 1 -u llm-vllm-chat-0.service")


def test_nothing_of_the_applications_is_installed_on_the_host(host: Any) -> None:
    for package in NATIVE_PACKAGES:
        assert not host.package(package).is_installed, package
    assert (
        host.run(
            "ls -d /opt/llmfleet/venvs/vllm-* /opt/llmfleet/venvs/litellm-* /opt/llmfleet/venvs/open-webui-*"
        ).stdout
        == ""
    )


def test_nftables_lets_the_users_of_services_reach_the_fleet_alone() -> None:
    assert in_host(HOST, "systemctl", "is-active", "llmfleet-egress.service").strip() == "active"
    assert in_host(HOST, "systemctl", "is-enabled", "llmfleet-egress.service").strip() == "enabled"
    send = (
        "import socket, sys; probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        "print([probe.sendto(b'x', (address, 53)) for address in sys.argv[1:]])"
    )
    for user in ("llm-litellm", "llm-open-webui", "llm-vllm-chat-0"):
        assert user in in_host(HOST, "nft", "list", "chain", "inet", "llmfleet_egress", user)
        sender = ["setpriv", "--reuid", user, "--clear-groups", "python3", "-c", send]
        assert in_host(HOST, *sender, "127.0.0.1").strip() == "[1]"
        for outside in ("192.0.2.1", "127.0.0.53"):
            assert in_host(HOST, *sender, outside, codes=(1,)) == "", f"{user} reaches {outside}"
    assert in_host(HOST, "python3", "-c", send, "192.0.2.1").strip() == "[1]"
