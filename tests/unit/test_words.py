# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Task names begin with a verb that says what a task does; docs/glossary.md is in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for pattern in ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/**/*.yml", "molecule/**/*.yml")
    for path in ROOT.glob(pattern)
    if path.name != "molecule.yml" and "group_vars" not in path.parts
)
WORDS = """
Add Allow Apply Ask Assert Blacklist Boot Build Cache Change Check Compare Compute Configure Continue Converge
Copy Create Decide Detect Derive Destroy Drain Drop Enable Disable End Exclude Fail Fetch Fill Find Gather
Hold Import Install Keep Link List Load Lock Log Mark Mask Measure Migrate Pin Plan Prepare Provision Prune Publish
Pull Push Read Reboot Rebuild Record Refresh Refuse Register Release Reload Remove Render Replace Report
Request Require Resolve Restart Restore Roll Run Save Select Serve Set Show Start Stop Trust Unlock Unmask
Unpack Update Upgrade Validate Verify Wait Watch Write
"""
VERBS = set(WORDS.split())


def names(content: Any) -> Iterator[str]:
    """Yield the names of plays, blocks and tasks, in depth."""
    for entry in content if isinstance(content, list) else []:
        if isinstance(entry, dict):
            if isinstance(entry.get("name"), str):
                yield entry["name"]
            for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
                yield from names(entry.get(part))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_is_a_verb_and_an_object(path: Path) -> None:
    found = list(names(yaml.safe_load(path.read_text(encoding="utf-8"))))
    wrong = [name for name in found if name.split()[0] not in VERBS or (len(name.split()) < 2 and name != "Plan")]
    assert not wrong, f"a name begins with a verb of tests/unit/test_words.py and says on what it acts: {wrong}"
    vague = [
        name for name in found if re.search(r"\b(it|them|those|everything else|what is there|somebody|nobody)$", name)
    ]
    assert not vague, f"a name says what it acts on, not a pronoun: {vague}"


def test_the_glossary_is_in_order() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.M)
    assert len(rows) > 30
    assert rows == sorted(rows, key=str.lower)
