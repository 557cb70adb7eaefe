# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the logs of a gateway say of one request.

Three programs pass a request on, and each writes a line when it is done with it: Nginx north and the gate under the
request's own identifier, Nginx south under that and under another one, by which the engine knows it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterable, Iterator

IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{8,128}")
# The field with the request's identifier in the lines of each hop, in the order in which a request passes them.
FIELDS = {"north": "request_id", "gate": "request_id", "south": "client_request_id"}
# A client may name many requests the same; the last ones are told.
MOST = 100
# Nginx joins what it tells of several servers by commas, and by colons after a redirect inside.
JOINED = re.compile(r", | : ")
NAMES = {
    "status": "upstream_status",
    "connect_seconds": "upstream_connect_seconds",
    "header_seconds": "upstream_header_seconds",
    "seconds": "upstream_seconds",
}


def is_identifier(text: str) -> bool:
    """Return whether a text can be the identifier of a request; others get a new one at the door."""
    return bool(IDENTIFIER.fullmatch(text))


def of_request(lines: Iterable[bytes], hop: str, request: str) -> list[dict[str, Any]]:
    """Return the entries of a hop's log that are of a request, at most :data:`MOST`, the last ones.

    :param lines: lines of its files in any order; what is no JSON object is passed over.
    :param hop: a key of :data:`FIELDS`.
    """
    needle = request.encode()
    found = []
    for line in lines:
        if needle not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get(FIELDS[hop]) == request:
            found.append({**entry, "hop": hop})
    return sorted(found, key=lambda entry: str(entry.get("time")))[-MOST:]


def number(value: Any) -> float | None:
    """Return a number of a log's line; None for what is none, such as Nginx's dash."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def servers(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the servers that Nginx asked for a request, in this order: ``address``, ``status`` (0 if there was none),
    ``seconds``, ``connect_seconds`` and ``header_seconds``, each None if it did not come so far.
    """
    addresses = JOINED.split(str(entry.get("upstream") or "-"))
    columns = {name: JOINED.split(str(entry.get(field) or "-")) for name, field in NAMES.items()}
    for place, address in enumerate(addresses):
        if address == "-":
            continue
        values = {name: number(column[place]) if place < len(column) else None for name, column in columns.items()}
        yield {"address": address, **values, "status": int(values["status"] or 0)}
