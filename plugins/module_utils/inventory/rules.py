# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for values that users write: numbers, ports, addresses, texts.

A rule is a function that returns the clean value or raises :class:`RefusedError`. Rules that :mod:`schema` uses return
values of the right type; ``parts.py`` combines rules for lists and dictionaries. A variable of a role is used as it is
written, so its rules take no form that programs would not read, such as ``8_080`` or ``8080.0`` for a port.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import nearest

NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?")
WHOLE = re.compile(r"-?[0-9]{1,15}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>\\]+")
# A path is written into configurations and lists of paths as it is.
PATH = re.compile(r"/+[^/\s;:,{}\"'$\\][^\s;:,{}\"'$\\]*")
ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A character that ends a line or a text somewhere on the way to a program.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
# Ansible reads these words as true or false.
ON, OFF = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

# YAML reads 7 as a number, yes as true and 2027-01-31 as a date.
NO_TEXT = ("a text is needed", "write a text; put quotes around a word such as yes or null, a number and a date")

Rule = Callable[[Any], Any]


class RefusedError(ValueError):
    """A value that does not fit its rule; the text is the problem and the remedy.

    :param inside: the way from the value to the part that is refused, e.g. ``[0].name``.
    :param value: that part, if it is not the whole value.
    """

    def __init__(self, problem: str, remedy: str, inside: str = "", value: Any = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.inside = inside
        self.value = value
        self.more: list[RefusedError] = []

    def every(self) -> list[RefusedError]:
        """Return this refusal and those of other parts of the same value."""
        return [self, *self.more]

    def within(self, way: str, value: Any) -> RefusedError:
        """Return this refusal as one of a larger value.

        :param way: the way from the larger value to this one.
        :param value: this value.
        """
        part = value if not self.inside and self.value is None else self.value
        return RefusedError(self.problem, self.remedy, way + self.inside, part)


def label(name: Any, index: int) -> str:
    """Return how messages call an entry of a list: by its name if that is short and on one line, or by index."""
    return name if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 64 else str(index)


def number(minimum: float, maximum: float = math.inf, whole: bool = True) -> Rule:
    """Return a rule for numbers; text is taken where it is one, as templates without native types give it."""
    kind = "a whole number" if whole else "a number"
    limit = f"from {minimum} up" if maximum == math.inf else f"from {minimum} to {maximum}"

    def rule(value: Any) -> Any:
        try:
            if isinstance(value, bool) or (isinstance(value, str) and not NUMBER.fullmatch(value)):
                raise ValueError
            clean = float(value)
            if not math.isfinite(clean) or (whole and clean != int(clean)):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise RefusedError(f"{kind} is needed", f"give {kind} {limit}") from None
        if not minimum <= clean <= maximum:
            raise RefusedError("it is out of range", f"give {kind} {limit}")
        return int(clean) if whole else clean

    return rule


def whole_number(value: Any) -> int | None:
    """Return a whole number, which may be text, as templates without native types give it; null where it is none."""
    if isinstance(value, bool) or not WHOLE.fullmatch(str(value)):
        return None
    return int(value)


def whole(minimum: int, maximum: int | None = None, meaning: str = "a whole number") -> Rule:
    """Return a rule for whole numbers, written with digits alone."""
    limit = f"from {minimum} up" if maximum is None else f"from {minimum} to {maximum}"

    def rule(value: Any) -> int:
        found = whole_number(value)
        if found is None:
            raise RefusedError(f"{meaning} is needed", f"give a whole number {limit}")
        if found < minimum or (maximum is not None and found > maximum):
            raise RefusedError("it is out of range", f"give a whole number {limit}")
        return found

    return rule


def text(pattern: re.Pattern[str], meaning: str) -> Rule:
    """Return a rule for text that matches a pattern as a whole."""

    def rule(value: Any) -> str:
        if not isinstance(value, str):
            raise RefusedError(*NO_TEXT)
        if not pattern.fullmatch(value):
            raise RefusedError("it has the wrong form", f"use {meaning}")
        return value

    return rule


def texts(item: Rule) -> Rule:
    """Return a rule for a list of texts; a single text is a list of one."""

    def rule(value: Any) -> list[str]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise RefusedError("a list is needed", "give a list of names")
        clean = []
        for index, entry in enumerate(items):
            try:
                clean.append(item(entry))
            except RefusedError as refused:
                raise refused.within("" if isinstance(value, str) else f"[{index}]", entry) from None
        return clean

    return rule


def one_of(*choices: str) -> Rule:
    """Return a rule for a choice."""

    def rule(value: Any) -> str:
        if value not in choices:
            raise RefusedError("there is no such choice", f"choose {' or '.join(choices)}")
        return str(value)

    return rule


def flag(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise RefusedError("true or false is needed", "write true or false")
    return value


def anything(value: Any) -> Any:
    """Take any value: another tool checks it."""
    return value


def of_yaml(value: Any) -> Any:
    """Take any value but those that only YAML has, such as dates, anywhere in it: no program would get them."""
    if isinstance(value, dict):
        for key, item in value.items():
            _part(item, f".{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _part(item, f"[{index}]")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise RefusedError(*NO_TEXT)
    return value


def _part(value: Any, way: str) -> None:
    try:
        of_yaml(value)
    except RefusedError as refused:
        raise refused.within(way, value) from None


def switch(value: Any) -> bool:
    """Take true or false, also as a word: a value on the command line is always text."""
    if str(value).lower() not in (*ON, *OFF):
        raise RefusedError("true or false is needed", "write true or false")
    return not off(value)


def off(value: Any) -> bool:
    """Return whether a value is false, or a word for it."""
    return str(value).lower() in OFF


def line(value: Any) -> str:
    """Take a text on one line; a number is one, too."""
    if isinstance(value, (list, tuple)):
        raise RefusedError("a text is needed", "write one text instead of a list, such as a,b for [a, b]")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise RefusedError(*NO_TEXT)
    if CONTROL.search(str(value)):
        raise RefusedError("it has a line break or another control character", "write it on one line")
    return str(value)


def matching(pattern: re.Pattern[str], problem: str, remedy: str) -> Rule:
    """Return a rule for text or numbers on one line that match a pattern as a whole."""

    def rule(value: Any) -> str:
        clean = line(value)
        if not pattern.fullmatch(clean):
            raise RefusedError(problem, remedy)
        return clean

    return rule


# A segment that begins with a dot could climb.
API_PATH = matching(
    re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+"),
    "it is not a valid path",
    "write it as /a/b, without a / at its end",
)


def choice(choices: list[Any]) -> Rule:
    """Return a rule for one of several words, with the nearest one as the remedy."""
    known = [str(one) for one in choices]

    def rule(value: Any) -> str:
        # YAML reads some words, such as on, as true or false.
        clean = str(value).lower() if isinstance(value, bool) else line(value)
        if clean not in known:
            close = nearest(clean.lower(), known)
            advice = (
                f"{close}? Choose from " + ", ".join(known) if close.startswith("did") else f"choose from {close[10:]}"
            )
            raise RefusedError("there is no such choice", advice)
        return clean

    return rule


def address(value: Any) -> str:
    """Take an address of a host, IPv6 with or without brackets, or its name."""
    clean = line(value)
    bare = clean[1:-1] if clean.startswith("[") and clean.endswith("]") else clean
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        numeric = re.fullmatch(r"[0-9.]+", clean)
        fits = bool(HOST.fullmatch(clean)) and not numeric
    else:
        # No URL and no configuration of Nginx takes an address with a zone, such as fe80::1%eth0.
        fits = (bare == clean or found.version == 6) and "%" not in bare
    if not fits:
        remedy = "give an IPv4 or IPv6 address of the host, without port, such as 0.0.0.0, 192.0.2.1 or ::"
        raise RefusedError("it is not a valid address", remedy)
    return bare


def network(value: Any) -> str:
    """Take an address or a network; as Nginx does, one with bits of a host in it, too."""
    clean = line(value)
    try:
        ipaddress.ip_network(clean, strict=False)
    except ValueError:
        remedy = "give an address or a network, such as 127.0.0.1 or 192.0.2.0/28"
        raise RefusedError("it is neither an address nor a network", remedy) from None
    return clean


def url(*schemes: str) -> Rule:
    """Return a rule for a URL with one of some schemes, without user and password: every user may read it on hosts."""

    def rule(value: Any) -> str:
        clean = line(value)
        if not URL.fullmatch(clean) or clean.split("://", maxsplit=1)[0] not in schemes:
            raise RefusedError("it is not a valid URL", f"write {schemes[0]}://HOST/PATH")
        if "@" in clean.split("://", maxsplit=1)[1].split("/", maxsplit=1)[0]:
            raise RefusedError("there is a user or a password in it", "write the URL without them")
        return clean

    return rule


def path(value: Any) -> str:
    """Take an absolute path that can stand in any configuration."""
    clean = line(value)
    if not PATH.fullmatch(clean) or ".." in clean.split("/"):
        remedy = "give a path such as /srv/models, without .., spaces, quotes and ; : ,"
        raise RefusedError("it is not a valid absolute path of a file or directory", remedy)
    return clean
