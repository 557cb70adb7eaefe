# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary at the end of site.yml, as text from rows."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table


def door_url(door: dict[str, Any], path: str = "/") -> str:
    """Return the https URL of a door ``{server_name, port}``, without the port that https implies."""
    port = int(door["port"])
    return f"https://{door['server_name']}{'' if port == 443 else f':{port}'}{path}"


def fleet_summary(
    instances: list[dict[str, Any]], reports: dict[str, dict[str, Any]], notes: list[dict[str, str]]
) -> str:
    """Return the summary of site.yml: what runs where, how to reach it, where the secrets are, how to stop.

    :param instances: instances of models, ``{name, model, host, address}``.
    :param reports: values that each host reports, because only the host knows its addresses: ``services``, each
        ``{name, url}``, left out without url; ``doors``, each ``{label, text}``, those of one label in one line.
    :param notes: further lines, ``{label, text}``; without text it is left out.
    """
    rows = [[f"{PREFIX}{registry.service(i)}", i["host"], f"http://{i['address']}"] for i in instances]
    # Service by service, as the first host has them, and within a service host by host.
    services: dict[str, list[list[str]]] = {}
    doors: dict[str, list[str]] = {}
    for host, own in reports.items():
        for service in own["services"]:
            found = services.setdefault(service["name"], [])
            found += [[f"{PREFIX}{service['name']}", host, service["url"]]] if service["url"] else []
        for door in own["doors"]:
            texts = doors.setdefault(door["label"], [])
            texts += [door["text"]] if door["text"] and door["text"] not in texts else []
    rows += [row for found in services.values() for row in found]
    lines = [table(rows, ["WHAT RUNS", "ON", "WHERE"]), ""]
    shown = [{"label": label, "text": ", ".join(texts)} for label, texts in doors.items()]
    shown = [note for note in shown + notes if note["text"]]
    width = max((len(note["label"]) for note in shown), default=0)
    lines += [f"{note['label'].ljust(width)}  {note['text']}" for note in shown]
    return "\n".join(lines)
