# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which of a fleet's secrets are given, kept, generated or missing.

Pure logic: the stored file and the hosts' ids are handed in, and what has to be written is handed back.
"""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

# No character needs quoting in YAML, a shell, an environment file or a URL.
ALPHABETS = {
    "key": string.ascii_letters + string.digits + "-_",
    "password": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
}
PREFIXES = {"key": "sk-"}
LENGTHS = {"key": 32, "password": 24, "hex": 64}
SHORTEST = 16


class SecretsError(Exception):
    """The secrets are not available; the message contains the remedy and no secret."""


@dataclass(frozen=True)
class Wish:
    """One secret that the fleet needs."""

    name: str
    kind: str = "password"
    length: int = 0
    given: str = ""


@dataclass(frozen=True)
class Stored:
    """The content of the file beside the inventory."""

    path: str
    present: bool = False
    # An encrypted file belongs to its owner: it is read, and never written.
    encrypted: bool = False
    identity: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The values for the fleet, and the content of the file if it has to be written."""

    identity: str
    values: dict[str, str]
    created: list[str]
    write: bool
    stored: dict[str, str]
    # Stored names that nothing asks for any more. They are not in `stored`, unless the file is encrypted.
    unused: list[str] = field(default_factory=list)


def _refuse(variable: str, value: Any, problem: str, remedy: str) -> NoReturn:
    # The original exception may quote a secret.
    raise SecretsError(Problem(variable, value, problem, remedy).sentence()) from None


def generate(kind: str, length: int) -> str:
    """A new secret; the length is that of its random part."""
    return PREFIXES.get(kind, "") + "".join(secrets.choice(ALPHABETS[kind]) for _position in range(length))


def parse_wishes(names: Mapping[str, Any]) -> list[Wish]:
    """Return the checked option of names. No message shows a value, as a misplaced one may be a secret."""
    wishes = []
    for name, options in names.items():
        if not name.isidentifier():
            problem = "a name is not made of letters, digits and underscores"
            _refuse("names", HIDDEN, problem, "correct that name")
        if not isinstance(options, Mapping):
            _refuse(f"names.{name}", HIDDEN, "this is no dictionary", "give one of kind, length and given")
        unknown = set(options) - {"kind", "length", "given"}
        if unknown:
            problem = f"it has unknown options: {', '.join(sorted(unknown))}"
            _refuse(f"names.{name}", HIDDEN, problem, "use kind, length and given")
        kind = str(options.get("kind") or "password")
        if kind not in ALPHABETS:
            _refuse(
                f"names.{name}.kind", HIDDEN, "there is no such kind", f"give one of {', '.join(sorted(ALPHABETS))}"
            )
        try:
            length = int(options.get("length") or LENGTHS[kind])
        except (TypeError, ValueError):
            _refuse(f"names.{name}.length", HIDDEN, "this is no number", f"give a number from {SHORTEST} on")
        if length < SHORTEST:
            _refuse(f"names.{name}.length", length, "so short a secret can be guessed", f"use {SHORTEST} or more")
        given = "" if options.get("given") is None else str(options["given"])
        if not given.isprintable():
            problem = "it has a line break or another control character in it"
            _refuse(f"names.{name}.given", HIDDEN, problem, "trim the value")
        wishes.append(Wish(str(name), kind, length, given))
    return wishes


def parse_stored(path: str, document: Any, encrypted: bool) -> Stored:
    """Return the checked content of the file."""
    remedy = (
        f"Each of its lines under `secrets:` is `name: value`, and `id:` is a UUID. Correct {path}, or restore a copy."
    )
    if document is None:
        document = {}
    if not isinstance(document, Mapping):
        raise SecretsError(f"{path} is not a dictionary. {remedy}")
    values = document.get("secrets") or {}
    if not isinstance(values, Mapping) or any(isinstance(value, (Mapping, list)) for value in values.values()):
        raise SecretsError(f"`secrets` in {path} is not a dictionary of strings. {remedy}")
    if not all(str(name).isidentifier() for name in values):
        raise SecretsError(f"`secrets` in {path} has a name that is no name of a secret. {remedy}")
    kept = {str(name): str(value) for name, value in values.items() if value not in (None, "")}
    return Stored(path, True, encrypted, str(document.get("id") or ""), kept)


