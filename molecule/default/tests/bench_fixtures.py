# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What scenarios share: the fleet's secrets, its doors, and a table of measured figures.

A scenario's conftest.py gives ``scenario`` (its folder) and ``address_of`` (of a host, as this machine reaches it).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench_hosts import Door, Secrets, in_host

MEASURED: dict[str, str] = {}


@pytest.fixture(scope="session")
def secrets(scenario: Path) -> Secrets:
    content = yaml.safe_load((scenario / "inventory" / ".llm_secrets.yml").read_text(encoding="utf-8"))
    return Secrets(content["secrets"])


@pytest.fixture(scope="session")
def door(secrets: Secrets, address_of: Callable[[str], str]) -> Callable[[str], Door]:
    def open_door(host: str) -> Door:
        context = ssl.create_default_context(cadata=in_host(host, "cat", "/etc/llmfleet/tls/ca.pem"))
        return Door(address_of(host), 443, host, context, secrets["litellm_key_verify"])

    return open_door


@pytest.fixture(scope="session")
def measured() -> dict[str, str]:
    return MEASURED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if MEASURED:
        terminalreporter.section("measured")
        for name, value in MEASURED.items():
            terminalreporter.write_line(f"{name}: {value}")
