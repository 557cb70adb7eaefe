# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The defaults of a role, which Ansible reads from one file or from every file of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


def default_files(role: str) -> list[Path]:
    """Return the files with a role's defaults; a role may have none."""
    folder = ROLES / role / "defaults"
    return sorted(folder.glob("main.yml")) + sorted((folder / "main").glob("*.yml"))


def defaults(role: str) -> dict[str, Any]:
    """Return a role's defaults, as they are written.

    :raises ValueError: a name stands in two files of the role, of which Ansible would take the last in silence.
    """
    found: dict[str, Any] = {}
    for path in default_files(role):
        values = yaml.load(path.read_text(), yaml.CSafeLoader) or {}
        if twice := sorted(found.keys() & values.keys()):
            raise ValueError(f"{path}: {', '.join(twice)} stands in another file of {role} too")
        found.update(values)
    return found
