# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dashboards as one page of HTML, which loads nothing from anywhere but the fleet's own Prometheus.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.definition import DASHBOARDS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import Dashboard
from ansible_collections.llmfleet.serving.plugins.plugin_utils.page import STYLE

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLM fleet</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>
<h1>LLM fleet</h1>
<nav id="pages" aria-label="Dashboards"></nav>
<form id="choices">
<span id="variables"></span>
<label>Time<select id="range"></select></label>
<label>Refresh<select id="refresh"></select></label>
<button id="now" type="button">Refresh now</button>
</form>
<p id="state" role="status"></p>
</header>
<main>
<p id="help"></p>
<div id="rows"></div>
<noscript><p>This page draws its charts with JavaScript, which is off in this browser.</p></noscript>
</main>
<script type="application/json" id="definition">{definition}</script>
<script>{script}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    """Return what a policy of content calls an inline text (https://www.w3.org/TR/CSP3/#grammardef-hash-source)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _plain(one: Dashboard) -> dict[str, Any]:
    """Return a dashboard as the page's script reads it."""
    rows = [
        {
            "title": row.title,
            "panels": [
                {**panel._asdict(), "queries": [query._asdict() for query in panel.queries]} for panel in row.panels
            ],
        }
        for row in one.rows
    ]
    return {**one._asdict(), "variables": [variable._asdict() for variable in one.variables], "rows": rows}


def dashboards_page(scripts: list[str], styles: list[str]) -> dict[str, str]:
    """Return the page, and the policy of content under which browsers run nothing but what is in it.

    :param scripts: texts of JavaScript, in their order.
    :param styles: texts of CSS, in their order; they come after the style that all pages have.
    :return: ``html`` and ``policy``, the value of the header Content-Security-Policy.
    """
    script, style = "\n".join(scripts), "\n".join([STYLE, *styles])
    # In HTML, a text of JSON ends at the first </script>.
    definition = json.dumps([_plain(one) for one in DASHBOARDS], separators=(",", ":")).replace("<", "\\u003c")
    policy = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "html": PAGE.format(style=style, script=script, definition=definition),
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
    }
