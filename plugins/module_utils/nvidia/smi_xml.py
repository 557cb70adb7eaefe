# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the XML of ``nvidia-smi -q -x`` without trusting it, and the values that nvidia-smi prints anywhere.

Pure functions over texts; no Ansible, no files, no network. Nothing here raises on any text.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, NamedTuple
from xml.parsers import expat

# Eight H100 take 0.2 MB; sixteen GPUs with thousands of processes stay far below.
MAX_CHARACTERS = 4 * 2**20
MAX_ELEMENTS = 200_000
MAX_DEPTH = 32
NO_XML = "no XML in it"
TAG = re.compile(r"<(/?)([A-Za-z_][\w.-]*)([^<>]*)>")
BEGINNING = re.compile(r"<\?xml\s|<!DOCTYPE\s|<nvidia_smi_log\b")
# A process may call itself anything; nvidia-smi prints what XML 1.0 cannot hold.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

# What nvidia-smi prints in place of a value, in lower case and without the brackets of its CSV. The texts are
# those of nvmlErrorString and of nvidia-smi itself, drivers 418 to 595.
SENTINELS = frozenset(
    (
        "",
        "-",
        "n/a",
        "none",
        "err!",
        "not found",
        "not supported",
        "function not found",
        "unknown error",
        "unknown",
        "timeout",
        "gpu is lost",
        "gpu requires reset",
        "reset required",
        "insufficient permissions",
        "requested functionality has been deprecated",
        "no data",
        "driver not loaded",
        "uninitialized",
    )
)
LOST = frozenset(("gpu is lost", "gpu requires reset", "reset required"))
NUMBER = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?(?: ?([A-Za-z]{1,4}))?")
PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


class Node:
    """One element: its name, its own text, its children, and whether its end was seen."""

    __slots__ = ("children", "closed", "name", "texts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.texts: list[str] = []
        self.children: list[Node] = []
        self.closed = False

    def all(self, name: str) -> list[Node]:
        """Return the complete children of that name."""
        return [child for child in self.children if child.name == name and child.closed]

    def at(self, *path: str) -> Node | None:
        """Return the first complete element at a path of names below this one; None where there is none."""
        node = self
        for name in path:
            found = node.all(name)
            if not found:
                return None
            node = found[0]
        return node

    def raw(self, *path: str) -> str:
        """Return the text at a path as it stands there; empty where there is none."""
        node = self.at(*path)
        return "".join(node.texts).strip() if node else ""

    def value(self, *path: str) -> str | None:
        """Return the text at a path; None for a sentinel or nothing."""
        return value(self.raw(*path))

    def says(self, words: frozenset[str]) -> bool:
        """Check whether the only text of this element or of any below it is one of these sentinels."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if bare("".join(node.texts)) in words:
                return True
            waiting += node.children
        return False


class Document(NamedTuple):
    """The readable part of an XML text."""

    root: Node | None
    """The outermost element, perhaps without its end; None where there is none."""
    flaw: str
    """Why the text could not be read to its end, in words; empty where it was."""


class _RefusedError(Exception):
    """The text is no answer of nvidia-smi, and reading on could hurt."""


class _Reader:
    """Handlers of an expat parser that build nodes."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.open: list[Node] = []
        self.elements = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self.elements += 1
        if len(self.open) >= MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise _RefusedError(f"more than {MAX_ELEMENTS} elements or {MAX_DEPTH} levels")
        node = Node(name)
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)

    def end(self, _name: str) -> None:
        self.open.pop().closed = True

    def text(self, data: str) -> None:
        if self.open:
            self.open[-1].texts.append(data)

    @staticmethod
    def entity(*_declaration: Any) -> None:
        # nvidia-smi names a DTD and declares nothing; entities are how a small text becomes a large one.
        raise _RefusedError("it declares entities")


def _mended(text: str) -> Node | None:
    """Read XML with tags that do not fit together, or with bare signs; None if its end is not there.

    Drivers print wrong tags around supported clocks, and names of processes as they are. An element without its own end
    is not complete; nothing is expanded.
    """
    reader, position = _Reader(), 0
    for tag in TAG.finditer(text):
        reader.text(text[position : tag.start()])
        position = tag.end()
        if not tag[1]:
            reader.start(tag[2], {})
            if tag[3].endswith("/"):
                reader.end(tag[2])
        elif any(node.name == tag[2] for node in reader.open):
            while reader.open[-1].name != tag[2]:
                reader.open.pop()
            reader.end(tag[2])
        if reader.root and reader.root.closed:
            return reader.root
    return None


def read_xml(text: str) -> Document:
    """Read the answer of ``nvidia-smi -q -x``; words before and after the XML are skipped, a cut-off end is borne.

    No external entity or DTD is ever fetched, an entity declaration is refused, and size, depth and number of
    elements are limited.
    """
    if len(text) > MAX_CHARACTERS:
        return Document(None, f"more than {MAX_CHARACTERS // 2**20} MiB")
    beginning = BEGINNING.search(text)
    if not beginning:
        return Document(None, NO_XML)
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = reader.entity
    try:
        parser.Parse(NOT_XML.sub("\ufffd", text[beginning.start() :]), True)
    except expat.ExpatError as error:
        if not (reader.root and reader.root.closed):
            with contextlib.suppress(_RefusedError):
                return Document(_mended(text[beginning.start() :]) or reader.root, str(error))
            return Document(None, str(error))
    except _RefusedError as error:
        return Document(None, str(error))
    return Document(reader.root, "")


def bare(text: str) -> str:
    """Return a text in lower case, without brackets and surplus white space: the form that sentinels are kept in."""
    words = " ".join(text.split()).lower()
    return words[1:-1].strip() if words.startswith("[") and words.endswith("]") else words


def value(text: str) -> str | None:
    """Return what nvidia-smi printed for a field as one line, or None for any of its sentinels."""
    return None if bare(text) in SENTINELS else " ".join(text.split())


def number(text: str, unit: str = "") -> float | None:
    """Return a decimal number printed with that unit, or with none; None for anything else."""
    found = NUMBER.fullmatch(value(text) or "")
    if not found or (found[3] or unit) != unit:
        return None
    return float(f"{found[1]}.{found[2] or 0}")


def whole(text: str, unit: str = "") -> int | None:
    """Return a whole number printed with that unit, or with none; a fraction is cut off; None for anything else."""
    found = number(text, unit)
    return None if found is None else int(found)


def mib(text: str) -> int | None:
    """Return an amount of memory in MiB, the unit that every nvidia-smi prints; None for anything else."""
    return whole(text, "MiB")


def pci_bus_id(text: str) -> str | None:
    """Return a PCI address as sysfs writes it (``0000:53:00.0``), whatever the length and case of its domain."""
    found = PCI.fullmatch(text.strip().lower())
    return f"{int(found[1] or '0', 16):04x}:{found[2]}:{found[3]}.{found[4]}" if found else None
