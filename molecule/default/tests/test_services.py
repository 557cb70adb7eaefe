# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On every host: what must run does, behind its sandbox, and listens nowhere else."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from bench_hosts import in_host, listeners

GATEWAY = {"litellm", "gate", "nginx", "nginx-south", "nginx-exporter", "prometheus", "node-exporter"}
EXPECTED = {
    "aio": GATEWAY | {"vllm-chat-0", "vllm-chat-1", "open-webui"},
    "gw-ubuntu": GATEWAY,
    "gw-debian13": GATEWAY,
}
DISTRIBUTION_UNITS = [
    "nginx.service",
    "prometheus-nginx-exporter.service",
    "prometheus.service",
    "prometheus-node-exporter.service",
]
PUBLIC_PORTS = {443}
# The gate, the exporters of Nginx and of the machine; and where they are, the chat page and the engines.
GATEWAY_PORTS = {4200, 9113, 9100}
FLEET_PORTS = {"aio": GATEWAY_PORTS | {3000, 8100, 8101}, "gw-ubuntu": GATEWAY_PORTS, "gw-debian13": GATEWAY_PORTS}
# LiteLLM, the inner proxy, its status page, and Prometheus, which has no log-in.
LOOPBACK_PORTS = {4000, 4100, 4101, 9090}
EXPOSURE_LIMIT = 3.0
WATCHDOG = "llm-watchdog.service"
FILTERED = ("litellm", "open-webui", "vllm-chat-0", "vllm-chat-1")
# Joins the processes of a service, if it is given their control group, and sends a packet to each address; prints which
# were sent.
SEND = """
import json, os, socket, sys
if sys.argv[1]:
    # Filters belong to the second version of control groups, which has a directory of its own beside the first.
    roots = [root for root in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{root}/cgroup.procs")]
    with open(f"{roots[0]}{sys.argv[1]}/cgroup.procs", "w") as group:
        group.write("0")
sent = {}
for address in sys.argv[2:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.sendto(b"x", (address, 53))
            sent[address] = True
        except PermissionError:
            sent[address] = False
        except OSError:
            sent[address] = None
print(json.dumps(sent))
"""


@pytest.fixture
def name(host: Any) -> str:
    return str(host.backend.name)


@pytest.fixture
def units(host: Any) -> list[str]:
    lines = host.check_output("systemctl list-units --all --plain --no-legend 'llm-*.service'").splitlines()
    # The watchdog runs now and then, as root; it has a test of its own.
    return [line.split()[0] for line in lines if line.split()[0] != WATCHDOG]


def test_expected_services_exist(name: str, units: list[str]) -> None:
    assert EXPECTED[name] <= {unit.removeprefix("llm-").removesuffix(".service") for unit in units}


def test_services_are_active_and_enabled(host: Any, units: list[str]) -> None:
    for unit in units:
        assert host.run(f"systemctl is-active {unit}").stdout.strip() == "active", unit
        assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == "enabled", unit


def test_the_watchdog_looks_at_the_engines(host: Any, name: str) -> None:
    if not any(service.startswith("vllm-") for service in EXPECTED[name]):
        assert host.run(f"systemctl cat {WATCHDOG}").rc != 0
        return
    timer = WATCHDOG.replace("service", "timer")
    assert host.run(f"systemctl is-active {timer}").stdout.strip() == "active"
    assert host.run(f"systemctl is-enabled {timer}").stdout.strip() == "enabled"
    seen = json.loads(host.check_output("cat /var/lib/llmfleet/watchdog.json"))["services"]
    assert {one for one, memory in seen.items() if memory["ready"]} >= {"vllm-chat-0", "vllm-chat-1"}


def test_system_has_no_failed_unit(host: Any) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_each_service_runs_as_a_user_of_its_own(host: Any, units: list[str]) -> None:
    users = {unit: host.check_output(f"systemctl show -P User {unit}") for unit in units}
    assert [unit for unit, user in users.items() if not user.startswith("llm-")] == []
    assert len(set(users.values())) == len(units), users


