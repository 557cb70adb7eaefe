# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""API keys of the gateway and their teams, in one JSON file that is read again whenever it changes.

Knows nothing of LiteLLM, so that it can be tested, and used to check a file before it lands:

    python gate_keyring.py keys.json

    {"keys": [{"alias": "team-a", "sha256": "<64 hex digits>", "models": ["chat"], "rpm": 60, "tpm": 10000,
               "max_parallel_requests": 4, "expires": "2027-01-31", "blocked": false, "scope": "inference",
               "team": "research", "priority": -5, "tags": ["cost-centre-7"], "person": "id",
               "budget": {"amount": 50, "per": "month"}}],
     "teams": [{"name": "research", "models": ["chat"], "rpm": 600, "tpm": 100000, "max_parallel_requests": 16,
                "priority": 10}]}

Only `alias` and `sha256` of a key and `name` of a team are required; values of keys are kept as hashes alone. No
`models` means every model; no limit means none. A key may use what it and its team may. `expires` is a time in ISO
8601, or a date, which is the last day (UTC) on which the key works. The scope `metrics` opens /metrics alone. Of two
waiting requests an engine begins the one with the smaller `priority`; a key's own wins over its team's, and without
either it is 0. With a `person` its requests say for whom they are, see `gate_person`; no other key's are believed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from gate_budgets import Budget, budget

LOG = logging.getLogger("gate.keyring")
SCOPES = ("inference", "metrics")
PERSONS = ("id", "email")
SHARED = frozenset(("models", "rpm", "tpm", "max_parallel_requests", "priority", "budget"))
FIELDS = SHARED | {"alias", "sha256", "expires", "blocked", "scope", "team", "tags", "person"}
TEAM_FIELDS = SHARED | {"name"}
MOST_PRIORITY = 1000


class KeyFileError(ValueError):
    """The file is not what it must be; the message says where."""


@dataclass(frozen=True)
class Team:
    """What the keys of a team may do together."""

    name: str
    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None
    priority: int | None = None
    budget: Budget | None = None


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
    team: Team | None = None
    own_priority: int | None = None
    tags: tuple[str, ...] = ()
    # Whether its requests say for whom they are, and by what. Such a key is that of a page which knows people.
    person: str = ""
    budget: Budget | None = None

    @property
    def priority(self) -> int:
        """Its own priority, else that of its team, else 0."""
        if self.own_priority is not None:
            return self.own_priority
        return (self.team.priority if self.team else None) or 0

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


def _priority(entry: dict[str, object], where: str) -> int | None:
    value = entry.get("priority")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_PRIORITY:
        raise KeyFileError(
            f"{where}: priority must be a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}, not {value!r}"
        )
    return value


def _budget(entry: dict[str, object], where: str) -> Budget | None:
    try:
        return budget(entry["budget"]) if entry.get("budget") is not None else None
    except ValueError as error:
        raise KeyFileError(f"{where}: {error}") from None


def _names(entry: dict[str, object], name: str, where: str) -> tuple[str, ...]:
    value = entry.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise KeyFileError(f"{where}: {name} must be a list of names")
    return tuple(value)


def _known(entry: dict[str, object], fields: frozenset[str], where: str) -> None:
    unknown = sorted(set(entry) - fields)
    if unknown:
        raise KeyFileError(f"{where}: unknown fields {', '.join(unknown)}")


def _team(entry: object, where: str) -> Team:
    if not isinstance(entry, dict):
        raise KeyFileError(f"{where} must be an object")
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise KeyFileError(f"{where}: name is missing")
    where = f"{where} ({name})"
    _known(entry, TEAM_FIELDS, where)
    return Team(
        name=name,
        models=_names(entry, "models", where),
        rpm=_limit(entry, "rpm", where),
        tpm=_limit(entry, "tpm", where),
        max_parallel_requests=_limit(entry, "max_parallel_requests", where),
        priority=_priority(entry, where),
        budget=_budget(entry, where),
    )


def _key(entry: object, where: str, teams: Mapping[str, Team]) -> tuple[str, Key]:
    if not isinstance(entry, dict):
        raise KeyFileError(f"{where} must be an object")
    alias, digest = entry.get("alias"), entry.get("sha256")
    if not isinstance(alias, str) or not alias:
        raise KeyFileError(f"{where}: alias is missing")
    where = f"{where} ({alias})"
    _known(entry, FIELDS, where)
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise KeyFileError(f"{where}: sha256 must be 64 hex digits")
    models = _names(entry, "models", where)
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
    person = entry.get("person") or ""
    if person and person not in PERSONS:
        raise KeyFileError(f"{where}: person must be one of {', '.join(PERSONS)}")
    team = entry.get("team")
    if team is not None and (not isinstance(team, str) or team not in teams):
        raise KeyFileError(f"{where}: there is no team {team!r}")
    key = Key(
        alias=alias,
        models=models,
        rpm=_limit(entry, "rpm", where),
        tpm=_limit(entry, "tpm", where),
        max_parallel_requests=_limit(entry, "max_parallel_requests", where),
        expires=expiry,
        blocked=blocked,
        scope=scope,
        team=teams[team] if team is not None else None,
        own_priority=_priority(entry, where),
        tags=_names(entry, "tags", where),
        person=str(person),
        budget=_budget(entry, where),
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
    given = document.get("teams", [])
    if not isinstance(given, list):
        raise KeyFileError("teams must be a list")
    teams: dict[str, Team] = {}
    for number, entry in enumerate(given):
        team = _team(entry, f"teams[{number}]")
        if team.name in teams:
            raise KeyFileError(f"teams[{number}] ({team.name}): name is used twice")
        teams[team.name] = team
    ring: dict[str, Key] = {}
    for number, entry in enumerate(entries):
        digest, key = _key(entry, f"keys[{number}]", teams)
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

    def every(self) -> Iterable[Key]:
        """The keys in force."""
        return self._ring.values()

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
