# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what each play sees on each of its hosts, before any template is filled, to DUMP_VARIABLES_TO."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: dump_variables
type: aggregate
short_description: Write the variables of every play to a file
description: Test helper.
"""

# What a run is: its paths, hosts and connection. It may differ; what roles and playbooks bring may not.
MAGIC = {
    "environment",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "omit",
    "play_hosts",
    "playbook_dir",
    "vars",
}


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "dump_variables"

    def __init__(self) -> None:
        super().__init__()
        self.plays: list[dict[str, Any]] = []

    def v2_playbook_on_play_start(self, play: Any) -> None:
        manager = play.get_variable_manager()
        hosts = manager._inventory.get_hosts(play.hosts)
        seen = {}
        for host in hosts:
            variables = manager.get_vars(play=play, host=host)
            seen[host.name] = {
                name: value
                for name, value in variables.items()
                if name not in MAGIC and not name.startswith(("ansible_", "inventory_hostname"))
            }
        self.plays.append({"play": play.name, "hosts": seen})

    def v2_playbook_on_stats(self, stats: Any) -> None:
        with open(os.environ["DUMP_VARIABLES_TO"], "w") as output:
            json.dump(self.plays, output, indent=1, sort_keys=True, default=str)
