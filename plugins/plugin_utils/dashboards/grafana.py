# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dashboards as Grafana imports them.

Pure functions over the definition; no Ansible, no files, no network. The fields are those of Grafana's dashboard JSON
model (https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/), schema 39.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.definition import DASHBOARDS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import Dashboard, Panel, Variable

SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's names of units.
UNITS = {
    "seconds": "s",
    "share": "percentunit",
    "count": "short",
    "requests/s": "reqps",
    "tokens/s": "suffix: tokens/s",
    "bytes": "bytes",
    "bytes/s": "Bps",
    "celsius": "celsius",
    "watts": "watt",
    "megahertz": "rotmhz",
    "tokens/joule": "suffix: tokens/J",
    "per second": "cps",
}
TYPES = {"lines": "timeseries", "areas": "timeseries", "number": "stat", "table": "table"}
# Grafana's grid has 24 columns.
COLUMNS, WIDTHS, HEIGHTS = 24, {"number": 6}, {"number": 4}
WIDTH, HEIGHT = 8, 8


def grafana_dashboards(datasource: str = "") -> dict[str, dict[str, Any]]:
    """Return the dashboards by the names of their files.

    :param datasource: identifier (uid) of a source of data that is chosen at first; empty means Grafana's default.
    """
    return {f"llmfleet-{one.key}.json": dashboard(one, datasource) for one in DASHBOARDS}


def dashboard(one: Dashboard, datasource: str = "") -> dict[str, Any]:
    """Return one dashboard."""
    chosen: dict[str, Any] = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "current": {"text": datasource, "value": datasource} if datasource else {},
    }
    return {
        "id": None,
        "uid": f"llmfleet-{one.key}",
        "title": f"LLM fleet: {one.title}",
        "description": one.help,
        "tags": ["llmfleet"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [_link()],
        "annotations": {"list": [_raised()]},
        "templating": {"list": [chosen, *map(_variable, one.variables)]},
        "panels": _panels(one),
    }


def _link() -> dict[str, Any]:
    """Return the menu of the fleet's dashboards, which keeps the time and the variables."""
    return {
        "type": "dashboards",
        "title": "LLM fleet",
        "tags": ["llmfleet"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def _raised() -> dict[str, Any]:
    """Return the marks of the times at which alerts were raised."""
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": False,
        "expr": 'ALERTS{alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}} {{model}} {{host}}",
        "iconColor": "red",
        "step": "60s",
    }


def _variable(one: Variable) -> dict[str, Any]:
    query = f"label_values({one.series}, {one.name})"
    return {
        "name": one.name,
        "label": one.title,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": one.name},
        # Read again when the time changes, for hosts and models come and go.
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "hide": 0,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _panels(one: Dashboard) -> list[dict[str, Any]]:
    """Return the panels with their places, row by row."""
    found: list[dict[str, Any]] = []
    top = 0
    for row in one.rows:
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        found.append({"id": len(found) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place})
        found[-1]["panels"] = []
        top += 1
        left, height = 0, 0
        for panel in row.panels:
            width = WIDTHS.get(panel.kind, WIDTH)
            if left + width > COLUMNS:
                left, top = 0, top + height
            height = HEIGHTS.get(panel.kind, HEIGHT)
            place = {"x": left, "y": top, "w": width, "h": height}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
            left += width
        top += height
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    present = panel.kind in ("number", "table")
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": present,
            "range": not present,
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for index, query in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": UNITS[panel.unit]}
    if panel.unit == "share":
        defaults |= {"min": 0, "max": 1} if panel.kind != "table" else {}
    elif panel.kind != "table":
        defaults["min"] = 0
    if panel.kind in ("lines", "areas"):
        defaults["custom"] = {
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "fillOpacity": 25 if panel.kind == "areas" else 0,
            "stacking": {"mode": "normal" if panel.kind == "areas" else "none", "group": "A"},
        }
    return {
        "title": panel.title,
        "description": panel.help,
        "type": TYPES[panel.kind],
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[panel.kind],
        "transformations": TABLE if panel.kind == "table" else [],
    }


LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True}
OPTIONS: dict[str, dict[str, Any]] = {
    "lines": {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "areas": {"legend": LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "number": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "none"},
    "table": {"showHeader": True},
}
# A table shows labels and the value; all rows are of one moment.
TABLE = [
    {
        "id": "organize",
        "options": {"excludeByName": {"Time": True, "__name__": True, "instance": True, "job": True}},
    }
]
