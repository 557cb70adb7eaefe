# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every filter and lookup has what ansible-doc needs to show it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
FILES = sorted([*PLUGINS.glob("filter/*.yml"), *PLUGINS.glob("lookup/*.yml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_documentation_is_whole(path: Path) -> None:
    told = yaml.safe_load(path.read_text())["DOCUMENTATION"]
    assert told["name"] == path.stem
    assert [key for key in ("author", "description", "short_description", "version_added") if not told.get(key)] == []