def decide(
    wishes: Iterable[Wish],
    stored: Stored,
    fleet_ids: Iterable[str] = (),
    rotate: Iterable[str] = (),
    adopt: bool = False,
    prune: str = "",
    keep: Iterable[str] = (),
) -> Outcome:
    """Decide on the secrets: set values win over stored ones, these over generated ones. Nothing is generated for a
    running fleet.

    :param prune: beginning of the names whose stored values are removed when nothing asks for them; empty for none.
    :param keep: names that are kept even so.
    """
    wishes = list(wishes)
    rotate = [name for name in rotate if name]
    fleet = sorted({identity for identity in fleet_ids if identity})
    ours = {wish.name for wish in wishes if not wish.given}
    _check_rotation(rotate, wishes, ours)
    # If every value is set, the file is not needed, so it may be missing or belong to another fleet.
    if ours and not adopt:
        _check_identity(stored, fleet, sorted(ours))

    created = [
        wish.name for wish in wishes if wish.name in ours and (wish.name in rotate or wish.name not in stored.values)
    ]
    identity = stored.identity
    new_identity = bool(ours) and not identity
    if stored.encrypted and (created or new_identity):
        raise SecretsError(_encrypted_message(stored.path, created, rotate, new_identity))
    if new_identity:
        identity = str(uuid.uuid4())
    elif not identity and len(fleet) == 1:
        identity = fleet[0]

    asked = {wish.name for wish in wishes}.union(keep)
    unused = sorted(name for name in stored.values if prune and name.startswith(prune) and name not in asked)
    pruned = bool(unused) and not stored.encrypted
    kept = {name: value for name, value in stored.values.items() if not pruned or name not in unused}
    for wish in wishes:
        if wish.name in created:
            kept[wish.name] = generate(wish.kind, wish.length)
    values = {wish.name: wish.given or kept[wish.name] for wish in wishes}
    return Outcome(identity, values, created, bool(created) or new_identity or pruned, kept, unused)


def _check_rotation(rotate: list[str], wishes: list[Wish], ours: set[str]) -> None:
    known = [wish.name for wish in wishes]
    unknown = [name for name in rotate if name not in known]
    if unknown:
        _refuse("rotate", unknown, "this fleet has no such secrets", f"choose of {', '.join(known)}")
    given = [name for name in rotate if name not in ours]
    if given:
        _refuse("rotate", given, "your inventory gives these secrets", "give new values there instead")


def _check_identity(stored: Stored, fleet: list[str], ours: list[str]) -> None:
    strangers = [identity for identity in fleet if identity != stored.identity]
    if not strangers:
        return
    lacks = (
        f"this control node lacks the fleet's secrets: {stored.path} is absent"
        if not stored.present
        else f"{stored.path} holds the secrets of another fleet ({stored.identity or 'no id'})"
    )
    raise SecretsError(
        f"The hosts use the secrets of fleet {', '.join(strangers)}, and {lacks}. "
        f"Copy {stored.path} from the control node that made them, "
        f"or give the values of {', '.join(ours)} in the inventory (ansible-vault or any lookup), "
        "or run with -e llm_secrets_adopt=true to keep what this control node has, make the rest new "
        "and rotate everything."
    )


def _encrypted_message(path: str, created: list[str], rotate: list[str], new_identity: bool) -> str:
    lines = ["id: <a new UUID>"] if new_identity else []
    lines += [f"secrets.{name}" for name in created]
    verb = "Replace" if rotate and set(created) <= set(rotate) else "Add"
    return (
        f"{path} is encrypted with ansible-vault, so it is read and never written, "
        f"and these are to be set: {', '.join(lines)}. "
        f"{verb} them: ansible-vault edit {path}"
    )
