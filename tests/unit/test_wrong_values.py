# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a user writes is right or a problem with host, variable, value and remedy, never an error of Python.

Every variable of the argument specs gets values of every wrong kind, and so does every key inside the variables that
have their own checks. All go through the functions that playbooks/check_inventory.yml calls.
"""

from __future__ import annotations

import copy
import datetime
import json
from pathlib import Path
from typing import Any, Iterable, Iterator

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.filter import applications, fleet, gateway, inventory, service
from ansible_collections.llmfleet.serving.plugins.lookup import variable_problems
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import variables

ROOT = Path(__file__).resolve().parents[2]
SPECS = variable_problems.read_specs()
CANARY = "sk-swordfish-0123456789abcdef"
# Values of every kind, right for some variables and wrong for most.
JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    80,
    70000,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "http",
    "8080",
    " 8080",
    "8_080",
    "80.0",
    "0x50",
    "²",
    "４０００",
    "-1",
    "true",
    "über",
    "日本",
    "a;b,c",
    "a\nb",
    "a\x00b",
    "'\"$\\`%{}",
    "[::1]",
    "::",
    "192.0.2.300",
    "https://user:word@host/",
    [],
    [None],
    ["x"],
    [["x"]],
    [{}],
    [{"name": "x"}],
    {},
    {"x": "y"},
    {"x": None},
    {None: None},
    {1: 2},
    {"name": ["x"]},
    {"x": {"y": []}},
    # Values that YAML reads without quotes, and by its tags.
    datetime.date(2027, 1, 31),
    datetime.datetime(2027, 1, 31, 18, tzinfo=datetime.timezone.utc),
    {"x": datetime.date(2027, 1, 31)},
    [{"x": [datetime.date(2027, 1, 31)]}],
    b"x",
    {"x"},
]
# For a type, values that can never be right.
WRONG: dict[str, list[Any]] = {
    "bool": ["maybe", "", 7, None, [], {}, "ja", datetime.date(2027, 1, 31)],
    "dict": ["x", "x=y", 1, True, None, [], [{}], ["x"], {"x": datetime.date(2027, 1, 31)}, {"x": [b"y"]}],
    "float": ["x", None, True, [], {}, float("nan")],
    "int": [datetime.date(2027, 1, 31), "http", "1.5", "1e3", 1.5, True, None, [1], {}, "²", " 1", -1, "-1"],
    "list": ["x", "x,y", 1, True, None, {}, {"x": "y"}, [datetime.date(2027, 1, 31)]],
    "path": ["x", "/a b", "../x", 1, True, None, [], {}, "/a;b", "/", "/a/../b"],
    "str": [None, True, [], ["x"], {}, "a\nb", "a\x00b", datetime.date(2027, 1, 31), b"x"],
}
MODEL: dict[str, Any] = {
    "name": "chat",
    "source": "hf://org/model",
    "aliases": ["gpt"],
    "args": {"max-num-seqs": 8},
    "catalog": "org/model",
    "concurrency": 4,
    "context": {"min": 4096},
    "cost": {"input_per_token": 0.1, "output_per_token": 0.1},
    "engine": "vllm",
    "env": {"A": "b"},
    "hosts": ["gpu1"],
    "limits": {"rpm": 1, "tpm": 1, "max_parallel_requests": 1},
    "load": "always",
    "max_positions": 8192,
    "mode": "chat",
    "replicas": 1,
    "request_defaults": {"temperature": 1, "top_p": 1, "max_tokens": 1},
    "revision": "main",
    "tokens_per_second": 100,
    "weights_gib": 1,
}
KEY = {"alias": "me", "value": CANARY, "models": ["chat"], "rpm": 1, "tpm": 1, "expires": "2027-01-31"}
ENGINE = {"role": "me.mine.engine", "file": "/no/such/file.py"}
IMAGE = {"image": "docker.io/me/mine:1@sha256:" + 64 * "0", "programs": {"python": "python3"}}
DOOR = {"server_name": "a.test", "port": 443, "upstream": ["192.0.2.1:4000"]}
ROW = {
    "name": "mine",
    "title": "Mine",
    "hosts": ["gw"],
    "images": {"mine": 100},
    "environment_mib": 100,
    "listen": "127.0.0.1",
    "port": 1234,
    "ports": [{"name": "mine_port", "address": "127.0.0.1", "port": 80}],
}


def broken(value: Any) -> Iterator[Any]:
    """Every copy of a nested value in which one part, or the whole, is of another kind or has an unknown key."""
    yield from copy.deepcopy(JUNK)
    if isinstance(value, dict):
        yield {**value, "nmae": "x"}
        for key, part in value.items():
            yield {other: one for other, one in value.items() if other != key}
            yield from ({**value, key: wrong} for wrong in broken(part))
    if isinstance(value, list):
        yield from ([*value, wrong] for wrong in JUNK)
        for index, part in enumerate(value):
            yield from ([*value[:index], wrong, *value[index + 1 :]] for wrong in broken(part))


def complete(found: Iterable[Any], host: str | None = None) -> list[Problem]:
    """Require the shape of problems, and return them."""
    problems = [one if isinstance(one, Problem) else Problem(**one) for one in found]
    for one in problems:
        assert one.variable, one
        assert one.problem, one
        assert one.remedy, one
        assert "\n" not in one.sentence(), one
        assert host is None or one.host == host, one
        assert "swordfish" not in one.sentence(), one
    return problems


def known(problems: list[Problem]) -> set[str]:
    return {variables.subject(one.variable) for one in problems}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_value_of_any_kind_is_right_or_a_problem(name: str) -> None:
    for value in JUNK:
        problems = complete(variables.value_problems(name, value, SPECS[name], "gw"), "gw")
        assert {variables.subject(one.variable) for one in problems} <= {name}


@pytest.mark.parametrize("name", sorted(set(SPECS) - set(variables.CHECKED_ELSEWHERE)))
def test_a_value_of_the_wrong_kind_is_a_problem(name: str) -> None:
    spec = SPECS[name]
    for value in WRONG.get(spec["type"], []):
        if (value == "" and spec.get("default") == "") or name in ("llm_secrets_file", "llm_fleet_file"):
            continue
        if name in variables.BY_NAME and value is not None:
            # Its rule is more exact than its type, and has a test of its own.
            continue
        assert variables.value_problems(name, value, spec, "gw"), (name, value)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_default_is_right_also_as_text(name: str) -> None:
    spec = SPECS[name]
    if "default" not in spec or (isinstance(spec["default"], str) and "{{" in spec["default"]):
        return
    assert not variables.value_problems(name, spec["default"], spec, "gw")
    if spec["type"] in ("int", "bool"):
        assert not variables.value_problems(name, str(spec["default"]), spec, "gw")


@pytest.mark.parametrize("name", sorted(name for name, spec in SPECS.items() if spec.get("no_log")))
def test_no_secret_is_shown(name: str) -> None:
    for value in (CANARY, [CANARY], {"x": CANARY}, f"{CANARY}\n", [{"x": CANARY}], [{"x": [CANARY]}]):
        assert "swordfish" not in str(variables.value_problems(name, value, SPECS[name], "gw"))


@pytest.mark.parametrize("name", sorted(SPECS))
def test_no_password_in_a_url_is_told(name: str) -> None:
    """Results of tasks are printed with -v, so the value itself has to be without it, not only the message."""
    for url in ("https://me:it's-swordfish@hub", "ftp://me:swordfish@hub:x", "me:swordfish@hub:5000/x y"):
        for value in (url, [url], {"x": url}, [{"x": [url]}]):
            assert "swordfish" not in str(variables.value_problems(name, value, SPECS[name], "gw"))


def test_models_of_any_kind() -> None:
    catalog = {"org/*": {"args": {"x": 1}}}
    for models in broken([MODEL]):
        complete(fleet.inventory_problems(models, [KEY], catalog))
    for other in broken({"org/*": {**MODEL}}):
        complete(fleet.inventory_problems([MODEL], [KEY], catalog, other))
    for defaults in broken(MODEL):
        complete(fleet.inventory_problems([MODEL], [KEY], catalog, {}, defaults))


def test_keys_and_engines_of_any_kind() -> None:
    for keys in broken([KEY]):
        complete(fleet.inventory_problems([MODEL], keys))
    for value in JUNK:
        complete(fleet.inventory_problems([MODEL], [KEY], secrets={"litellm_master_key": value}))
    for engines in broken({"mine": ENGINE}):
        found = complete(fleet.inventory_problems([MODEL], [], engines=engines))
        assert found or engines in (None, {})


def test_images_of_any_kind() -> None:
    catalog = {"mine": "docker.io/me/mine:1@sha256:" + 64 * "1"}
    for own in broken({"mine": IMAGE}):
        if variables.value_problems("llm_images", own, SPECS["llm_images"]):
            continue
        found = complete(service.image_problems(own, own, False, "gw", catalog), "gw")
        if set(own) <= set(catalog):
            resolved = service.resolve_images(catalog, own)
            complete(service.image_problems(resolved, ["mine"], True))
        else:
            assert found


@pytest.mark.parametrize("name", sorted(name for name in SPECS if name.startswith("nginx_")))
def test_nginx_of_any_kind(name: str) -> None:
    shapes: dict[str, Any] = {
        "nginx_api": DOOR,
        "nginx_chat": DOOR,
        "nginx_api_paths": {"/v1/models": ["GET"]},
        "nginx_south_upstreams": [
            {"name": "chat", "api_paths": ["/v1/models"], "servers": [{"address": "192.0.2.1:1", "weight": 1}]}
        ],
    }
    for value in broken(shapes.get(name, 1)):
        complete(gateway.nginx_problems({"nginx_api": DOOR, name: value}, "gw"), "gw")


def test_rows_of_applications_of_any_kind() -> None:
    for rows in broken([ROW]):
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            wrong = variables.value_problems("llm_applications", rows, SPECS["llm_applications"])
            try:
                found = applications.FilterModule().filters()["application_listeners"](rows, "gw")
            except (KeyError, TypeError, AttributeError, ValueError):
                # A row that lacks a key or whose list is none is refused before.
                assert wrong, rows
            else:
                assert all(isinstance(one["port"], int) for one in found)


def test_renamed_variables_are_told_with_any_name() -> None:
    complete(inventory.renamed_variables({"vllm_api_key": 1, 5: 1, None: 1}, "gw"), "gw")


def set_variables(folder: Path) -> dict[str, Any]:
    """All variables of an inventory's files, without templates."""
    found: dict[str, Any] = {}
    for path in sorted((*folder.glob("group_vars/**/*.yml"), *folder.glob("host_vars/*.yml"))):
        found |= yaml.safe_load(path.read_text()) or {}
    return {name: value for name, value in found.items() if "{{" not in json.dumps(value, default=str)}


@pytest.mark.parametrize("name", ["gpu-box", "local", "prod"])
def test_the_shipped_inventories_are_right(name: str) -> None:
    given = set_variables(ROOT / "inventories" / name)
    assert set(given) & set(SPECS)
    for variable in set(given) & set(SPECS):
        assert not variables.value_problems(variable, given[variable], SPECS[variable])
