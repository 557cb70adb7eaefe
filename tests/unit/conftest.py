# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests share: the collection under its own name, property tests that depend on no clock, the order."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

COLLECTIONS = Path(__file__).resolve().parents[2] / "collections"
# ansible-test brings a finder of its own and has no such link.
if COLLECTIONS.is_dir() and str(COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(COLLECTIONS))

# A busy machine is no failure, and a run of today fails where one of yesterday did.
settings.register_profile("unit", deadline=None, derandomize=True)
settings.load_profile("unit")

# What a test needs that starts programs, Ansible foremost: seconds, where others take milliseconds.
PROGRAMS = re.compile(r"\b(?:ansible_playbook|rendered_role|run_apart|subprocess)\b")


@cache
def is_quick(path: Path) -> bool:
    """Whether no test of a file starts a program."""
    return not PROGRAMS.search(path.read_text(encoding="utf-8"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files whose tests start programs first: workers get whole files, and no long one is to be the last."""
    items.sort(key=lambda item: is_quick(item.path))
