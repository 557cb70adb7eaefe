# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role's programs, loaded as modules."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from load_file import load_file

PROGRAMS = Path(__file__).resolve().parents[4] / "roles" / "models" / "files" / "programs"


@pytest.fixture(scope="session")
def provision_models() -> ModuleType:
    return load_file(PROGRAMS / "provision_models.py")


@pytest.fixture(scope="session")
def hub_snapshot() -> ModuleType:
    return load_file(PROGRAMS / "hub_snapshot.py")
