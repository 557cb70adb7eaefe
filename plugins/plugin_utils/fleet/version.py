# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's version from its own files, and the hosts that a newer one set up."""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

SEMANTIC = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z")
GALAXY = re.compile(r"^version:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)


def from_manifest(text: str) -> str:
    """Return the version that MANIFEST.json of an installed collection states."""
    return str(json.loads(text)["collection_info"]["version"])


def from_galaxy(text: str) -> str:
    """Return the version that galaxy.yml of a checkout states."""
    found = GALAXY.search(text)
    if found is None:
        raise ValueError("galaxy.yml states no version")
    return found.group(1)


def _order(version: Any) -> tuple[Any, ...] | None:
    """Return the sort key of a semantic version, or None for anything else."""
    found = SEMANTIC.match(str(version))
    if found is None:
        return None
    numbers = tuple(int(found.group(index)) for index in (1, 2, 3))
    parts = (found.group(4) or "").split(".")
    # A pre-release comes before its release; its numbers compare as numbers and come before words.
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return (numbers, not found.group(4), before)


def is_newer(version: Any, than: Any) -> bool:
    """Return whether a version is newer than another; an invalid version is never newer."""
    one, other = _order(version), _order(than)
    return one is not None and other is not None and one > other


def problems(recorded: dict[str, Any], own: str) -> list[Problem]:
    """Return a problem for each host that a newer version set up.

    :param recorded: by host, what it remembers of the run that set it up; a broken record is text.
    :param own: the version of this collection.
    """
    found = []
    for host, record in recorded.items():
        version = record.get("version") if isinstance(record, dict) else None
        if is_newer(version, own):
            what = f"version {version} set up this host and may have left what this older one does not know"
            command = f"ansible-galaxy collection install 'llmfleet.serving:>={version}'"
            remedy = f"run version {version} or later ({command}), or go back on purpose: -e llm_downgrade=true"
            found.append(Problem("the version of llmfleet.serving", own, what, remedy, host))
    return found
