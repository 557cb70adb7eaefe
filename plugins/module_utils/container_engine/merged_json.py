# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Merge settings into a JSON file that others write too, and take them out again without touching what is theirs.

What was set is remembered as a tree of digests, so that a memory of secrets holds none. A value counts as ours where we
changed it; one that was there already, although the same, stays its owner's.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple


class DocumentError(Exception):
    """The text is no JSON object."""


class Merged(NamedTuple):
    """The new document, and which of its values are ours."""

    document: dict[str, Any]
    owned: dict[str, Any]


def parse(text: str) -> dict[str, Any]:
    """Read a JSON object; nothing at all counts as an empty one."""
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DocumentError(str(error)) from error
    if not isinstance(document, dict):
        raise DocumentError(f"a JSON object is expected, not a {type(document).__name__}")
    return document


def text_of(document: dict[str, Any]) -> str:
    """Write a JSON object in the order of its keys."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def shown(document: dict[str, Any]) -> str:
    """Format a JSON object for display, without the credentials in URLs (proxies, mirrors)."""
    return re.sub(r"(://)[^/@\s\"]+@", r"\1********@", text_of(document))


def digest(value: Any) -> str:
    """Return the digest that represents a value in the record."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def is_ours(value: Any, owned: Any) -> bool:
    """Check whether the collection set the whole value."""
    if isinstance(value, dict) and value:
        return isinstance(owned, dict) and all(is_ours(value[key], owned.get(key)) for key in value)
    if isinstance(value, list) and value:
        return isinstance(owned, list) and all(digest(item) in owned for item in value)
    return bool(owned == digest(value))


def with_fallback(
    document: dict[str, Any], values: dict[str, Any], fallback: dict[str, Any], owned: dict[str, Any]
) -> dict[str, Any]:
    """Return the wanted values, with the fallback values added if nobody else has set any of them."""
    taken = any(key in values or (key in document and not is_ours(document[key], owned.get(key))) for key in fallback)
    return dict(values) if taken else {**fallback, **values}


def merge(document: dict[str, Any], values: dict[str, Any], owned: dict[str, Any]) -> Merged:
    """Set the wanted values, remove ours that are no longer wanted, and leave everything else.

    Objects are merged key by key, lists are joined, anything else is replaced.
    """
    result, ours = dict(document), {}
    mark: Any
    for key in (*values, *(key for key in owned if key not in values)):
        before, mine = document.get(key), owned.get(key)
        if key not in values:
            left = without(before, mine)
            if left is None:
                result.pop(key, None)
            else:
                result[key] = left
            continue
        wanted = values[key]
        if isinstance(wanted, dict) and wanted:
            part = merge(before if isinstance(before, dict) else {}, wanted, mine if isinstance(mine, dict) else {})
            result[key], mark = part.document, part.owned
        elif isinstance(wanted, list) and wanted:
            result[key], mark = joined(before, wanted, mine)
        else:
            result[key] = wanted
            kept = key in document and type(before) is type(wanted) and before == wanted and mine != digest(wanted)
            mark = None if kept else digest(wanted)
        if mark:
            ours[key] = mark
    return Merged(result, ours)


def joined(before: Any, wanted: list[Any], mine: Any) -> tuple[list[Any], list[str]]:
    """Return a list with the wanted items after the others', and which items are ours."""
    before = before if isinstance(before, list) else []
    mine = mine if isinstance(mine, list) else []
    foreign = [item for item in before if digest(item) not in mine]
    kept = [item for item in before if item in foreign or item in wanted]
    added = [item for item in wanted if item not in kept]
    return kept + added, [digest(item) for item in wanted if item not in foreign]


def without(value: Any, mine: Any) -> Any:
    """Return a value without the parts that are ours; None if nothing is left."""
    if value is None:
        return None
    if isinstance(mine, dict):
        return (merge(value, {}, mine).document or None) if isinstance(value, dict) else value
    if isinstance(mine, list):
        return ([item for item in value if digest(item) not in mine] or None) if isinstance(value, list) else value
    return None if digest(value) == mine else value
