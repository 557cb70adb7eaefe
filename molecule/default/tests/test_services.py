# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On every host: what must run does, behind its sandbox, and listens nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from bench_hosts import listeners

GATEWAY = {"litellm", "gate", "nginx", "nginx-exporter", "prometheus", "node-exporter"}
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


@pytest.fixture
def name(host: Any) -> str:
    return str(host.backend.name)


@pytest.fixture
def units(host: Any) -> list[str]:
    lines = host.check_output("systemctl list-units --all --plain --no-legend 'llm-*.service'").splitlines()
    return [line.split()[0] for line in lines]


def test_expected_services_exist(name: str, units: list[str]) -> None:
    assert EXPECTED[name] <= {unit.removeprefix("llm-").removesuffix(".service") for unit in units}


def test_services_are_active_and_enabled(host: Any, units: list[str]) -> None:
    for unit in units:
        assert host.run(f"systemctl is-active {unit}").stdout.strip() == "active", unit
        assert host.run(f"systemctl is-enabled {unit}").stdout.strip() == "enabled", unit


def test_system_has_no_failed_unit(host: Any) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


def test_services_run_as_their_own_users(host: Any, units: list[str]) -> None:
    for unit in units:
        assert host.check_output(f"systemctl show -P User {unit}").startswith("llm-"), unit


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
