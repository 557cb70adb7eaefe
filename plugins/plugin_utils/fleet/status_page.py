# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""What runs where as one page of HTML, which loads nothing from anywhere.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import html
from typing import Any

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
STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --paper: #fff; --ink: #1b1f24; --faint: #5b6470; --line: #dfe3e8;
  --good: #11734b; --busy: #8a5a00; --bad: #b3261e; --idle: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --paper: #1d2126; --ink: #e6e9ed; --faint: #9aa4b0;
  --line: #333a43; --good: #5cc998; --busy: #e3b341; --bad: #ff8a80; --idle: #9aa4b0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: .2rem 0; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p { margin: .2rem 0; color: var(--faint); } .run { color: var(--busy); }
table { width: 100%; border-collapse: collapse; background: var(--paper); border: 1px solid var(--line);
  font-size: .8rem; }
th, td { text-align: left; padding: .4rem .45rem; border-top: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word; }
th { color: var(--faint); font-weight: 600; border-top: 0; vertical-align: bottom; }
td.wide { min-width: 8rem; overflow-wrap: anywhere; } td.number { font-variant-numeric: tabular-nums; }
.state { font-weight: 600; white-space: nowrap; } .good { color: var(--good); } .busy { color: var(--busy); }
.bad { color: var(--bad); } .idle { color: var(--idle); }
@media (max-width: 74rem) { thead { display: none; } table, tbody { display: block; border: 0; background: none; }
  tr { display: grid; grid-template-columns: 1fr 1fr; background: var(--paper); border: 1px solid var(--line);
    border-radius: .4rem; margin-bottom: .7rem; padding: .4rem .3rem; }
  td { border: 0; padding: .25rem .5rem; overflow-wrap: anywhere; } td.none { display: none; }
  td.wide { grid-column: 1 / -1; }
  td::before { content: attr(data-label); display: block; color: var(--faint); font-size: .72rem; } }
"""


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
    head = "".join(f"<th>{html.escape(one)}</th>" for one in columns)
    body = "\n".join(f"<tr>{''.join(map(_cell, columns, row))}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


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
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(str(status["when"]))}: {_count(engines)} engines and {_count(services)} other services serve</p>
{runs}{tables}</body>
</html>
"""
