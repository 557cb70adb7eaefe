# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the role echo."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority


def echo_specs(instances: list[dict[str, Any]], program: str, config_root: str) -> list[dict[str, Any]]:
    """Return the service spec of each instance."""
    keys = {one["name"]: f"{config_root}/echo-{one['name']}/accepted_keys" for one in instances}
    return [
        {
            "name": f"echo-{one['name']}",
            "command": [
                "/usr/bin/python3",
                program,
                *(f"--{flag}" if value is True else f"--{flag}={value}" for flag, value in one["args"].items()),
                *(
                    f"--{flag}={one[field]}"
                    for flag, field in (("model", "model"), ("host", "listen"), ("port", "port"))
                ),
            ],
            "environment": {**one["env"], "ECHO_KEYS": keys[one["name"]]},
            # It reads the file again when it changes, so another key restarts nothing.
            "files": [{"dest": keys[one["name"]], "src": "accepted_keys.j2", "on_change": "none"}],
            "ready": {"url": f"http://{authority(one['listen'], one['port'])}/ready", "deadline": 30},
            "generation": {"instance": one["name"], "model": one["model"], "revision": "", "snapshot": ""},
        }
        for one in instances
    ]


class FilterModule:
    """Filters of the role echo."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {"echo_specs": echo_specs}
