# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No expression of Jinja is longer than a line or has more than four filters: others are filters with tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LONGEST, MOST_FILTERS = 120, 4
FILES = sorted(
    path
    for pattern in (
        "roles/*/defaults/**/*.yml",
        "roles/*/vars/**/*.yml",
        "roles/*/tasks/**/*.yml",
        "playbooks/**/*.yml",
    )
    for path in ROOT.glob(pattern)
    # Pins and the catalogue have no logic, and playbooks link to them.
    if "group_vars" not in path.parts
)
EXPRESSION = re.compile(r"{{.*?}}|{%.*?%}", re.S)
STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
FILTER = re.compile(r"\|\s*[a-z]")
# Keys whose value is an expression without braces.
BARE = ("when", "until", "failed_when", "changed_when", "that")


def texts(value: Any, key: str = "") -> Iterator[str]:
    """Every expression within a document; lists of conditions are one expression for each."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from texts(one, str(name))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one, key)
    elif isinstance(value, str):
        yield from [value] if key in BARE and "{{" not in value else EXPRESSION.findall(value)


def size(expression: str) -> tuple[int, int]:
    """The length of an expression, however its lines are broken, and how many filters it has."""
    return len(" ".join(expression.split())), len(FILTER.findall(STRING.sub("''", expression)))


def findings(path: Path) -> list[str]:
    found = []
    for document in yaml.safe_load_all(path.read_text()):
        for expression in texts(document):
            length, filters = size(expression)
            if length > LONGEST or filters > MOST_FILTERS:
                found.append(f"{length} characters, {filters} filters: {' '.join(expression.split())[:100]}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_expression_fits_in_a_line(path: Path) -> None:
    assert not findings(path), "make a filter of it, or name its parts:\n" + "\n".join(findings(path))


def test_long_and_crowded_expressions_are_found() -> None:
    assert size("{{ a | b('|') | c }}") == (20, 2)
    assert size("{{ a\n     | b }}") == size("{{ a | b }}")
    assert list(texts({"when": "a | b", "msg": "x {{ c }} y {% if d %}"})) == ["a | b", "{{ c }}", "{% if d %}"]


def test_a_program_that_is_rendered_is_no_template() -> None:
    """Files of services are rendered, so two braces in a program would be an expression."""
    found = []
    for path in ROOT.glob("roles/*/vars/*.yml"):
        for name in re.findall(r"src: \.\./files/([\w./-]+)", path.read_text(encoding="utf-8")):
            program = path.parents[1] / "files" / name
            if re.search(r"{{|{%|{#", program.read_text(encoding="utf-8")):
                found.append(str(program.relative_to(ROOT)))
    assert not found, f"write its braces apart: {found}"
