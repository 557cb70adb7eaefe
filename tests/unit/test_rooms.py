# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may know what: a role knows its own application, fleet_defaults alone knows how they hang together."""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import role_files
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
WIRING = "fleet_defaults"
ENGINE = "service"
APPS = sorted(path.name for path in ROLES.iterdir() if path.is_dir() and path.name != WIRING)
PURE = sorted(path for kind in ("module_utils", "plugin_utils") for path in (ROOT / "plugins" / kind).rglob("*.py"))

JINJA = re.compile(r"{{.*?}}|{%.*?%}", re.S)
# Where YAML is an expression without braces.
BARE = re.compile(r"^\s*(?:- )?(?:when|until|failed_when|changed_when|that|loop|var|label):(.*(?:\n\s+- .*)*)", re.M)
IDENTIFIER = re.compile(r"(?<![\w.'\"/-])[a-z_][a-z0-9_]*\b(?!\s*\()")
STRING = re.compile(r"'[^']*'|\"[^\"]*\"")


@functools.lru_cache(maxsize=None)
def load(path: Path) -> dict[str, Any]:
    return (yaml.load(path.read_text(), yaml.CSafeLoader) or {}) if path.exists() else {}


def defaults(role: str) -> set[str]:
    return set(role_files.defaults(role))


def options(role: str) -> dict[str, Any]:
    entries = load(ROLES / role / "meta" / "argument_specs.yml").get("argument_specs", {})
    return {name: spec for entry in entries.values() for name, spec in (entry.get("options") or {}).items()}


def own(role: str) -> set[str]:
    return defaults(role) | set(options(role))


def expressions(path: Path) -> str:
    text = path.read_text()
    found = JINJA.findall(text)
    if path.suffix == ".yml":
        found += BARE.findall(text)
    return STRING.sub("''", "\n".join(found))


def sources(role: str) -> list[Path]:
    folders = ("tasks", "handlers", "templates", "defaults", "vars")
    return [path for folder in folders for path in sorted((ROLES / role / folder).rglob("*")) if path.is_file()]


@pytest.mark.parametrize("role", APPS)
def test_a_role_refers_to_its_own_variables_alone(role: str) -> None:
    foreign = {name for other in (*APPS, WIRING) for name in own(other)} - own(role)
    if role != ENGINE:
        # The engine's roots and results are every application's ground.
        foreign -= own(ENGINE)
    findings = []
    for path in sources(role):
        used = set(IDENTIFIER.findall(expressions(path)))
        # Parameters that this role hands to the engine are named where it is called.
        findings += [
            f"{path.relative_to(ROOT)}: {name}"
            for name in sorted(
                used & foreign | {n for n in used if n.startswith("llm_") or n in ("hostvars", "groups")}
            )
        ]
    assert not findings, "variables of other rooms:\n" + "\n".join(findings)


# A file of the collection on hosts: below its directory of state, or anywhere under the collection's name.
ON_HOSTS = re.compile(r"\{\{ service_state_root \}\}/[\w.-]+|(?<![\w-])/(?:etc|run|usr|var)/[\w./-]*llmfleet[\w.-]*")


def test_a_file_on_hosts_is_named_by_its_owner_alone() -> None:
    """What one role writes, another neither reads nor removes: it asks the owner."""
    owners: dict[str, set[str]] = {}
    folders = [(role, path) for role in APPS for path in sources(role)]
    folders += [("playbooks", path) for path in (ROOT / "playbooks").rglob("*.yml") if not path.is_symlink()]
    for owner, path in folders:
        for name in ON_HOSTS.findall(path.read_text()):
            owners.setdefault(name, set()).add(owner)
    assert "{{ service_state_root }}/installed-packages" in owners
    shared = {name: sorted(found) for name, found in sorted(owners.items()) if len(found) > 1}
    assert not shared, f"named by more than one owner: {shared}"


def test_a_default_is_written_once() -> None:
    owners: dict[str, list[str]] = {}
    for role in (*APPS, WIRING):
        for name in defaults(role):
            owners.setdefault(name, []).append(role)
    twice = {name: roles for name, roles in owners.items() if len(roles) > 1}
    assert not twice, f"the same default in more than one role: {twice}"


def test_what_is_registered_or_defined_is_read() -> None:
    """A result or a variable that nothing reads is left from an earlier version."""
    files = [path for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in files
        if path.suffix in (".yml", ".j2") and path.name != "argument_specs.yml"
    }
    defined: set[str] = set()
    for path, text in texts.items():
        defined |= set(re.findall(r"^ *register: (\w+)$", text, re.M))
        if path.parts[-2] in ("vars", "defaults") or "defaults" in path.parts:
            defined |= set(re.findall(r"^(\w+):", text, re.M))
    words = Counter(re.findall(r"\w+", "\n".join(texts.values())))
    assert len(defined) > 300
    assert not [name for name in sorted(defined) if words[name] < 2]


