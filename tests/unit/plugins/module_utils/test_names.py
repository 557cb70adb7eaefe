# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The prefix of everything that the collection creates is one word; roles, which cannot import it, repeat it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from role_files import defaults

ROOT = Path(__file__).resolve().parents[4]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def test_roles_have_the_same_prefix() -> None:
    variables = {
        role: yaml.safe_load((ROOT / f"roles/{role}/vars/main.yml").read_text()) for role in ("service", "nginx")
    }
    assert variables["service"]["__service_prefix"] == PREFIX
    assert variables["nginx"]["__nginx_user"] == f"{PREFIX}nginx"
    assert defaults("container_engine")["container_engine_drain_units"] == f"{PREFIX}*.service"
    assert f"journalctl -u {PREFIX}{{}}" in defaults("fleet_defaults")["llm_log_command"]


def test_no_other_file_of_python_writes_it() -> None:
    assert len(PLUGINS) > 100
    holders = [
        str(path.relative_to(ROOT))
        for path in PLUGINS
        # Documentation blocks and examples show the names that a reader sees on a host.
        if re.search(rf"""["']{PREFIX}""", re.sub(r'r?""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.S))
    ]
    assert holders == ["plugins/module_utils/names.py"]
