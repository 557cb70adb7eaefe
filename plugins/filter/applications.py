# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters over the table of applications and the variables of hosts: thin wrappers around plugin_utils/fleet.

Both are handed on as they are: Ansible computes a value when it is asked for, and not all are there at all times.
"""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import (
    applications,
    contacts,
    egress,
    engine_contacts,
    firewall,
    memory,
    plain_text,
)


def egress_problems(
    values: dict[str, Any],
    services: dict[str, list[str]],
    further: list[str],
    address: str,
    host: str = "",
    told: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Find names of hosts that a filtered service could not reach; see plugin_utils/fleet/egress.py."""
    return [problem._asdict() for problem in egress.problems(values, services, further, address, host, told or [])]


def firewall_problems(
    address: str, further: Any, known: list[str], host: str = "", told: list[str] | None = None
) -> list[dict[str, Any]]:
    """Find names where the firewall needs addresses; see plugin_utils/fleet/firewall.py."""
    return [problem._asdict() for problem in firewall.problems(address, further, known, host, told or [])]


def plain_text_problems(
    listeners: dict[str, Any],
    networks: list[str],
    host: str = "",
    own: list[str] | None = None,
    urls: dict[str, Any] | None = None,
    told: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Find plain text between hosts outside private networks; see plugin_utils/fleet/plain_text.py."""
    return [problem._asdict() for problem in plain_text.problems(listeners, networks, host, own, urls, told or [])]


class FilterModule:
    """Filters over the table of applications and the variables of hosts."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "application_disk": applications.disk,
            "application_fleet_listeners": applications.fleet_listeners,
            "application_hops": applications.hops,
            "application_image_sizes": applications.image_sizes,
            "application_images": applications.image_names,
            "application_releases": applications.releases,
            "application_listeners": applications.listeners,
            "application_plain_listeners": applications.plain_listeners,
            "application_scrape_jobs": applications.scrape_jobs,
            "application_services": applications.services,
            "configured_urls": contacts.of_configuration,
            "driverless_hosts": memory.driverless_hosts,
            "egress_networks": egress.networks,
            "egress_problems": egress_problems,
            "engine_urls": engine_contacts.by_variable,
            "environment_urls": contacts.of_environment,
            "firewall_problems": firewall_problems,
            "firewall_services": firewall.services,
            "fleet_hosts": memory.fleet_hosts,
            "fleet_models": memory.fleet_models,
            "plain_text_problems": plain_text_problems,
            "source_addresses": egress.source_addresses,
        }
