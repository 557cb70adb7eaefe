# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the ``service`` role: thin wrappers around plugin_utils/service."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils import problems
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import engine as doctor_engine
from ansible_collections.llmfleet.serving.plugins.module_utils.host import removal
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import (
    as_user,
    container_command,
    egress,
    ingress,
)
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import image as service_image
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import package as service_package
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec


@contextlib.contextmanager
def refusing(host: str) -> Iterator[None]:
    """Turn problems into an error of Ansible that names the host."""
    try:
        yield
    except problems.ProblemsError as error:
        raise AnsibleFilterError(problems.render(problems.on_host(host, error.problems))) from error


def service_specs(
    specs: list[dict[str, Any]],
    config_root: str,
    state_root: str,
    images: list[dict[str, Any]] | None = None,
    host: str = "",
) -> list[dict[str, Any]]:
    """Fill the defaults of service specs; see plugin_utils/service/spec.py."""
    with refusing(host):
        programs = service_image.known_programs(images or [])
        return service_spec.normalise(specs, config_root, state_root, programs)


def firewall_table(services: list[dict[str, Any]], host: str = "") -> dict[str, str]:
    """Return the table of nftables that admits the peers of services; see plugin_utils/service/ingress.py."""
    with refusing(host):
        return ingress.table(services)


def package_images(package: dict[str, Any], root: str, pinned: bool = True, host: str = "") -> list[dict[str, Any]]:
    """Return the images of a package with the programs that run from them; see plugin_utils/service/image.py."""
    with refusing(host):
        return service_image.packages(package, root, pinned)


def package_on(package: dict[str, Any], facts: dict[str, Any], host: str = "") -> dict[str, Any]:
    """Choose what a package is on one distribution; see plugin_utils/service/package.py."""
    distribution, version = str(facts.get("distribution", "")), str(facts.get("distribution_version", ""))
    with refusing(host):
        return service_package.on_distribution(package, distribution, version)


def container_probes(
    instances: list[dict[str, Any]],
    images: dict[str, Any],
    options: dict[str, Any],
    environments: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the command line that runs each engine's Python from its image; see ``container_command``."""
    engines = []
    for instance in doctor_engine.with_torch(instances):
        image = images.get(instance["engine"])
        if not image:
            continue
        named = image if isinstance(image, dict) else {"image": image}
        program = (named.get("programs") or {}).get("python", service_image.NAMES["python"])
        argv = container_command.probe(str(named["image"]), program, list(instance["gpus"]), options)
        # A command line is visible to every user.
        for key, value in doctor_engine.variables(instance, environments).items():
            argv[-3:-3] = ["--env", f"{key}={value}"]
        engines.append({"name": instance["name"], "python": argv, "gpus": instance["gpus"]})
    return engines


def image_problems(
    images: dict[str, Any],
    names: list[str],
    pinned: bool = True,
    host: str = "",
    catalog: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Find problems of images; see plugin_utils/service/image.py."""
    found = service_image.problems(images, names, pinned, catalog)
    return [problem._asdict() for problem in problems.on_host(host, found)]


def resolve_images(catalog: dict[str, Any], own: dict[str, Any], registry: str = "", host: str = "") -> dict[str, Any]:
    """Layer the user's images over the shipped ones; see plugin_utils/service/image.py."""
    with refusing(host):
        return service_image.resolve(catalog, own, registry)


class FilterModule:
    """Filters of the service role."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "container_probes": container_probes,
            "container_beside": container_command.beside,
            "container_service": container_command.service,
            "firewall_table": firewall_table,
            "image_problems": image_problems,
            "package_images": package_images,
            "package_on": package_on,
            "package_summary": service_package.summary,
            "package_wrappers": service_package.wrappers,
            "package_programs": service_image.programs,
            "removable_accounts": removal.accounts,
            "resolve_images": resolve_images,
            "service_as_user": as_user.command,
            "service_specs": service_specs,
            "service_users_to_create": service_spec.users_to_create,
            "service_directories": service_spec.directories,
            "service_egress_rules": egress.rules,
            "service_files": service_spec.files,
            "service_secret_files": service_spec.secret_files,
            "service_manager_services": service_spec.manager_services,
        }
