# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Take documents apart that an engine sent: they may hold anything, so nothing in them is taken for granted.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
import math
from typing import Any


class WrongError(Exception):
    """An answer is not what was asked for; the text says why."""


def parsed(text: str) -> Any:
    """Return a document, null where it is none."""
    try:
        return json.loads(text)
    # Many brackets make the parser recurse as deep.
    except (ValueError, RecursionError):
        return None


def get(document: Any, *keys: str) -> Any:
    """Return what stands under these keys, one below the other; null where there is nothing."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def dicts(document: Any, key: str) -> list[dict[str, Any]]:
    """Return the objects in the list under a key."""
    entries = get(document, key)
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def number(value: Any) -> int | None:
    """Return a value that can be a count of tokens; null for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def finite(value: Any) -> bool:
    """Check whether a value is a number, and neither infinite nor NaN."""
    # Whole numbers of any length are JSON, and beyond the largest float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def message_of(text: str) -> str:
    """Return the message of an error in OpenAI's or FastAPI's format, else the beginning of the text."""
    document = parsed(text)
    for keys in (("error", "message"), ("message",), ("detail",), ("error",)):
        found = get(document, *keys)
        if found and isinstance(found, str):
            return found
    return text


def words(message: Any) -> str:
    """Return what a message or a delta says: its content and its reasoning, or that it calls a tool."""
    said = [get(message, key) for key in ("content", "reasoning_content", "reasoning")]
    if any(one and isinstance(one, str) for one in said):
        return "".join(one for one in said if isinstance(one, str))
    return "a tool call" if get(message, "tool_calls") else ""


def beside(text: str) -> str:
    """Return a text as the end of a sentence; empty for none."""
    return f" with {text}" if text else ""
