# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""What runs where: one list of rows from what hosts tell, and its table for a terminal.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth, holds
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table

UNREACHABLE, ABSENT = "unreachable", "absent"
NOTHING = "-"
HEADER = (
    "MODEL",
    "INSTANCE",
    "HOST",
    "ENGINE",
    "REVISION",
    "GEN",
    "STATE",
    "UP SINCE (UTC)",
    "KV TOKENS PLANNED/MEASURED",
    "KV GIB",
    "RUN/WAIT",
    "LAST",
    "DRIFT",
)
STORES = ("STORE", "HOST", "VERSION", "DATA", "NEWEST BACKUP (UTC)", "NOT BOOKED", "BOOKED (UTC)", "PROBLEM")
# Characters of a commit that are shown.
SHORT = 12
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def _drift(row: dict[str, Any], models: dict[str, dict[str, Any]]) -> list[str]:
    """Return how the record of an instance differs from the inventory."""
    model = models.get(str(row["model"]))
    if model is None:
        return ["the inventory has no such model"]
    if (model["source"], model["revision"]) != (row.get("source"), row.get("requested_revision")):
        return ["the inventory asks for another source or revision"]
    # Without the facts of the model its request is not known.
    if model.get("facts") and row.get("request") and growth.request_digest(model) != row["request"]:
        return ["the inventory asks for other values"]
    return []


