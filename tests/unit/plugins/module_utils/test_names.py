# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The prefix of everything that the collection creates is one word; roles, which cannot import it, repeat it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX, account
from hypothesis import given
from hypothesis import strategies as st
from role_files import defaults

ROOT = Path(__file__).resolve().parents[4]
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
SERVICES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)


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


@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ("vllm-chat-0", "llm-vllm-chat-0"),
        # The longest name that stays, and the first that is shortened.
        ("vllm-a-model-of-27-letter-0", "llm-vllm-a-model-of-27-letter-0"),
        ("vllm-a-model-of-28-letters-0", "llm-vllm-a-model-of-_ba2770d1b8"),
        ("vllm-qwen2.5-0", "llm-vllm-qwen2-5-0_33dc8a33ea"),
    ],
)
def test_names_of_accounts(service: str, wanted: str) -> None:
    """They never change, because directories belong to them."""
    assert account(service) == wanted


@given(st.sets(SERVICES, min_size=2, max_size=30))
def test_every_service_has_an_account_that_all_programs_accept(services: set[str]) -> None:
    found = {account(service) for service in services}
    assert len(found) == len(services)
    for name in found:
        assert re.fullmatch(r"llm-[a-z0-9][a-z0-9_-]{0,26}", name), name


def test_instances_that_differ_only_at_the_end_have_different_accounts() -> None:
    long = "vllm-" + "a" * 48
    assert len({account(f"{long}-{replica}") for replica in range(200)}) == 200


def test_a_dot_and_a_dash_are_not_the_same() -> None:
    assert account("vllm-a.b-0") != account("vllm-a-b-0")
