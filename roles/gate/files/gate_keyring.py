# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""API keys of the gateway, kept as hashes in one JSON file that is read again whenever it changes.

Knows nothing of LiteLLM, so that it can be tested, and used to check a file before it lands:

    python gate_keyring.py keys.json

    {"keys": [{"alias": "team-a", "sha256": "<64 hex digits>", "models": ["chat"], "rpm": 60, "tpm": 10000,
               "max_parallel_requests": 4, "expires": "2027-01-31", "blocked": false, "scope": "inference"}]}

Only `alias` and `sha256` are required. No `models` means every model; no limit means none. `expires` is a time in ISO
8601, or a date, which is the last day (UTC) on which the key works. The scope `metrics` opens /metrics alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

LOG = logging.getLogger("gate.keyring")
SCOPES = ("inference", "metrics")
FIELDS = frozenset(("alias", "sha256", "models", "rpm", "tpm", "max_parallel_requests", "expires", "blocked", "scope"))


class KeyFileError(ValueError):
    """The file is not what it must be; the message says where."""


@dataclass(frozen=True)
class Key:
    """What one key may do. The key itself is not known here."""

    alias: str
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None
    expires: datetime | None = None
    blocked: bool = False
    scope: str = "inference"

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


def fingerprint(secret: str) -> str:
    """SHA-256 of a key, in hex.

    Keys are long and random, so a plain fast hash is as good as a slow one. Looking the digest up in a dict does not
    need constant time either: what an attacker learns about the digest of a guess tells nothing about another guess.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def parse_expiry(text: str) -> datetime:
    """The moment from which a key no longer works."""
    moment = datetime.fromisoformat(text)
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d{8}", text):
        # A key that works for ever is often written with the last day that there is.
        moment = moment + timedelta(days=1) if moment.date() < date.max else datetime.max
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _limit(entry: dict[str, object], name: str, where: str) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise KeyFileError(f"{where}: {name} must be a whole number of at least 1, not {value!r}")
    return value


def _key(entry: object, where: str) -> tuple[str, Key]:
    if not isinstance(entry, dict):
        raise KeyFileError(f"{where} must be an object")
    alias, digest = entry.get("alias"), entry.get("sha256")
    if not isinstance(alias, str) or not alias:
        raise KeyFileError(f"{where}: alias is missing")
    where = f"{where} ({alias})"
    unknown = sorted(set(entry) - FIELDS)
    if unknown:
        raise KeyFileError(f"{where}: unknown fields {', '.join(unknown)}")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise KeyFileError(f"{where}: sha256 must be 64 hex digits")
    models = entry.get("models") or []
    if not isinstance(models, list) or not all(isinstance(model, str) and model for model in models):
        raise KeyFileError(f"{where}: models must be a list of names")
    expires = entry.get("expires")
    try:
        expiry = parse_expiry(str(expires)) if expires else None
    except ValueError:
        raise KeyFileError(f"{where}: expires is not an ISO 8601 date or time: {expires!r}") from None
    blocked = entry.get("blocked", False)
    if not isinstance(blocked, bool):
        raise KeyFileError(f"{where}: blocked must be true or false")
    scope = entry.get("scope", "inference")
    if scope not in SCOPES:
        raise KeyFileError(f"{where}: scope must be one of {', '.join(SCOPES)}")
    key = Key(
        alias=alias,
        models=tuple(models),
        rpm=_limit(entry, "rpm", where),
        tpm=_limit(entry, "tpm", where),
        max_parallel_requests=_limit(entry, "max_parallel_requests", where),
        expires=expiry,
        blocked=blocked,
        scope=scope,
    )
    return digest, key


def parse(text: str) -> dict[str, Key]:
    """Keys by the SHA-256 of their value."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise KeyFileError(f"not JSON: {error}") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeyFileError('must be an object with a list "keys"')
    ring: dict[str, Key] = {}
    for number, entry in enumerate(entries):
        digest, key = _key(entry, f"keys[{number}]")
        if digest in ring:
            raise KeyFileError(f"keys[{number}] ({key.alias}): same value as {ring[digest].alias}")
        if any(key.alias == other.alias for other in ring.values()):
            raise KeyFileError(f"keys[{number}] ({key.alias}): alias is used twice")
        ring[digest] = key
    return ring


class Keyring:
    """The keys of one file. A change is seen within a second; after one that is no good, the last good keys stay."""

    INTERVAL = 0.5

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._looked = float("-inf")
        self._ring: dict[str, Key] = {}
        self._seen: tuple[int, ...] | None = None

    def find(self, secret: str) -> Key | None:
        now = self._clock()
        if now - self._looked >= self.INTERVAL:
            self._looked = now
            self._refresh()
        return self._ring.get(fingerprint(secret))

    def _refresh(self) -> None:
        version: tuple[int, ...]
        try:
            status = os.stat(self.path)
            version = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError:
            version = ()
        if version == self._seen:
            return
        self._seen = version
        try:
            with open(self.path, encoding="utf-8") as file:
                self._ring = parse(file.read())
        except (OSError, ValueError) as error:
            LOG.error("%s cannot be used (%s); %d keys read before stay in force", self.path, error, len(self._ring))


def main(arguments: list[str]) -> int:
    for path in arguments:
        try:
            with open(path, encoding="utf-8") as file:
                parse(file.read())
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
