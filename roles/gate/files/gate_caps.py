# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much structure a request may ask for.

An engine compiles schemas, choices and tools into a grammar, in a time that grows with the square of their entries and
in a few threads that all requests share: twenty thousand choices jam the JSON answers of everybody for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson
from gate_content import RequestError

# Fields that become a grammar, or a prompt as long as they are.
STRUCTURED = (
    "response_format",
    "structured_outputs",
    "tools",
    "functions",
    "text",
    "output_config",
    "output_format",
)
# Where a schema may be written as a string.
SCHEMAS = frozenset(("json", "schema", "json_schema", "structural_tag"))
# Of the schemas in strings too.
MOST_DEPTH = 100
# Cheap to look for; only a body that has one of them is walked. A string is walked as the JSON that it holds.
COUNTED = (b'"enum"', b'"choice"', b'"const"', b'\\"enum', b'\\"const', b"\\\\u00")


def check(body: Mapping[str, object], tools: int, size: int, entries: int) -> None:
    """Refuse what would take an engine too long to compile."""
    given = [name for name in STRUCTURED if name in body]
    if not given:
        return
    for name in ("tools", "functions"):
        value = body.get(name)
        if isinstance(value, list) and len(value) + sum(map(_grouped, value)) > tools:
            raise RequestError(f"{name} must hold at most {tools} tools.", name)
    written = {name: orjson.dumps(body[name]) for name in given}
    total = sum(map(len, written.values()))
    if total > size:
        largest = max(given, key=lambda name: len(written[name]))
        names = " and ".join(given)
        raise RequestError(f"{names} must have at most {size} bytes in all, and have {total}.", largest)
    count = 0
    for name, text in written.items():
        if any(mark in text for mark in COUNTED):
            count += sum(_entries(body[name], name))
            if count > entries:
                raise RequestError(f"{name} must hold at most {entries} choices and entries of enum.", name)


def _grouped(tool: object) -> int:
    """The number of tools in a group."""
    inner = tool.get("tools") if isinstance(tool, dict) else None
    return len(inner) if isinstance(inner, list) else 0


def _entries(value: object, name: str, left: int = MOST_DEPTH) -> Iterator[int]:
    """The entries in a value, from outside to inside."""
    if not left:
        raise RequestError(f"A schema must not be nested deeper than {MOST_DEPTH}.", name or None)
    if isinstance(value, list):
        for item in value:
            yield from _entries(item, "", left - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("enum", "choice") and isinstance(item, list):
                yield len(item)
            elif key == "const":
                yield 1
            yield from _entries(item, key, left - 1)
    elif isinstance(value, str) and name in SCHEMAS and value.lstrip()[:1] in ("{", "["):
        try:
            schema = orjson.loads(value)
        except ValueError:
            return
        yield from _entries(schema, "", left - 1)
