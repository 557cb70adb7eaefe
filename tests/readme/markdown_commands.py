# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the commands in the Markdown of the repository.

A fenced block of shell has a comment before it that says who runs it:

    <!-- ci: demo -->                 CI runs it; blocks of one name in one file run in order, in one shell
    <!-- ci: clients -->              `make clients` runs it: it installs what is not part of the tests
    <!-- ci: no, needs a GPU -->      CI does not, and why

``git clone`` of the collection is answered with a link to the checkout under test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHELL = ("sh", "bash", "shell", "console")
MARK = re.compile(r"<!--\s*ci:\s*(.*?)\s*-->")
CLIENTS = "clients"
FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\w*)")


@dataclass(frozen=True)
class Block:
    """A fenced block of shell."""

    path: Path
    line: int
    mark: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def reason(self) -> str:
        """Why CI does not run it; empty if it does."""
        word, _comma, reason = self.mark.partition(",")
        return reason.strip() if word.strip() == "no" else ""


def files() -> list[Path]:
    """Markdown that people read; generated pages have no commands."""
    pages = ("*.md", ".github/*.md", "docs/*.md", "docs/clients/*.md", "docs/contributing/*.md", "tests/*/README.md")
    return sorted(path for pattern in pages for path in ROOT.glob(pattern))


def blocks(path: Path) -> list[Block]:
    """Blocks of shell of a file, in order."""
    found: list[Block] = []
    mark, fence, language, start, body = "", "", "", 0, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = FENCE.match(line)
        if fence:
            if match and match.group(2).startswith(fence) and not match.group(3):
                if language in SHELL:
                    found.append(Block(path, start, mark, "\n".join(body) + "\n"))
                mark, fence = "", ""
            else:
                body.append(line)
        elif match:
            fence, language, start, body = match.group(2), match.group(3), number, []
        elif MARK.search(line):
            mark = MARK.search(line).group(1)  # type: ignore[union-attr]
        elif line.strip():
            mark = ""
    return found


def groups(clients: bool = False) -> dict[tuple[Path, str], list[Block]]:
    """What CI runs, or `make clients`: blocks by file and name."""
    found: dict[tuple[Path, str], list[Block]] = {}
    for path in files():
        for block in blocks(path):
            if block.mark and not block.mark.startswith("no") and (block.mark == CLIENTS) == clients:
                found.setdefault((path, block.mark), []).append(block)
    return found
