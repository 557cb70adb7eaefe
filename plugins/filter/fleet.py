# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters from models and hosts to what runs where: thin wrappers around module_utils."""

from __future__ import annotations

import functools
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils import problems
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import check as inventory_check
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models, rules
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import limits, proofs
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import (
    answered,
    changes,
    requirements,
    version,
    wiring,
)
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import memory as fleet_memory
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import variables

# Arguments are checked by their type. Those that users write (models, keys, catalogue) are checked with all their
# content.
LISTS = ("instances", "models", "others", "found", "reached", "current", "weights")
DICTIONARIES = ("gateways", "machines", "read", "known", "plan")


def _refuse(name: str, argument: str, value: Any, remedy: str) -> AnsibleFilterError:
    return AnsibleFilterError(f"filter {name}: {argument} is {problems.shown(value)}: {remedy}.")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass plain values of the right types to a filter, and turn the errors that it raises into Ansible's."""
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
        except problems.ProblemsError as error:
            raise AnsibleFilterError(str(error)) from error
        except KeyError as error:
            remedy = "give models from resolve_models and instances from serving_plan"
            raise _refuse(function.__name__, f"{error}", None, remedy) from error

    return wrapper


@checked
def resolve_models(
    llm_models: Any, catalog: Any = None, extra: Any = None, defaults: Any = None, engines: Any = None
) -> list[dict[str, Any]]:
    """Fill models from defaults and catalogue."""
    registry.load(engines)
    return models.resolve(llm_models, catalog, extra, defaults)


@checked
def instances_in_force(hosts: Any) -> list[dict[str, Any]]:
    """Collect the instances that hosts report as running."""
    return fleet_memory.instances_in_force(hosts)


@checked
def measured_overheads(hosts: Any) -> list[dict[str, Any]]:
    """Collect the measurements of the engines of all hosts."""
    return fleet_memory.measured_overheads(hosts)


@checked
def engine_answers(hosts: Any, models: Any, releases: Any) -> list[dict[str, Any]]:
    """Collect what engines answered on all hosts, and what the shipped table has."""
    return answered.answers(hosts, models, releases)


@checked
def unproven_instances(instances: Any, measured: Any, now: Any, packages: Any, host: str) -> list[dict[str, Any]]:
    """Select the instances to load before they serve."""
    known = [*measured, *(one for entries in now for one in entries)]
    return proofs.unproven(instances, known, packages, host)


@checked
def plan_with_smaller_caches(plan: Any, models: Any, ran_out: Any, packages: Any) -> dict[str, Any]:
    """Shrink the KV caches of what ran out of memory, and of all equal instances."""
    return proofs.corrected(plan, models, ran_out, packages)


@checked
def remembered_hosts(names: Any, known: Any) -> dict[str, Any]:
    """Select the facts of hosts."""
    return fleet_memory.remembered_hosts(names, known)


@checked
def facts_or_error(result: Any) -> dict[str, Any]:
    """Read the result of a task with model_info."""
    return fleet_memory.facts_or_error(result)


@checked
def models_to_read(models: Any, host: str, hosts: Any, reached: Any) -> list[dict[str, Any]]:
    """Select the models whose facts a host reads."""
    return fleet_memory.models_to_read(models, host, hosts, reached)


@checked
def with_model_facts(models: Any, read: Any = None, known: Any = None) -> list[dict[str, Any]]:
    """Add the facts to models."""
    return fleet_memory.with_facts(models, read or {}, known or {})


@checked
def remembered_models(models: Any) -> dict[str, Any]:
    """Return the facts of models for the next run."""
    return fleet_memory.remember(models)


@checked
def instances_on(instances: Any, host: str) -> list[dict[str, Any]]:
    """Select the instances of one host."""
    return wiring.instances_on(instances, host)


@checked
def engine_steps(plan: Any) -> list[dict[str, Any]]:
    """Select the steps that are carried out one by one."""
    return changes.engine_steps(plan)


@checked
def engine_step_on(plan: Any, number: int, host: str, recorded: Any) -> dict[str, Any]:
    """Compute what a host does in a step."""
    return changes.engine_step_on(plan, int(number), host, recorded)


