# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the bench ask of every host."""

from __future__ import annotations

from typing import Any

import pytest
from gpu_hosts import CASES, Case


@pytest.fixture
def name(host: Any) -> str:
    return str(host.backend.name)


@pytest.fixture
def case(name: str) -> Case:
    return CASES[name]


@pytest.fixture
def installed(host: Any) -> dict[str, str]:
    """Versions of installed packages by name."""
    listing = host.check_output("dpkg-query --show --showformat '${db:Status-Abbrev} ${Package} ${Version}\\n'")
    words = [line.split() for line in listing.splitlines()]
    return {package: version for state, package, version in words if state in ("ii", "hi")}


@pytest.fixture
def gpus(host: Any) -> list[str]:
    """UUIDs of the GPUs, as nvidia-smi lists them."""
    lines = host.check_output("nvidia-smi -L").splitlines()
    return [line.partition("UUID: ")[2].rstrip(")") for line in lines if line.startswith("GPU ")]
