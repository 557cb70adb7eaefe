# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The grammar of model sources: ``hf://`` for a repository of a model hub, ``path:`` for a directory, ``demo:``.

Nothing else in the collection takes a source apart. Programs that run without the collection get the parts.
"""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

HUB, PATH, DEMO = "hf://", "path:", "demo:"
SCHEMES = "hf://ORGANISATION/MODEL, path:/absolute/directory or demo:"
# huggingface_hub.utils.validate_repo_id: ASCII letters, digits, _ . -, and neither - nor . at an end of a name.
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPOSITORY = re.compile(rf"(?:{NAME}/)?{NAME}")
FORBIDDEN = ("--", "..")
# A namespace of this name is another type of repository, which holds no model.
NO_MODELS = ("datasets", "spaces")


class SourceError(ValueError):
    """A model's source is invalid, or its files are not available."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class Source(NamedTuple):
    """The source of a model."""

    text: str
    """As it was given."""
    directory: str = ""
    """Of ``path:``."""
    repository: str = ""
    """Of ``hf://``: organisation/name, or a name alone for the hub's oldest models, e.g. gpt2."""

    @property
    def demo(self) -> bool:
        """Whether it is the demo model, which is made on the host."""
        return self.text == DEMO

    @property
    def cache_folder(self) -> str:
        """Of ``hf://``: the folder in a cache of the hub's own tools."""
        return "models--" + self.repository.replace("/", "--") if self.repository else ""

    def parts(self) -> dict[str, str]:
        """Return all parts of the source for a program on a host."""
        return {
            "text": self.text,
            "directory": self.directory,
            "repository": self.repository,
            "cache_folder": self.cache_folder,
        }


def is_repository(text: str) -> bool:
    """Check whether a text is the name of a model's repository, by the hub's own rules."""
    return bool(
        REPOSITORY.fullmatch(text)
        and not any(part in text for part in FORBIDDEN)
        and not text.endswith(".git")
        and text.partition("/")[0] not in NO_MODELS
    )


def parse(text: str) -> Source:
    """Return the parts of a source.

    :raises SourceError: it is none.
    """
    if text == DEMO:
        return Source(text)
    if text.startswith(PATH):
        directory = text[len(PATH) :]
        if not posixpath.isabs(directory) or not directory.strip("/") or not directory.isprintable():
            raise SourceError("path: needs an absolute directory", "write path:/srv/models/name")
        return Source(text, directory=directory)
    if text.startswith(HUB):
        repository = text[len(HUB) :]
        if not is_repository(repository):
            raise SourceError("it names no repository of a model", _correction(repository))
        return Source(text, repository=repository)
    raise SourceError(*_unknown(text))


def _correction(repository: str) -> str:
    """Return the correct form of an invalid repository after ``hf://``."""
    name, at, revision = repository.partition("@")
    if at and revision and is_repository(name):
        return f"write {HUB}{name}, and {revision} as its revision"
    trimmed = repository.strip("/ ")
    if is_repository(trimmed):
        return f"write {HUB}{trimmed}"
    if repository.partition("/")[0] in NO_MODELS:
        return f"choose a model: {repository.partition('/')[0]} hold none"
    return f"write {HUB}ORGANISATION/MODEL as the hub spells it, and the revision apart"


def _unknown(text: str) -> tuple[str, str]:
    """Return problem and remedy of a text without a known scheme."""
    scheme, colon, rest = text.partition(":")
    if colon and f"{scheme.lower()}:" in (DEMO, PATH, HUB.rstrip("/")) and scheme != scheme.lower():
        return "its scheme is not in small letters", f"write {scheme.lower()}:{rest}"
    if text.startswith("/"):
        return "it has no scheme", f"write {PATH}{text}"
    if "/" in text and is_repository(text):
        return "it has no scheme", f"write {HUB}{text}"
    return "it is unknown", f"use {SCHEMES}"
