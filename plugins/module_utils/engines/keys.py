# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file from which an engine reads the keys that it accepts: the SHA-256 of each in hex, on a line of its own.

Pure functions. Keys are long and random, so they cannot be recovered from their hashes by guessing.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Iterable, Mapping, Sequence

FILE = "accepted_keys"
# Every engine answers here, and nobody without a key.
ASKED = "/v1/models"
REFUSALS = (401, 403)
_DIGEST = re.compile(r"[0-9a-f]{64}")


def fingerprint(key: str) -> str:
    """Return the SHA-256 of a key, in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def parse(text: str) -> list[str]:
    """Return the fingerprints in a file; what is none is left out."""
    return [line for line in text.split() if _DIGEST.fullmatch(line)]


def text(fingerprints: Iterable[str]) -> str:
    """Return the text of a file."""
    return "".join(f"{one}\n" for one in fingerprints)


def earlier(accepted: Iterable[str], own: str) -> list[str]:
    """Return the fingerprints that are not that of the key in force, each once, in their order."""
    return [one for one in dict.fromkeys(accepted) if one != own]


def is_among(own: str, values: Mapping[str, str]) -> bool:
    """Return whether one of these values is the key with this fingerprint."""
    return any(fingerprint(value) == own for value in values.values())


def problems(engines: Sequence[Mapping[str, Any]], statuses: Sequence[int], rotated: bool) -> list[str]:
    """Return sentences about engines that would refuse the requests of a gateway with another key.

    :param engines: ``{name, host, given}`` of each; ``given`` says whether the run gave its host the key.
    :param statuses: what each answered to the key; 0 for nothing.
    :param rotated: whether the gateway has another key now; one that is new has none.
    """
    found = []
    for one, status in zip(engines, statuses):
        place = f"{one['host']}: {one['name']}"
        if status in REFUSALS:
            found.append(f"{place} does not accept the key of this run (llm_engine_api_key) yet.")
        elif rotated and not status and not one["given"]:
            # What answers nothing on a host that was given the key reads it when it starts.
            found.append(f"{place} does not answer, and this run did not give its host the key.")
    return found
