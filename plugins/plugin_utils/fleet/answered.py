# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of how engines would start: answers that hosts keep, and those of the shipped table."""

from __future__ import annotations

import functools
import json
import posixpath
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import shipped
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory

SHIPPED = posixpath.join(posixpath.dirname(__file__), "answers.json")
"""Written by tests/vllm/table.py."""


@functools.lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """Return the shipped table."""
    with open(SHIPPED, encoding="utf-8") as file:
        return dict(json.load(file))


def releases() -> dict[str, str]:
    """Return the releases of the table, by engine: those that the collection installs."""
    return {str(table()["engine"]): str(table()["release"])}


def answers(
    hosts: dict[str, dict[str, Any]], models: list[dict[str, Any]], releases: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return what engines answered on hosts, and after it, so that it counts less, what the shipped table has.

    :param hosts: inference hosts by name with what they told.
    :param models: resolved models with their facts.
    :param releases: release by engine, of those that hosts run.
    """
    return [*memory.engine_answers(hosts), *shipped.answers(table(), models, hosts, releases)]
