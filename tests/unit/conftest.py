# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all unit tests share: the collection under its own name, and property tests that depend on no clock."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

COLLECTIONS = Path(__file__).resolve().parents[2] / "collections"
# ansible-test brings a finder of its own and has no such link.
if COLLECTIONS.is_dir() and str(COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(COLLECTIONS))

# A busy machine is no failure, and a run of today fails where one of yesterday did.
settings.register_profile("unit", deadline=None, derandomize=True)
settings.load_profile("unit")
