# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Markdown promises is there: make targets, playbooks, links; and each command says whether CI runs it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import markdown_commands
import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import schema as inventory_schema

ROOT = markdown_commands.ROOT
FILES = markdown_commands.files()
BLOCKS = [block for path in FILES for block in markdown_commands.blocks(path)]
TARGETS = {
    target
    for path in (ROOT / "Makefile", *(ROOT / "mk").glob("*.mk"))
    for target in re.findall(r"^([a-z][a-z-]*):", path.read_text(), re.M)
}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_of_shell_says_whether_ci_runs_it(block: markdown_commands.Block) -> None:
    assert block.mark, (
        f"{block.where}: no <!-- ci: NAME --> or <!-- ci: no, REASON --> before it (tests/readme/markdown_commands.py)"
    )
    if block.mark.startswith("no"):
        assert block.reason, f"{block.where}: why does CI not run it?"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_make_targets_exist(path: Path) -> None:
    text = path.read_text()
    code = "\n".join([block.text for block in markdown_commands.blocks(path)] + re.findall(r"`([^`\n]+)`", text))
    named = re.findall(r"(?<![\w-])make((?:[ \t]+(?:-s|[a-z][a-z-]*\b(?!=)))+)", code)
    unknown = {target for words in named for target in words.split() if target != "-s"} - TARGETS
    assert not unknown, f"{name(path)}: no such make target: {sorted(unknown)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_playbooks_exist(path: Path) -> None:
    for called in re.findall(r"ansible-playbook\s+(?:-\S+\s+)*([\w./-]+)", path.read_text()):
        where = (
            ROOT / "playbooks" / f"{called.rpartition('.')[2]}.yml"
            if called.startswith("llmfleet.serving.")
            else ROOT / called
        )
        assert where.exists(), f"{name(path)}: no such playbook: {called}"


def test_files_that_are_named_exist() -> None:
    """A docstring, comment or page that names a file of the repository names one that is there."""
    folders = "module_utils|plugin_utils|plugins|roles|tests|playbooks|scripts|docs|molecule|group_vars"
    named = re.compile(rf"(?<![\w./{{}}-])((?:{folders})/[\w./-]*\w\.(?:py|yml|j2|md|sh|mk|json))\b")
    sources = [
        path
        for folder in ("plugins", "roles", "playbooks", "scripts", "docs", "inventories", "mk")
        for path in (ROOT / folder).rglob("*")
        # Pages for contributors name the files that they tell to write.
        if path.suffix in (".py", ".yml", ".j2", ".md", ".sh", ".mk") and path.parent.name != "contributing"
    ]
    missing = [
        f"{name(path)}: {file}"
        for path in [*sources, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
        for file in named.findall(path.read_text())
        if not any((folder / file).exists() for folder in (ROOT, ROOT / "plugins", path.parent))
    ]
    assert len(sources) > 300
    assert not missing, "no such file:\n" + "\n".join(missing)


@functools.lru_cache(maxsize=None)
def known_variables() -> set[str]:
    """Every variable that a role documents, and those that only a playbook reads."""
    found: set[str] = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.load(path.read_text(), yaml.CSafeLoader)["argument_specs"].values():
            found |= set(entry.get("options") or {})
    for path in (*ROOT.glob("playbooks/*.yml"), *ROOT.glob("playbooks/tasks/*.yml")):
        found |= set(re.findall(r"\b(\w+) \| default\(", path.read_text()))
        found |= set(re.findall(r"\b(\w+) is defined", path.read_text()))
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_variables_and_tags_of_commands_exist(path: Path) -> None:
    code = "\n".join(
        [block.text for block in markdown_commands.blocks(path)] + re.findall(r"`([^`\n]+)`", path.read_text())
    )
    unknown = set(re.findall(r"-e ([a-z_]\w*)=", code)) - known_variables()
    assert not unknown, f"{name(path)}: no such variable: {sorted(unknown)}"
    playbooks = "\n".join(playbook.read_text() for playbook in ROOT.glob("playbooks/*.yml"))
    tags = {tag for line in re.findall(r"tags: \[([^\]]+)\]", playbooks) for tag in line.split(", ")}
    asked = {tag for words in re.findall(r"--tags ([\w,]+)", code) for tag in words.split(",")}
    assert not asked - tags, f"{name(path)}: no such tag: {sorted(asked - tags)}"


def test_the_index_of_clients_names_every_page_and_its_release() -> None:
    folder = ROOT / "docs" / "clients"
    rows = dict(re.findall(r"^\| \[[^]]+\]\(([\w-]+\.md)\) \|(.*)$", (folder / "README.md").read_text(), re.M))
    assert {path.name for path in folder.glob("*.md")} == {*rows, "README.md"}
    for page, row in rows.items():
        installs = re.findall(r"^(?:npm install|venv/bin/pip install) .*$", (folder / page).read_text(), re.M)
        for package, release in re.findall(r"(?<= )(\S+?)(?:@|==)([\d.]+)", " ".join(installs)):
            assert release in row, f"{page}: {package} {release}"


def test_the_index_for_contributors_names_every_page() -> None:
    index = (ROOT / "docs" / "contributing" / "README.md").read_text()
    missing = [
        path.name for path in ROOT.glob("docs/contributing/*.md") if path.stem != "README" and path.name not in index
    ]
    assert not missing


@pytest.mark.parametrize("path", sorted([*FILES, *ROOT.glob("roles/*/README.md"), *ROOT.glob("docs/*/*.md")]), ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = [
        target.partition("#")[0]
        for target in LINK.findall(path.read_text())
        if "://" not in target and not target.startswith(("#", "mailto:"))
    ]
    broken = [target for target in targets if not (path.parent / target).exists()]
    assert not broken, f"{name(path)}: {broken}"


def test_the_first_command_is_on_the_first_screen() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert any("make demo" in line for line in lines[:25]), "README.md: `make demo` belongs above line 25"


def test_make_help_lists_every_target() -> None:
    helped = {
        target
        for path in (ROOT / "Makefile", *(ROOT / "mk").glob("*.mk"))
        for target in re.findall(r"^([a-z][a-z-]*):.*## ", path.read_text(), re.M)
    }
    assert TARGETS - helped == set()


def test_every_key_of_a_model_is_in_the_table() -> None:
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "models.md").read_text(), re.M)
    assert sorted(table) == sorted(inventory_schema.MODEL)