def test_an_instance_reads_nothing_of_another() -> None:
    user, other = "llm-vllm-chat-0", "llm-vllm-chat-1"
    process = in_host("aio", "systemctl", "show", "-P", "MainPID", other).strip()
    as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
    folders = {root: f"/{root}/llmfleet/vllm-chat-{{}}" for root in ("etc", "var/lib", "run")}
    for folder in folders.values():
        assert in_host("aio", *as_user, "find", folder.format(0), "-maxdepth", "0", "-readable").strip()
        in_host("aio", *as_user, "ls", folder.format(1), codes=(2,))
    for file in ("environ", "maps"):
        in_host("aio", "cat", f"/proc/{process}/{file}")
        in_host("aio", *as_user, "cat", f"/proc/{process}/{file}", codes=(1,))
    strangers = ["find", "/dev/shm", "-mindepth", "1", "-user", other, "-readable"]
    assert in_host("aio", *as_user, *strangers) == ""


def test_sandbox_exposure(host: Any, name: str, units: list[str], measured: dict[str, str]) -> None:
    exposures = {}
    for unit in units:
        text = host.check_output(f"systemd-analyze security --no-pager {unit}")
        exposures[unit] = float(text.partition("Overall exposure level for ")[2].partition(": ")[2].split()[0])
    measured[f"exposure on {name}"] = ", ".join(f"{unit} {value}" for unit, value in sorted(exposures.items()))
    assert {unit: value for unit, value in exposures.items() if value > EXPOSURE_LIMIT} == {}


def test_distribution_units_are_masked(host: Any) -> None:
    for unit in DISTRIBUTION_UNITS:
        assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == "masked", unit


def test_only_what_is_meant_to_listens(name: str) -> None:
    found = listeners(name)
    assert found.public == PUBLIC_PORTS
    assert found.fleet == FLEET_PORTS[name]
    # Engines talk to their own processes on further ports of the loopback.
    assert found.loopback >= LOOPBACK_PORTS


def test_a_stranger_reaches_the_doors_alone(name: str, address_of: Callable[[str], str]) -> None:
    """This machine is no host of the fleet. Where the bench's kernel allows no nftables, the run says so."""
    try:
        in_host(name, "nft", "list", "table", "inet", "llmfleet_ingress")
    except AssertionError:
        pytest.skip("nftables cannot be used in the hosts of this bench")
    for port in FLEET_PORTS[name]:
        with pytest.raises(OSError, match="No route to host"):
            socket.create_connection((address_of(name), port), timeout=10).close()
    for port in PUBLIC_PORTS:
        socket.create_connection((address_of(name), port), timeout=10).close()


def filtered(name: str) -> set[str]:
    return EXPECTED[name] & set(FILTERED)


def networks(addresses: list[str]) -> list[Any]:
    found = [ipaddress.ip_network(address) for address in addresses]
    return [
        network
        for version in (4, 6)
        for network in ipaddress.collapse_addresses([one for one in found if one.version == version])
    ]


def test_services_exchange_traffic_with_the_fleet_alone(host: Any, name: str, address_of: Callable[[str], str]) -> None:
    fleet = [address_of(other) for other in EXPECTED]
    for service in filtered(name):
        unit = f"llm-{service}.service"
        denied = host.check_output(f"systemctl show -P IPAddressDeny {unit}")
        assert set(denied.split()) == {"0.0.0.0/0", "::/0"}, unit
        allowed = host.check_output(f"systemctl show -P IPAddressAllow {unit}").split()
        assert networks(allowed) == networks([*fleet, "127.0.0.1", "127.0.1.1", "::1"]), unit


def test_systemd_blocks_what_is_outside_the_fleet(name: str, address_of: Callable[[str], str]) -> None:
    """Where the bench's kernel lets systemd filter at all, the filter acts on the processes of the running service."""
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", "-p", "IPAddressDeny=any"]
    if json.loads(in_host(name, *unit, "python3", "-c", SEND, "", "192.0.2.1"))["192.0.2.1"] is not False:
        pytest.skip("systemd cannot filter addresses in the hosts of this bench")
    others = [address_of(other) for other in EXPECTED]
    for service in filtered(name):
        group = in_host(name, "systemctl", "show", "-P", "ControlGroup", f"llm-{service}.service").strip()
        # 192.0.2.1 stands for the internet; the next one is where systemd-resolved answers.
        probed = ["192.0.2.1", "127.0.0.53", "127.0.0.1", "::1", *others]
        sent = json.loads(in_host(name, "python3", "-c", SEND, group, *probed))
        assert (sent["192.0.2.1"], sent["127.0.0.53"]) == (False, False), service
        assert all(sent[address] for address in ["127.0.0.1", *others]), service
