# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast instances were when playbooks/benchmark.yml measured them, remembered with the facts of their hosts.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

MOST = 20
# Two measurements with the same values are of the same thing, and the later one counts.
SAME = ("digest", "through", "input_len", "output_len")
# A measurement holds for an instance with the same values.
KEY = (
    "engine",
    "source",
    "device",
    "product_name",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "dtype",
    "quantization",
    "kv_cache_dtype",
)
UNKNOWN = "not measured, so nobody knows: playbooks/benchmark.yml -e model={}"


def merged(earlier: list[dict[str, Any]], speed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the speeds that a host remembers, the latest first."""
    others = [one for one in earlier if any(one.get(name) != speed[name] for name in SAME)]
    return [dict(speed), *others][:MOST]


def remembered(known: Mapping[str, Any], host: str, speeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts that are kept beside the inventory with the speeds of a host, if they have that host.

    :param known: content of the file, with ``hosts``.
    """
    hosts = known.get("hosts") or {}
    return {**known, "hosts": {**hosts, host: {**hosts[host], "speeds": speeds}}} if hosts.get(host) else dict(known)


def known(hosts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the speeds of all hosts, the latest first."""
    found = [one for facts in hosts.values() for one in facts.get("speeds") or []]
    return sorted(found, key=lambda one: str(one["when"]), reverse=True)


def of(instance: Mapping[str, Any], speeds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the latest speed that was measured of such an instance; null for none.

    :param speeds: the latest first.
    """
    wanted = [instance.get(name) for name in KEY]
    return next((one for one in speeds if [one.get(name) for name in KEY] == wanted), None)


def sentence(speed: Mapping[str, Any]) -> str:
    """Return how fast one instance was."""
    return (
        f"{speed['tokens_per_second']:,.0f} tokens per second of {speed['at_once']} answers at once "
        f"({speed['input_len']} tokens in, {speed['output_len']} out, release {speed['release']}, {speed['when'][:10]})"
    )


def note(instances: list[Mapping[str, Any]], hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how fast the instances of each model are, as far as it was measured; empty if nothing was.

    :param instances: of a plan.
    """
    speeds = known(hosts)
    if not speeds:
        return ""
    lines = {one["model"]: UNKNOWN.format(one["model"]) for one in instances}
    for one in instances:
        found = of(one, speeds)
        if found:
            lines[one["model"]] = sentence(found)
    return "\n".join(["Measured speed of one instance:", *(f"  {model}: {text}" for model, text in lines.items())])
