# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight asks for the same Pythons as the roles, which check them again where they are used alone."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from role_files import defaults

ROLES = Path(__file__).resolve().parents[4] / "roles"


def test_preflight_and_the_role_of_open_webui_say_the_same() -> None:
    (python,) = defaults("fleet_defaults")["llm_pythons"]
    check = yaml.safe_load((ROLES / "open_webui" / "tasks" / "main.yml").read_text())[0]["ansible.builtin.assert"]
    versions = re.findall(r"'(\d+\.\d+)'", python["versions"])
    assert versions == re.findall(r"'(\d+\.\d+)'", check["that"])
    assert f"runs on {' and '.join(versions)} alone" in check["fail_msg"]
    assert python["remedy"].strip() in check["fail_msg"].replace("Have a", "have a")
    assert python["program"] in check["fail_msg"]
