# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one definition of dashboards, and what Grafana is given of it."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards import grafana, panels
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.definition import DASHBOARDS
from ansible_playbook import run_playbook
from load_file import load_file

ROOT = Path(__file__).resolve().parents[5]
# What the pinned programs export, as read from their /metrics; the cards' exporter has its default list.
EXPORTED = json.loads((Path(__file__).parent / "data" / "metrics.json").read_text())
RULES = sorted((ROOT / "roles" / "prometheus" / "templates").glob("*.rules.yml*"))
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
WORDS = {"sum", "count", "min", "max", "avg", "rate", "increase", "topk", "by", "on", "or", "bool", "time", "vector"}
WORDS |= {"histogram_quantile", "clamp_min", "group_left"}
LABEL = re.compile(r"{{(\w+)}}")

each = pytest.mark.parametrize("one", DASHBOARDS, ids=lambda one: one.key)


def metrics(expr: str) -> set[str]:
    """Return the names of the metrics of an expression."""
    bare = re.sub(r"\b(?:by|on|group_left) \([^)]*\)|{[^}]*}|\[[^]]*\]|\"[^\"]*\"", "", expr)
    return {name for name in NAME.findall(bare) if name not in WORDS}


def known() -> set[str]:
    """Return the names that this release has."""
    recorded = {name for path in RULES for name in re.findall(r"- record: (\S+)", path.read_text())}
    gate = load_file(ROOT / "roles" / "gate" / "files" / "gate_metrics.py").Metrics()
    gate.store(True)
    gate.booking((0, 0.0))
    gate.budgets({("a", "b", "c", "day"): ("1", 1)})
    text = gate.text().decode()
    own = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge)", text, re.M))
    own |= {f"{name}_bucket" for name in re.findall(r"^# TYPE (\S+) histogram", text, re.M)}
    watchdog = (ROOT / "roles" / "watchdog" / "files" / "watchdog_rules.py").read_text()
    own |= set(re.findall(r"# TYPE (llmfleet_\w+)", watchdog))
    own |= {
        f"llmfleet_watchdog_{name}" for name in re.findall(r'^        "(\w+)": \("(?:counter|gauge)"', watchdog, re.M)
    }
    own |= set(re.findall(r"# TYPE (llmfleet_\w+)", (ROOT / "playbooks" / "tasks" / "hold_hosts.yml").read_text()))
    return recorded | own | {"ALERTS"} | {name for names in EXPORTED.values() for name in names}


def test_every_metric_is_one_that_this_release_has() -> None:
    names = known()
    used = {
        name for one in DASHBOARDS for panel in one.panels for query in panel.queries for name in metrics(query.expr)
    }
    assert len(used) > 60
    assert used - names == set()


def test_the_list_is_of_the_pinned_engine() -> None:
    """With a new release it is read anew, so a metric that went away is noticed here."""
    pinned = (ROOT / "roles" / "vllm" / "files" / "vllm-cuda.in").read_text()
    (release,) = re.findall(r"^vllm==(\S+)$", pinned, re.M)
    assert f"vllm {release}" in EXPORTED


def test_there_is_a_dashboard_of_each_subject() -> None:
    assert [one.key for one in DASHBOARDS] == ["fleet", "model", "gateway", "gpu", "host", "changes"]


@each
def test_panels_are_complete(one: panels.Dashboard) -> None:
    titles = [panel.title for panel in one.panels]
    assert len(titles) == len(set(titles))
    for panel in one.panels:
        assert panel.unit in panels.UNITS, panel.title
        assert panel.kind in panels.KINDS, panel.title
        assert panel.help.endswith("."), panel.title
        assert panel.queries, panel.title
        assert panel.kind not in ("table", "number") or len(panel.queries) == 1, panel.title
        assert "\n" not in "".join(query.expr for query in panel.queries)


@each
def test_variables_are_those_that_are_declared(one: panels.Dashboard) -> None:
    used = {name for panel in one.panels for query in panel.queries for name in panels.VARIABLE.findall(query.expr)}
    assert used == {variable.name for variable in one.variables}
    # A name is a pattern, so each stands in a matcher of patterns.
    for query in (query for panel in one.panels for query in panel.queries):
        assert query.expr.count("$") == len(re.findall(r'=~"[$][a-z]+"', query.expr)), query.expr


@each
def test_grafana_has_every_panel_with_its_source_and_its_place(one: panels.Dashboard) -> None:
    shown = grafana.dashboard(one)
    assert shown["uid"] == f"llmfleet-{one.key}"
    assert shown["id"] is None
    drawn = [panel for panel in shown["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in drawn] == [panel.title for panel in one.panels]
    assert [panel["id"] for panel in shown["panels"]] == list(range(1, len(shown["panels"]) + 1))
    for panel in drawn:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for first, second in combinations((panel["gridPos"] for panel in shown["panels"]), 2):
        beside = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        above = first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
        assert beside or above, (first, second)
        assert second["x"] + second["w"] <= grafana.COLUMNS
    names = [variable["name"] for variable in shown["templating"]["list"]]
    assert names == ["datasource", *(variable.name for variable in one.variables)]


def test_identifiers_and_names_of_files_are_stable_and_a_source_can_be_chosen() -> None:
    files = grafana.grafana_dashboards("mine")
    assert list(files) == [f"llmfleet-{one.key}.json" for one in DASHBOARDS]
    first: dict[str, Any] = files["llmfleet-fleet.json"]["templating"]["list"][0]
    assert first["current"] == {"text": "mine", "value": "mine"}
    assert grafana.grafana_dashboards()["llmfleet-fleet.json"]["templating"]["list"][0]["current"] == {}
    assert set(grafana.UNITS) == set(panels.UNITS)
    assert set(grafana.TYPES) == set(grafana.OPTIONS) == set(panels.KINDS)


def test_the_playbook_writes_them(tmp_path: Path) -> None:
    result = run_playbook(ROOT / "playbooks" / "dashboards.yml", "-e", f"dashboards_folder={tmp_path / 'made'}")
    assert result.returncode == 0, result.stdout + result.stderr
    found = {path.name: json.loads(path.read_text()) for path in (tmp_path / "made").iterdir()}
    assert found == grafana.grafana_dashboards()


def test_runbooks_that_panels_name_exist() -> None:
    texts = " ".join(panel.help for one in DASHBOARDS for panel in one.panels)
    named = re.findall(r"(?:docs/runbooks|playbooks)/\w+[.]\w+", texts)
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
