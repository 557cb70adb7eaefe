# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs are the documentation of the roles: they say what defaults/main.yml does, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.check import SUPPORTED
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import package, parts
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec
from role_files import default_files, defaults

ROLES = Path(__file__).resolve().parents[3] / "roles"
VARIABLE = re.compile(r"[a-z_]+:")
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
TYPES = {
    "str": str,
    "path": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "raw": object,
}


def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    return load(ROLES / role / "meta" / "argument_specs.yml").get("argument_specs", {})


def options(role: str) -> dict[str, dict[str, Any]]:
    """All options of a role's entry points, by name."""
    return {name: spec for entry in entry_points(role).values() for name, spec in (entry.get("options") or {}).items()}


# Galaxy's names of releases that a fleet may have (module_utils/inventory/check.py).
RELEASES = {
    ("Debian", (12,)): "bookworm",
    ("Debian", (13,)): "trixie",
    ("Ubuntu", (24, 4)): "noble",
    ("Ubuntu", (26, 4)): "resolute",
}
# Roles for machines that run containers or GPUs without the rest of the fleet, and what they support in addition.
MACHINES = {"container_engine", "doctor", "nvidia_container_toolkit", "nvidia_driver"}
MACHINES_ALSO = {"Debian": [], "Ubuntu": ["jammy"], "EL": ["8", "9", "10"]}


@pytest.mark.parametrize("role", NAMES)
def test_a_role_lists_the_distributions_that_it_supports(role: str) -> None:
    expected = dict(MACHINES_ALSO) if role in MACHINES else {}
    for distribution, versions in SUPPORTED.items():
        fleet = [RELEASES[distribution, version] for version in versions]
        expected[distribution] = [*expected.get(distribution, []), *fleet]
    platforms = load(ROLES / role / "meta" / "main.yml")["galaxy_info"]["platforms"]
    assert {entry["name"]: entry["versions"] for entry in platforms} == expected


def is_template(value: Any) -> bool:
    """Whether a value is computed, anywhere within."""
    if isinstance(value, dict):
        return any(map(is_template, value.values()))
    if isinstance(value, list):
        return any(map(is_template, value))
    return isinstance(value, str) and "{{" in value


@pytest.mark.parametrize("role", NAMES)
def test_role_has_what_galaxy_shows(role: str) -> None:
    info = load(ROLES / role / "meta" / "main.yml").get("galaxy_info", {})
    assert info.get("description"), f"roles/{role}/meta/main.yml: galaxy_info.description is missing"
    assert info.get("license") == "GPL-3.0-or-later"
    assert info.get("min_ansible_version") == "2.19"
    assert entry_points(role), f"roles/{role}/meta/argument_specs.yml is missing or empty"


@pytest.mark.parametrize("role", NAMES)
def test_every_default_is_specified_with_the_same_value(role: str) -> None:
    specified = options(role)
    missing = sorted(set(defaults(role)) - set(specified))
    assert not missing, f"in defaults/main.yml but not in argument_specs.yml: {missing}"
    for name, value in defaults(role).items():
        if "default" not in specified[name]:
            assert not specified[name].get("required"), f"{name} is required and has a default in defaults/main.yml"
            # A computed value is described in words; a literal one is stated.
            assert is_template(value), f"{name}: argument_specs.yml states no default, defaults/main.yml says {value!r}"
            continue
        assert specified[name]["default"] == value, f"{name}: the two files state different defaults"


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_required_or_has_its_default(role: str) -> None:
    known = defaults(role)
    for name, spec in options(role).items():
        if spec.get("required"):
            assert "default" not in spec, f"{name} is required and states a default"
            continue
        assert name in known, f"{name} is neither required nor in defaults/main.yml"


@pytest.mark.parametrize("role", NAMES)
def test_public_names_are_public_and_internal_ones_are_not_specified(role: str) -> None:
    internal = [name for name in (*options(role), *defaults(role)) if name.startswith("_")]
    assert not internal, f"internal names among the public ones: {internal}"
    exposed = [name for name in load(ROLES / role / "vars" / "main.yml") if not name.startswith("__")]
    assert not exposed, f"vars/main.yml cannot be overridden: its names begin with __, not {exposed}"


