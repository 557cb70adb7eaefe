# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the scenario share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import engine
import pytest
from bench_fixtures import door, measured, pytest_terminal_summary, secrets

__all__ = ["door", "measured", "pytest_terminal_summary", "secrets"]


@pytest.fixture(scope="session")
def scenario() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def address_of() -> Callable[[str], str]:
    return engine.address_of
