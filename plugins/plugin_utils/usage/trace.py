# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the time of one request went, hop by hop, for people and programs.

Pure functions over results of request_info; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils import addresses
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table
from ansible_collections.llmfleet.serving.plugins.module_utils.usage import hops

FORMATS = ("table", "json")
HEADS = ("hop", "what", "status", "seconds", "to its first byte")
# Sums of one request's lines differ by what clocks of a millisecond round.
ROUNDED = 0.0015
LEFT = 499


def problems(request: Any, form: Any) -> list[Problem]:
    """Return what is wrong with the words of the playbook."""
    found = []
    if not hops.is_identifier(str(request)):
        remedy = "give that of the answer's header x-request-id: -e request=ID"
        found.append(Problem("request", request, "it is no identifier of a request", remedy))
    if form not in FORMATS:
        found.append(Problem("format", form, "there is no such form", f"give one of {', '.join(FORMATS)}"))
    return found


def text(results: dict[str, Any], instances: list[dict[str, Any]], request: str, form: str) -> str:
    """Return what happened to a request.

    :param results: results of request_info by gateway, of those that answered.
    :param instances: instances in force, whose ``host``, ``address``, ``port`` and ``name`` tell which server is which.
    """
    gateways = {}
    for host, found in results.items():
        places = _places(host, instances)
        gateways[host] = [_named(hop, places) for hop in found.get("hops") or []]
    if form == "json":
        return json.dumps({"request": request, "gateways": gateways}, indent=2, ensure_ascii=False)
    parts = [_told(host, found) for host, found in sorted(gateways.items()) if found]
    if parts:
        return "\n\n".join(parts)
    since = ", ".join(f"{host} since {found.get('since') or 'never'}" for host, found in sorted(results.items()))
    return (
        f"No gateway has a line of the request {request}; their logs have lines ({since}). The identifier is that "
        "of the answer's header x-request-id. A request that is still being answered has no line yet."
    )


def _places(gateway: str, instances: list[dict[str, Any]]) -> dict[str, str]:
    """Return the names of instances by the address at which a gateway asks them."""
    return {
        addresses.authority("127.0.0.1" if one["host"] == gateway else str(one.get("address")), one["port"]): (
            f"{one['name']} on {one['host']}"
        )
        for one in instances
        if one.get("port")
    }


def _named(hop: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    """Return a hop whose servers have the names of instances."""
    servers = hop.get("servers")
    if servers is None:
        return hop
    named = [{**one, "name": places.get(one["address"], one["address"])} for one in servers]
    return {**hop, "servers": named}


def _told(host: str, found: list[dict[str, Any]]) -> str:
    """Return what one gateway knows, as a table and a sentence."""
    north = [one for one in found if one["hop"] == "north"]
    first = (north or found)[0]
    what = f": {first.get('method')} {first.get('path')}" if north else ""
    rows = [row for one in found for row in _rows(one)]
    return "\n".join([f"{host}, {first.get('time')}{what}", table(rows, HEADS), *_spent(found)])


def _rows(hop: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    """Give the rows of a hop: one, or one for each server that Nginx south asked."""
    if hop["hop"] == "north":
        yield ("nginx", f"door {hop.get('door')}, client {hop.get('client')}", *_figures(hop, None))
    elif hop["hop"] == "gate":
        team = f", team {hop['team']}" if hop.get("team") else ""
        tokens = f"{hop.get('prompt_tokens')} and {hop.get('completion_tokens')} tokens"
        cached = f" ({hop['cached_tokens']} cached)" if hop.get("cached_tokens") else ""
        kept = ", a kept answer" if hop.get("kept_answer") else ""
        what = f"key {hop.get('key')}{team}, model {hop.get('model')}, {tokens}{cached}{kept}"
        yield ("gate", what, *_figures(hop, hop.get("first_byte_seconds")))
    elif not hop["servers"]:
        yield ("nginx-south", "asked no engine", *_figures(hop, None))
    else:
        for server in hop["servers"]:
            yield ("engine", server["name"], *_figures(server, server["header_seconds"]))


def _figures(values: dict[str, Any], first: Any) -> tuple[str, str, str]:
    status = int(values.get("status") or 0)
    return (str(status) if status else "none", _seconds(values.get("seconds")), _seconds(first))


def _seconds(value: Any) -> str:
    found = hops.number(value)
    return "" if found is None else f"{found:.3f}"


def _spent(found: list[dict[str, Any]]) -> list[str]:
    """Return sentences on where the time went; nothing where a name stands for several requests."""
    by_hop: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        by_hop.setdefault(one["hop"], []).append(one)
    if any(len(several) > 1 for several in by_hop.values()):
        return ["Several requests have this identifier, so their hops cannot be told apart."]
    whole = {hop: hops.number(several[0].get("seconds")) for hop, several in by_hop.items()}
    north, gate, south = (whole.get(hop) for hop in hops.FIELDS)
    said = []
    if north is not None and gate is not None:
        said.append(f"Nginx, the network and the client took {_less(north, gate)} s of {north:.3f} s.")
    if gate is not None and south is not None:
        said.append(f"The gate took {_less(gate, south)} s beside the engine.")
    elif gate is not None and not by_hop["gate"][0].get("kept_answer"):
        said.append("Nginx south has no line of it: LiteLLM translated the request, or no engine was asked.")
    elif gate is None:
        said.append("The gate has no line of it: it was refused before a model was asked, or did not come so far.")
    for one in by_hop.get("south", []):
        failed = [server["name"] for server in one["servers"][:-1]]
        if failed:
            said.append(f"{', '.join(failed)} failed, and another was asked.")
        said.append(f"The engine knows it as {one.get('request_id')}.")
    if any(several[0].get("status") == LEFT for several in by_hop.values()):
        said.append("The client left before its answer was complete (499).")
    return said


def _less(whole: float, part: float) -> str:
    return f"{max(0.0, whole - part - (ROUNDED if whole - part < ROUNDED else 0)):.3f}"
