#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find copies in YAML and Jinja: six meaningful lines that stand in two places.

yaml_twins.py [FOLDER]    prints each pair of places and ends with 1 where there is one

Comments and blank lines do not count, neither does indentation; expressions of Jinja count without their white space
and with quotes of one kind. A line that says little by itself (``state: present``, ``mode: "0644"``) cannot begin a
copy, and a copy needs three lines that are not of this kind.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

LEAST = 6
TELLING = 3
SUFFIXES = (".yml", ".yaml", ".j2")
# Files that a tool reads one by one, or that are data: recorded hosts, specs of roles (each role documents itself),
# catalogues, changelogs, and workflows.
APART = re.compile(
    r"^tests/.*/(?:data|golden|fixtures)/|/meta/|^changelogs/|^\.github/|^plugins/(?:filter|lookup|test)/"
)
SMALL = re.compile(
    r"^-? ?(?:args|argv|become|block|changed_when|check_mode|create|default|description|directory_mode|elements"
    r"|failed_when|gather_facts|group|hosts|loop|mode|options|owner|recurse|register|required|roles|serial|state|tags|tasks"
    r"|tasks_from|type|vars|when):(?: [^ ]*)?$|^- (?:/bin/sh|-\w+|[|>]-?)$|^umask \d+$|^---$"
    r"|^[\])}]+,?$|^\{%-?end\w+-?%\}$"
)


class Line(NamedTuple):
    """A line that counts: its number in the file and what it says."""

    number: int
    text: str


class Twin(NamedTuple):
    """A copy: the two files, the number of its first line in each, how long it is, and its first line."""

    files: tuple[str, str]
    numbers: tuple[int, int]
    length: int
    first: str

    def __str__(self) -> str:
        """Return the copy as a message shows it."""
        one, other = (f"{name}:{number}" for name, number in zip(self.files, self.numbers))
        return f"{one} and {other}: {self.length} lines, from '{self.first[:60]}'"


def normal(line: str) -> str:
    """Return what a line says, however it is indented and quoted; nothing for a comment."""
    text = line.strip()
    if text.startswith("#"):
        return ""
    text = re.sub(r"\{#.*?#\}|\s#\s.*$", "", text)
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", lambda found: re.sub(r"\s+", "", found[0]), text)
    return " ".join(text.replace('"', "'").split())


def lines_of(text: str) -> list[Line]:
    """Return the lines of a file that count."""
    return [Line(number, said) for number, line in enumerate(text.splitlines(), 1) if (said := normal(line))]


def twins(files: dict[str, str]) -> list[Twin]:
    """Return each copy.

    :param files: texts by name.
    """
    read = {name: lines_of(text) for name, text in files.items()}
    places: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for name, lines in read.items():
        for start in range(len(lines) - LEAST + 1):
            window = tuple(line.text for line in lines[start : start + LEAST])
            if not SMALL.match(window[0]) and sum(not SMALL.match(line) for line in window) >= TELLING:
                places.setdefault(window, []).append((name, start))
    found: list[Twin] = []
    covered = set()
    for many in places.values():
        first = many[0]
        for other in many[1:]:
            if (*first, *other) in covered or (first[0] == other[0] and abs(first[1] - other[1]) < LEAST):
                continue
            length = 0
            one, two = read[first[0]][first[1] :], read[other[0]][other[1] :]
            while length < min(len(one), len(two)) and one[length].text == two[length].text:
                covered.add((first[0], first[1] + length, other[0], other[1] + length))
                length += 1
            found.append(Twin((first[0], other[0]), (one[0].number, two[0].number), length, one[0].text))
    return sorted(found)


def main(root: Path) -> int:
    """Look at every file that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, stdout=subprocess.PIPE, text=True, check=True
    )
    names = [name for name in listed.stdout.splitlines() if name.endswith(SUFFIXES) and not APART.search(name)]
    paths = {name: root / name for name in names}
    texts = {name: path.read_text() for name, path in paths.items() if path.is_file() and not path.is_symlink()}
    found = twins(texts)
    for one in found:
        print(one)
    if found:
        print(f"{len(found)} copies: put what they share into a file that both include, a variable or a filter.")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main(Path(*sys.argv[1:]) if sys.argv[1:] else Path(__file__).resolve().parents[2]))