def described(spec: dict[str, Any], path: str) -> list[str]:
    """Options without a description or with a type that their default does not have, in depth."""
    found = [] if spec.get("description") else [f"{path} has no description"]
    if "type" not in spec:
        found.append(f"{path} has no type")
    elif "default" in spec and spec["default"] is not None and not is_template(spec["default"]):
        expected = TYPES[spec["type"]]
        value = spec["default"]
        if not isinstance(value, expected) or (spec["type"] in ("int", "float") and isinstance(value, bool)):
            found.append(f"{path}: the default {value!r} is no {spec['type']}")
        if spec.get("choices") and value not in spec["choices"]:
            found.append(f"{path}: the default {value!r} is not among the choices")
    if spec.get("type") == "list" and "elements" not in spec:
        found.append(f"{path} is a list of unknown elements")
    for name, child in (spec.get("options") or {}).items():
        found += described(child, f"{path}.{name}")
    return found


@pytest.mark.parametrize("role", NAMES)
def test_options_are_described_and_their_defaults_have_their_type(role: str) -> None:
    findings = [finding for name, spec in options(role).items() for finding in described(spec, name)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("role", NAMES)
def test_entry_points_exist_and_are_described(role: str) -> None:
    for entry, spec in entry_points(role).items():
        assert spec.get("short_description"), f"{entry} has no short_description"
        if (ROLES / role / "tasks").is_dir():
            assert (ROLES / role / "tasks" / f"{entry}.yml").exists(), (
                f"{entry} is specified but tasks/{entry}.yml is not there"
            )


@pytest.mark.parametrize("role", NAMES)
def test_every_default_has_a_comment(role: str) -> None:
    """A reader of a role's defaults learns what each block of variables is for without another file."""
    bare = []
    for path in default_files(role):
        commented = False
        for line in path.read_text().splitlines():
            if line.startswith("#"):
                commented = True
            elif not line.strip() or line == "---":
                commented = False
            elif VARIABLE.match(line) and not commented:
                bare.append(f"{path.relative_to(ROLES)}: {line.split(':')[0]}")
    assert not bare, "no comment above the variable or its block:\n" + "\n".join(bare)


def sections(value: Any) -> list[dict[str, Any]]:
    """Every dictionary within a document, in depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [section for one in inner for section in sections(one)]
    return [value, *found] if isinstance(value, dict) else found


CALLERS = sorted(
    path
    for pattern in ("roles/*/tasks/**/*.yml", "playbooks/**/*.yml", "molecule/**/*.yml")
    for path in ROLES.parent.glob(pattern)
)


def test_what_others_call_by_name_is_an_entry_point() -> None:
    """A file that is only there for its own role may change; one that others include has a contract."""
    missing = set()
    for path in CALLERS:
        for section in sections(list(yaml.safe_load_all(path.read_text()))):
            if "tasks_from" in section:
                role = section["name"].rsplit(".", 1)[-1]
                entry = section["tasks_from"].removesuffix(".yml")
                if (ROLES / role).is_dir() and entry not in entry_points(role):
                    missing.add(f"{role}: {entry}, called in {path.relative_to(ROLES.parent)}")
    assert not missing, "without an argument spec:\n" + "\n".join(sorted(missing))


def test_service_specs_are_specified_as_they_are_read() -> None:
    specified = entry_points("service")["main"]["options"]["service_specs"]["options"]
    stated = {name: one["default"] for name, one in specified.items() if "default" in one}
    assert stated == service_spec.DEFAULTS
    assert set(specified) - set(stated) == {"name", "command", "user", "egress"}
    for part, keys in parts.DEFAULTS.items():
        assert {name: one["default"] for name, one in specified[part]["options"].items()} == keys


def test_packages_are_specified_as_they_are_read() -> None:
    specified = entry_points("service")["package"]["options"]["service_package"]["options"]
    assert tuple(specified) == package.KEYS
    for path in CALLERS:
        for section in sections(list(yaml.safe_load_all(path.read_text()))):
            given = section.get("service_package")
            assert not isinstance(given, dict) or not set(given) - set(specified), (
                f"{path}: a key of service_package that is not specified"
            )