def test_a_default_that_is_repeated_is_that_of_the_role() -> None:
    """Before a role's first call its defaults are not visible, so other files repeat some of them."""
    known: dict[str, Any] = {}
    for role in (*APPS, WIRING):
        known.update(role_files.defaults(role))
    repeated = [
        (path, variable, yaml.safe_load(value.partition(", true")[0]))
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*.yml")
        for variable, value in re.findall(
            r"\b([a-z_]\w+) \| default\(('[^']*'|\w+|{}|\[\])(?:, true)?\)", path.read_text()
        )
        if variable in known and "{{" not in str(known[variable])
    ]
    assert len(repeated) > 8
    different = [
        f"{path.relative_to(ROOT)}: {variable} is {value!r}, the role's default is {known[variable]!r}"
        for path, variable, value in repeated
        # A name instead of a value is another variable, which takes the place of an empty default.
        if value != known[variable] and not (isinstance(value, str) and value in known)
    ]
    assert not different, "\n".join(different)


def test_what_the_wiring_sets_an_application_requires() -> None:
    """fleet_defaults owns llm_* and what an application asks for; it shadows no default of a role."""
    wanted = {name for role in APPS for name, spec in options(role).items() if spec.get("required")}
    unknown = sorted(name for name in defaults(WIRING) if not name.startswith("llm_") and name not in wanted)
    assert not unknown, f"set by {WIRING}, but no role declares it as required: {unknown}"


def test_what_an_application_requires_the_wiring_sets() -> None:
    """The engine's parameters come from the roles that call it; everything else comes from one place."""
    given = defaults(WIRING)
    missing = {
        role: sorted(name for name, spec in options(role).items() if spec.get("required") and name not in given)
        for role in APPS
        if role != ENGINE
    }
    assert not {role: names for role, names in missing.items() if names}, (
        f"required, but nowhere in {WIRING}: {missing}"
    )


def test_group_vars_hold_nothing_that_roles_default() -> None:
    """A playbook's group_vars/all overrides an inventory's: what a user may set is never shipped there."""
    shipped = {name for path in (ROOT / "group_vars").rglob("*.yml") for name in load(path)}
    settable = {name for role in (*APPS, WIRING) for name in own(role)}
    assert not shipped & settable


def test_playbooks_find_the_group_vars() -> None:
    """An installed playbook loads the group_vars beside it: links to files, as ansible-test allows none to folders."""
    paths = list((ROOT / "group_vars").rglob("*.yml"))
    assert len(paths) == 2
    for path in paths:
        link = ROOT / "playbooks" / path.relative_to(ROOT)
        assert link.is_symlink()
        assert link.resolve() == path


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_module_utils_are_pure_standard_library(path: Path) -> None:
    imports = re.findall(r"^\s*(?:from|import)\s+([\w.]+)", path.read_text(), re.M)
    foreign = [name for name in imports if name.split(".")[0] in ("ansible", "yaml", "jinja2", "requests", "packaging")]
    assert not foreign, f"module_utils know neither Ansible nor packages outside the standard library: {foreign}"


def test_only_the_readers_of_the_host_touch_the_machine() -> None:
    """Reading is done where several modules share it, and nothing is decided there."""
    names = "http|mmap|os|pathlib|pwd|select|shutil|socket|ssl|subprocess|tempfile|urllib.request"
    touching = re.compile(rf"^\s*(?:from|import) (?:{names})\b", re.M)
    outside = [
        str(path.relative_to(ROOT)) for path in PURE if touching.search(path.read_text()) and path.parent.name != "host"
    ]
    assert not outside, f"only module_utils/host touches the machine: {outside}"


def test_licence_header_of_every_python_and_shell_file() -> None:
    folders = ("plugins", "roles", "scripts", "tests", "molecule")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sh") and "output" not in path.parts
    ]
    missing = [
        str(path.relative_to(ROOT))
        for path in files
        if "SPDX-License-Identifier: GPL-3.0-or-later" not in path.read_text()[:400]
    ]
    assert not missing, f"without licence header: {missing}"


def _code_lines(path: Path) -> int:
    """Return the lines of a file without the documentation blocks that a module must hold itself."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    blocks = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in tree.body
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", "") in ("DOCUMENTATION", "EXAMPLES", "RETURN")
    ]
    return len(text.splitlines()) - sum(blocks)


def test_no_file_of_the_plugins_is_too_long() -> None:
    """What takes more than 300 lines has more than one subject."""
    found = {str(path.relative_to(ROOT)): _code_lines(path) for path in (ROOT / "plugins").rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines > 300} == {}


@pytest.mark.parametrize("role", sorted(path.name for path in ROLES.iterdir() if path.is_dir()))
def test_no_result_of_a_task_hides_a_variable_of_its_role(role: str) -> None:
    """What a task registers or sets wins over the role's variables, for the rest of the play."""
    tasks = "\n".join(path.read_text() for path in sorted((ROLES / role / "tasks").glob("**/*.yml")))
    named = set(re.findall(r"^\s+register: (\w+)", tasks, re.M))
    known = set(load(ROLES / role / "vars" / "main.yml")) | set(role_files.defaults(role))
    assert not named & known, f"registered under the name of a variable: {sorted(named & known)}"
