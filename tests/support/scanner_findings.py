# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings of scanners that docs/security.md explains, by scanner and the finding's id."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
ROW = re.compile(r"^\| (\w[\w-]*) \| `([^`]+)` \| .{20,} \|$", re.M)


def explained(scanner: str) -> set[str]:
    """Return the ids that the page explains for a scanner."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## Scanners\n")[2].partition("\n## ")[0]
    return {finding for name, finding in ROW.findall(section) if name == scanner}
