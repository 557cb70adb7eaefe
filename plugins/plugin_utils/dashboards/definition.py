# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All dashboards: the one definition from which those of Grafana and the fleet's own page are made.

Pure data; no Ansible, no files, no network.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards import (
    changes,
    fleet,
    gateways,
    machines,
    models,
)

DASHBOARDS = (fleet.FLEET, models.MODELS, gateways.GATEWAY, machines.GPU, machines.HOSTS, changes.CHANGES)
