# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for benchmarks: thin wrappers around plugin_utils."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import comparison, order, page, result, text
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import speeds


def benchmark_order(given: dict[str, Any], hosts: dict[str, Any]) -> dict[str, Any]:
    """Return what is sent, or for which problems nothing is."""
    found = order.order(plain(given), plain(hosts))
    return {**found, "problems": [problem._asdict() for problem in found["problems"]]}


def benchmark_result(
    told: dict[str, Any], wanted: dict[str, Any], when: str, before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return all that is kept of a benchmark."""
    done = result.run(plain(wanted), plain(told), str(when))
    return {**done, "comparison": comparison.compare(done, plain(before)), "speed": result.speed(done)}


def benchmark_text(done: dict[str, Any], form: str) -> str:
    """Return a benchmark as a table or as JSON."""
    return text.text(plain(done), str(form))


def benchmark_page(done: dict[str, Any]) -> str:
    """Return a benchmark as a page of HTML."""
    return page.benchmark_page(plain(done))


def merged_speeds(earlier: list[dict[str, Any]], speed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the speeds that a host remembers."""
    return speeds.merged(plain(earlier), plain(speed))


def remembered_speeds(known: dict[str, Any], host: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts beside the inventory with the speeds of a host."""
    return speeds.remembered(plain(known), str(host), plain(found))


def speeds_note(instances: list[dict[str, Any]], hosts: dict[str, Any]) -> str:
    """Return how fast the instances of a plan are."""
    return speeds.note(plain(instances), plain(hosts))


class FilterModule:
    """Filters for benchmarks."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "benchmark_order": benchmark_order,
            "benchmark_page": benchmark_page,
            "benchmark_result": benchmark_result,
            "benchmark_text": benchmark_text,
            "merged_speeds": merged_speeds,
            "remembered_speeds": remembered_speeds,
            "speeds_note": speeds_note,
        }