@checked
def instances_in_traffic(
    plan: Any,
    current: Any,
    machines: Any,
    step: int = 0,
    during: bool = False,
    weights: Any = None,
    canary: Any = None,
) -> list[dict[str, Any]]:
    """Select the instances that gateways send to."""
    return changes.instances_in_traffic(plan, current, machines, int(step), during, weights, canary)


@checked
def drained_models(plan: Any, number: int, current: Any) -> list[str]:
    """Select the models whose instances gateways take out during a step."""
    return changes.drained(plan, int(number), current)


@checked
def host_needs(instances: Any, models: Any, host: str, models_root: str) -> dict[str, Any]:
    """Compute the memory and the downloads that a host's instances need."""
    return {
        "memory_mib": requirements.memory_mib(instances, models, host),
        "downloads": requirements.downloads(instances, models, host, models_root),
    }


@checked
def litellm_workers(cores: int) -> int:
    """Derive the number of LiteLLM workers of a gateway."""
    return limits.litellm_workers(int(cores))


@checked
def gate_models(instances: Any, models: Any) -> list[dict[str, Any]]:
    """Derive the gate's models."""
    return wiring.gate_models(instances, models)


@checked
def litellm_deployments(instances: Any, models: Any, south_url: str) -> list[dict[str, Any]]:
    """Derive LiteLLM's deployments."""
    return wiring.litellm_deployments(instances, models, south_url)


@checked
def south_upstreams(instances: Any, models: Any, engines: Any = None) -> list[dict[str, Any]]:
    """Derive the inner proxy's upstreams."""
    registry.load(engines)
    return wiring.south_upstreams(instances, models, engines)


@checked
def scrape_targets(instances: Any, others: Any = None) -> list[dict[str, Any]]:
    """Derive Prometheus' jobs."""
    return wiring.scrape_targets(instances, others)


@checked
def inventory_problems(
    llm_models: Any,
    keys: Any = None,
    catalog: Any = None,
    extra: Any = None,
    defaults: Any = None,
    machines: Any = None,
    secrets: Any = None,
    engines: Any = None,
    teams: Any = None,
    cache: Any = True,
) -> list[dict[str, Any]]:
    """Find all problems of an inventory."""
    try:
        registry.load(engines)
    except problems.ProblemsError as error:
        return [problem._asdict() for problem in error.problems]
    found = inventory_check.check(
        llm_models, keys, catalog, extra, defaults, machines, secrets, teams, not rules.off(cache)
    )
    return [problem._asdict() for problem in found]


@checked
def version_problems(recorded: Any, own: str) -> list[dict[str, Any]]:
    """Find hosts that a newer version of the collection set up."""
    return [problem._asdict() for problem in version.problems(recorded, own)]


@checked
def problems_text(found: Any) -> str:
    """Format problems as one text."""
    return problems.render(variables.across_hosts(problems.Problem(**problem) for problem in found))


class FilterModule:
    """Filters from models and hosts to what runs where."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "engine_answers": engine_answers,
            "engine_step_on": engine_step_on,
            "engine_steps": engine_steps,
            "drained_models": drained_models,
            "instances_in_traffic": instances_in_traffic,
            "facts_or_error": facts_or_error,
            "host_needs": host_needs,
            "instances_in_force": instances_in_force,
            "instances_on": instances_on,
            "inventory_problems": inventory_problems,
            "remembered_hosts": remembered_hosts,
            "gate_models": gate_models,
            "litellm_deployments": litellm_deployments,
            "litellm_workers": litellm_workers,
            "measured_overheads": measured_overheads,
            "plan_with_smaller_caches": plan_with_smaller_caches,
            "unproven_instances": unproven_instances,
            "models_to_read": models_to_read,
            "problems_text": problems_text,
            "remembered_models": remembered_models,
            "resolve_models": resolve_models,
            "scrape_targets": scrape_targets,
            "south_upstreams": south_upstreams,
            "version_problems": version_problems,
            "with_model_facts": with_model_facts,
        }
