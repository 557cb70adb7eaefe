# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that finds copies in YAML and Jinja finds them, however they are indented, quoted and commented."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from load_file import load_file

ROOT = Path(__file__).resolve().parents[2]
TASKS = """
- name: Add the repository
  ansible.builtin.template:
    src: x.sources.j2
    dest: "/etc/apt/{{ name }}"
    mode: "0644"
  environment: "{{ proxy }}"
  register: added
"""
OTHER = """
- block:
    # Why it is done.
    - name: Add the repository
      ansible.builtin.template:
        src: x.sources.j2

        dest: '/etc/apt/{{name}}'   # where
        mode: '0644'
      environment: '{{ proxy }}'
"""


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return load_file(ROOT / "tests" / "lint" / "yaml_twins.py")


def test_a_copy_is_found(check: ModuleType) -> None:
    (found,) = check.twins({"a.yml": TASKS, "b.yml": OTHER})
    assert str(found) == "a.yml:2 and b.yml:4: 6 lines, from '- name: Add the repository'"


def test_a_copy_in_one_file_is_found(check: ModuleType) -> None:
    assert len(check.twins({"a.yml": TASKS + TASKS})) == 1


def test_templates_count(check: ModuleType) -> None:
    lines = "".join(f"{{% if x{number} %}}\n" for number in range(6))
    (found,) = check.twins({"a.j2": lines, "b.j2": lines.replace("{% if", "{%   if")})
    assert found.length == 6


def test_five_lines_and_what_says_little_are_none(check: ModuleType) -> None:
    five = "\n".join(TASKS.splitlines()[1:6])
    assert check.twins({"a.yml": five, "b.yml": five}) == []
    little = "\n".join(["state: directory", "owner: root", "group: root", 'mode: "0755"', "when: x"] * 2)
    assert check.twins({"a.yml": little, "b.yml": little}) == []


def test_the_collection_has_none(check: ModuleType) -> None:
    assert check.main(ROOT) == 0
