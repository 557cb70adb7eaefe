# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems of the door of the dashboards, found before anything is changed.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

VARIABLE = "llm_dashboards"


def problems(on: bool, monitoring: list[str], fleet: list[str], firewall: bool, host: str) -> list[Problem]:
    """Return them.

    :param on: ``llm_dashboards``.
    :param monitoring: hosts with Prometheus.
    :param fleet: all hosts.
    :param firewall: ``llm_firewall``.
    :param host: the host's name in the inventory.
    """
    if not on:
        return []
    if not monitoring:
        remedy = "put a host into llm_monitoring, or leave llm_dashboards out"
        return [Problem(VARIABLE, True, "there is no Prometheus that they could show", remedy, host)]
    if len(fleet) > 1 and not firewall:
        problem = (
            "with it, Prometheus, which has no log-in, listens at the address of its host, and llm_firewall is off"
        )
        return [Problem(VARIABLE, True, problem, "turn llm_firewall on, or leave llm_dashboards out", host)]
    return []