def _silent(host: str, known: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a host that does not answer, as remembered by an earlier run."""
    remembered = known.get("instances") or []
    rows = [
        {
            "model": one["model"],
            "instance": one["name"],
            "engine": registry.of(one).name,
            "source": one.get("source"),
            "revision": one.get("revision") or "",
            "requested_revision": one.get("revision"),
            "request": one.get("request"),
            "drift": [],
        }
        for one in remembered
    ]
    return [{**one, "host": host, "state": UNREACHABLE} for one in rows or [{"model": "", "instance": "", "drift": []}]]


def fleet_status(
    reports: dict[str, dict[str, Any]],
    models: list[dict[str, Any]],
    known: dict[str, dict[str, Any]],
    when: str,
    held: dict[str, dict[str, Any]] | None = None,
    stores: dict[str, list[dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    """Return what runs where: ``{when, engines, services, stores, runs, holds}``.

    :param reports: by host what ``engine_status_info`` returned; empty for a host that did not answer.
    :param models: models of the inventory, with facts where they are known.
    :param known: facts of hosts of an earlier run, by host, with ``instances``.
    :param when: the moment, UTC in ISO 8601.
    :param held: by host who holds it, ``{who, since, why}``; its rows have it as ``out``, and ``holds`` are sentences.
    :param stores: by host what ``store_status_info`` returned, of those that have stores.
    """
    by_name = {str(model["name"]): model for model in models}
    engines: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    runs = []
    for host, told in reports.items():
        if "engines" not in told:
            engines += _silent(host, known.get(host) or {})
            continue
        engines += [{**one, "host": host} for one in told["engines"]]
        services += [{**one, "name": str(one["name"]).removeprefix(PREFIX), "host": host} for one in told["services"]]
        runs += [{**told["lock"], "host": host}] if told.get("lock") else []
    away = {host: hold for host, hold in (held or {}).items() if host in reports}
    for one in engines:
        one["out"] = away.get(str(one["host"])) or {}
        one["drift"] = one["drift"] + (_drift(one, by_name) if one["model"] else [])
    for name, model in by_name.items():
        count = sum(one["model"] == name for one in engines)
        if count < int(model.get("replicas") or 1):
            text = f"the inventory asks for {model.get('replicas') or 1}, recorded are {count}"
            engines.append({"model": name, "instance": "", "host": "", "state": ABSENT, "drift": [text]})
    engines.sort(key=lambda one: (not one["model"], str(one["model"]), str(one["instance"]), str(one["host"])))
    said = holds.host_lines(
        away, [{"name": one["instance"], "host": one["host"]} for one in engines if one["instance"]]
    )
    having = [{**one, "host": host} for host, told in (stores or {}).items() for one in told]
    return {"when": when, "engines": engines, "services": services, "stores": having, "runs": runs, "holds": said}


def shown(row: dict[str, Any]) -> list[str]:
    """Return the cells of an engine's row, in the order of :data:`HEADER`; what is not known is a dash."""
    kv = row.get("kv") or {"planned": {}, "measured": {}}
    last = row.get("last") or {}
    held = row.get("held") or {}
    state = str(row["state"]) + (", held" if held else "") + (", out" if row.get("out") else "")
    gib = (kv["planned"].get("bytes") or 0) / 1024**3
    drift = list(row["drift"]) + (
        [f"held by {held.get('who') or 'somebody'}: {held.get('why') or NOTHING}"] if held else []
    )
    cells = [
        row["model"],
        row["instance"],
        row["host"],
        row.get("engine"),
        str(row.get("revision") or "")[:SHORT],
        row.get("generation"),
        state,
        _clock(row.get("since")),
        _pair(kv["planned"].get("tokens"), kv["measured"].get("tokens")),
        f"{gib:.1f}" if gib else None,
        _pair(row.get("running"), row.get("waiting")),
        f"{last['kind']} {_clock(last.get('when'))}: {last.get('verdict')}" if last else None,
        "; ".join(drift),
    ]
    return [NOTHING if cell in (None, "") else _plain(str(cell)) for cell in cells]


def _plain(text: str) -> str:
    """Return a text in one line, without characters that move the cursor of a terminal."""
    return "".join(one if one.isprintable() else " " for one in text).strip()


def shown_service(row: dict[str, Any]) -> list[str]:
    """Return the cells of another service: name, host, state, since when, and the URL of its health."""
    cells = (row["name"], row["host"], row["state"], _clock(row["since"]), row["url"])
    return [_plain(str(cell or NOTHING)) for cell in cells]


def shown_store(row: dict[str, Any]) -> list[str]:
    """Return the cells of a store, in the order of :data:`STORES`; what is not known is a dash."""
    sizes = [None if row[name] is None else _size(row[name]) for name in ("bytes", "unbooked_bytes")]
    moments = [_clock(row[name]) for name in ("backup", "booked")]
    cells = (row["name"], row["host"], row["version"], sizes[0], moments[0], sizes[1], moments[1], row["problem"])
    return [_plain(str(cell or NOTHING)) for cell in cells]


def _size(count: int) -> str:
    """Return a number of bytes as people read it."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.1f} {UNITS[unit]}" if unit else f"{count} {UNITS[0]}"


def _clock(moment: Any) -> str:
    """Return a moment in ISO 8601 as people read it, without seconds; it stays UTC."""
    return str(moment or "")[:16].replace("T", " ")


def _pair(first: Any, second: Any) -> str | None:
    """Return two numbers side by side; None if neither is known."""
    if first is None and second is None:
        return None
    return "/".join(NOTHING if one is None else str(one) for one in (first, second))


def running(one: dict[str, Any]) -> str:
    """Return in words which run holds a host."""
    step = f", {one['step']}" if one.get("step") else ""
    who = f"{one.get('user')} on {one.get('control_host')}"
    run = f"run {one.get('id')}{step}"
    return f"{one['host']} is locked by {one.get('playbook')} of {who} since {one.get('began')} ({run})"


def status_table(status: dict[str, Any]) -> str:
    """Return the status as text for a terminal."""
    services = [shown_service(one) for one in status["services"]]
    parts = [table([shown(one) for one in status["engines"]], HEADER)]
    if services:
        parts.append(table(services, ("SERVICE", "HOST", "STATE", "UP SINCE (UTC)", "HEALTH")))
    if status["stores"]:
        parts.append(table([shown_store(one) for one in status["stores"]], STORES))
    parts += [running(one) for one in status["runs"]]
    parts += [_plain(one) for one in status["holds"]]
    return "\n\n".join(parts)
