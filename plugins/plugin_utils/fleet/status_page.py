# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""What runs where as one page of HTML, which loads nothing from anywhere.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import html
from typing import Any

from ansible_collections.llmfleet.serving.plugins.plugin_utils import page
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import status as fleet_status

COLUMNS = (
    "Model",
    "Instance",
    "Host",
    "Engine",
    "Revision",
    "Generation",
    "State",
    "Up since (UTC)",
    "KV tokens, planned / measured",
    "KV GiB",
    "Running / waiting",
    "Last change",
    "Drift",
)
SERVICES = ("Service", "Host", "State", "Up since (UTC)", "Health")
# Cells that take a whole line on a narrow screen.
WIDE = ("Last change", "Drift", "Health")
NUMBERS = ("Generation", "KV tokens, planned / measured", "KV GiB", "Running / waiting")
CLASSES = {"serving": "good", "starting": "busy", "failed": "bad", "unreachable": "bad", "absent": "bad"}


def _cell(label: str, text: str) -> str:
    """Return a cell; everything in it is text of others."""
    kinds = ["wide"] if label in WIDE else []
    kinds += ["number"] if label in NUMBERS else []
    if label == "State":
        kinds += ["state", CLASSES.get(text.partition(",")[0], "idle")]
    if label == "Drift" and text != fleet_status.NOTHING:
        kinds.append("busy")
    kinds += ["none"] if text == fleet_status.NOTHING else []
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    return f'<td{kind} data-label="{html.escape(label)}">{html.escape(text)}</td>'


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    return page.table(columns, ["".join(map(_cell, columns, row)) for row in rows])


def _count(rows: list[dict[str, Any]]) -> str:
    """Return in words how many serve."""
    serving = sum(one["state"] == "serving" for one in rows)
    return f"{serving} of {len(rows)}"


def status_page(status: dict[str, Any], title: str = "What runs where") -> str:
    """Return the page.

    :param status: what ``fleet_status`` returned.
    """
    engines, services = status["engines"], status["services"]
    runs = "".join(f'<p class="run">{html.escape(fleet_status.running(one))}</p>\n' for one in status["runs"])
    runs += "".join(f'<p class="run">{html.escape(one)}</p>\n' for one in status["holds"])
    rows = [fleet_status.shown_service(one) for one in services]
    tables = f"<h2>Engines</h2>\n{_table(COLUMNS, [fleet_status.shown(one) for one in engines])}\n"
    if rows:
        tables += f"<h2>Gateways, chat page, metrics</h2>\n{_table(SERVICES, rows)}\n"
    intro = f"{status['when']}: {_count(engines)} engines and {_count(services)} other services serve"
    return page.page(title, intro, runs + tables)
