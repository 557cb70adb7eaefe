# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters from models and hosts to what runs where: thin wrappers around module_utils."""

from __future__ import annotations

import functools
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils import (
    allocation,
    derive,
    inventory_check,
    models,
    problems,
    wiring,
)

# Arguments by their type. What users write themselves (models, keys, catalogue) is checked with everything in it.
LISTS = ("instances", "models", "others", "found")
DICTIONARIES = ("hosts", "gateways", "machines")


def _refuse(name: str, argument: str, value: Any, remedy: str) -> AnsibleFilterError:
    return AnsibleFilterError(f"filter {name}: {argument} is {problems.shown(value)}: {remedy}.")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a filter plain values of the right types, and make what it finds wrong an error of Ansible."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(names, args)), **kwargs}
        for argument, value in given.items():
            if value is not None and argument in LISTS and not isinstance(value, (list, tuple)):
                raise _refuse(function.__name__, argument, value, "give a list, not text made of one")
            if value is not None and argument in DICTIONARIES and not isinstance(value, dict):
                raise _refuse(function.__name__, argument, value, "give a dictionary, not text made of one")
        try:
            return function(*map(problems.plain, args), **problems.plain(kwargs))
        except problems.InventoryError as error:
            raise AnsibleFilterError(str(error)) from error
        except KeyError as error:
            remedy = "give models from resolve_models and instances from allocate_instances"
            raise _refuse(function.__name__, f"{error}", None, remedy) from error

    return wrapper


@checked
def resolve_models(
    llm_models: Any, catalog: Any = None, extra: Any = None, defaults: Any = None
) -> list[dict[str, Any]]:
    """Fill models from defaults and catalogue."""
    return models.resolve(llm_models, catalog, extra, defaults)


@checked
def allocate_instances(models: Any, hosts: Any, gateways: Any = None, first_port: int = 8100) -> list[dict[str, Any]]:
    """Place every replica."""
    return allocation.allocate_or_raise(models, hosts, gateways, int(first_port))


@checked
def instances_on(instances: Any, host: str) -> list[dict[str, Any]]:
    """Pick the instances of one host."""
    return wiring.instances_on(instances, host)


@checked
def host_needs(instances: Any, models: Any, host: str) -> dict[str, int]:
    """Say what memory and downloads a host's instances need."""
    return allocation.needs(instances, models, host)


@checked
def litellm_workers(instances: Any, models: Any, gateways: Any) -> dict[str, int]:
    """Derive the number of LiteLLM workers of each gateway."""
    return derive.planned_workers(instances, models, gateways)


@checked
def litellm_deployments(instances: Any, models: Any, south_url: str, workers: int = 1) -> list[dict[str, Any]]:
    """Derive LiteLLM's deployments."""
    return wiring.litellm_deployments(instances, models, south_url, int(workers))


@checked
def south_upstreams(instances: Any, models: Any) -> list[dict[str, Any]]:
    """Derive the inner proxy's upstreams."""
    return wiring.south_upstreams(instances, models)


@checked
def scrape_targets(instances: Any, others: Any = None) -> list[dict[str, Any]]:
    """Derive Prometheus' jobs."""
    return wiring.scrape_targets(instances, others)


@checked
def inventory_problems(
    llm_models: Any,
    hosts: Any,
    keys: Any = None,
    catalog: Any = None,
    extra: Any = None,
    defaults: Any = None,
    machines: Any = None,
) -> list[dict[str, Any]]:
    """Find everything that is wrong with an inventory."""
    found = inventory_check.check(llm_models, hosts, keys, catalog, extra, defaults, machines)
    return [problem._asdict() for problem in found]


@checked
def problems_text(found: Any) -> str:
    """Say problems in one text."""
    return problems.render(problems.Problem(**problem) for problem in found)


class FilterModule:
    """Filters from models and hosts to what runs where."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "allocate_instances": allocate_instances,
            "host_needs": host_needs,
            "instances_on": instances_on,
            "inventory_problems": inventory_problems,
            "litellm_deployments": litellm_deployments,
            "litellm_workers": litellm_workers,
            "problems_text": problems_text,
            "resolve_models": resolve_models,
            "scrape_targets": scrape_targets,
            "south_upstreams": south_upstreams,
        }
