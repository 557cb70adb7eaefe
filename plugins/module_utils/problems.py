# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems of what a user gave: host, variable, value, problem and remedy."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, Iterable, NamedTuple

# The value of what may be a secret.
HIDDEN = "(hidden)"
# User and password before a host, whatever characters a wrong URL has in them. A model (hf://NAME@REVISION) and an
# image (HOST:PORT/NAME:TAG@sha256:DIGEST) are written with an @ of their own.
CREDENTIALS = re.compile(r"""(?<=://)(?<!\bhf://).*@|(?<!\S)[^\s"@/:]+:(?!//)[^\s"@]+@(?!sha256:)""", re.DOTALL)


class Problem(NamedTuple):
    """One thing that keeps the inventory, or the variables of a role, from being used."""

    variable: str
    """Where: the variable and the way into it, e.g. ``llm_models[chat].context``."""
    value: Any
    """The current value; never a secret."""
    problem: str
    """Why that cannot work."""
    remedy: str
    """The remedy."""
    host: str = ""
    """The host it is about; empty for what holds for the whole fleet."""

    def sentence(self) -> str:
        """Format the problem in one line: host, variable, value, problem, remedy."""
        return line(self.host, f"{self.variable} is {shown(self.value)}", self.problem, self.remedy)


def line(host: str, subject: str, *parts: str) -> str:
    """Return the one form of a failure in a line: host, subject, and what is said of it, with the remedy at the end.

    :param parts: evidence, cause and remedy; an empty one is left out.
    """
    said = "; ".join(part.rstrip(".") for part in parts if part)
    return f"{host}: {subject}: {said}." if host else f"{subject}: {said}."


def listing(lines: Iterable[str], heading: str) -> str:
    """Return lines in one text: a single one as it is, a list under a heading for more.

    :param heading: the noun for several lines, after their number.
    """
    found = list(lines)
    if len(found) < 2:
        return "".join(found)
    return f"{len(found)} {heading}:\n" + "\n".join(f"  - {one}" for one in found)


class ProblemsError(ValueError):
    """What a user gave cannot be used; the error contains every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__(render(self.problems))


def on_host(host: str, problems: Iterable[Problem]) -> list[Problem]:
    """Return problems that name the host; those that name another one already keep it."""
    return [problem if problem.host else problem._replace(host=host) for problem in problems]


def plain(value: Any) -> Any:
    """Return a copy of a value from Ansible, made of plain lists and dictionaries with text keys."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def without_credentials(value: Any) -> Any:
    """Return a value whose texts, and those inside it, have no user and password of a URL."""
    if isinstance(value, str):
        return CREDENTIALS.sub(f"{HIDDEN}@", value)
    if isinstance(value, dict):
        return {key: without_credentials(item) for key, item in value.items()}
    return [without_credentials(item) for item in value] if isinstance(value, list) else value


def shown(value: Any) -> str:
    """Return a value in YAML's flow style, without credentials, cut to a length that fits into a message."""
    found = without_credentials(plain(value))
    text = "missing" if value is None else json.dumps(found, default=str, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the advice for an unknown name: the nearest known one, else all of them."""
    names = sorted(known)
    # Capitals are no typing error of their own.
    lower = {one.lower(): one for one in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    if close:
        return f"did you mean {lower[close[0]]}"
    return "known are " + ", ".join(names) if names else "remove it"


def render(problems: Iterable[Problem]) -> str:
    """Return every problem in one text: a single line for one problem, a list for more."""
    return listing((problem.sentence() for problem in problems), "problems")
