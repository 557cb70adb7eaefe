# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of the dashboards, and what keeps its door from being opened."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards import panels
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.definition import DASHBOARDS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.page import dashboards_page
from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.problems import problems
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nginx.login import login

ROOT = Path(__file__).resolve().parents[5]
FILES = ROOT / "roles" / "nginx" / "files" / "dashboards"
# Of uPlot 1.6.32 on npm, whose own checksum scripts/vendor_uplot.sh compares.
UPLOT = {
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_what_is_in_the_page_and_nothing_else() -> None:
    made = dashboards_page(["let a = '{x}';", "let b;"], ["p { color: red; }"])
    (script,) = re.findall(r"<script>(.*?)</script>", made["html"], re.S)
    (style,) = re.findall(r"<style>(.*?)</style>", made["html"], re.S)
    assert script == "let a = '{x}';\nlet b;"
    policy = dict(part.split(" ", 1) for part in made["policy"].split("; "))
    assert policy["script-src"] == digest(script)
    assert policy["style-src"] == digest(style)
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"


def test_the_page_has_the_whole_definition_as_data() -> None:
    made = dashboards_page([], [])["html"]
    (text,) = re.findall(r'<script type="application/json" id="definition">(.*?)</script>', made, re.S)
    assert "<" not in text
    found = json.loads(text)
    assert [one["title"] for one in found] == [one.title for one in DASHBOARDS]
    first = found[1]["rows"][0]["panels"][0]
    assert set(first) == {"title", "unit", "queries", "help", "kind"}
    assert first["queries"][0]["legend"] == "{{model}} p50"


def test_the_script_knows_every_unit_and_kind() -> None:
    text = (FILES / "page.js").read_text()
    plain = {"count"}
    assert not [
        unit for unit in panels.UNITS if unit not in plain and f'"{unit}"' not in text and f"{unit}:" not in text
    ]
    assert not [kind for kind in panels.KINDS if kind != "lines" and f'"{kind}"' not in text]


def test_the_library_is_what_its_authors_published() -> None:
    assert {name: hashlib.sha256((FILES / name).read_bytes()).hexdigest() for name in UPLOT} == UPLOT
    version = re.search(r"^version=(\S+)$", (ROOT / "scripts" / "vendor_uplot.sh").read_text(), re.M)
    assert version
    assert f"(v{version[1]})" in (FILES / "uPlot.iife.min.js").read_text()[:200]
    assert f"| {version[1]}, in `roles/nginx/files/dashboards` |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("on", "monitoring", "fleet", "firewall", "found"),
    [
        (False, [], ["a", "b"], False, ""),
        (True, ["a"], ["a"], False, ""),
        (True, ["a"], ["a", "b"], True, ""),
        (True, [], ["a"], True, "there is no Prometheus"),
        (True, ["a"], ["a", "b"], False, "llm_firewall is off"),
    ],
)
def test_the_door_needs_a_prometheus_that_not_everybody_reaches(
    on: bool, monitoring: list[str], fleet: list[str], firewall: bool, found: str
) -> None:
    told = [problem.sentence() for problem in problems(on, monitoring, fleet, firewall, "gw")]
    assert len(told) == bool(found)
    for sentence in told:
        assert found in sentence
        assert sentence.startswith("gw: llm_dashboards is ")


def test_the_line_of_the_log_in_is_the_same_each_time_and_does_not_tell_the_password() -> None:
    line = login("operator", "secret")
    assert line == login("operator", "secret")
    assert line != login("operator", "other")
    name, _colon, scheme = line.partition(":")
    raw = base64.b64decode(scheme.removeprefix("{SSHA}"))
    assert name == "operator"
    assert raw[:20] == hashlib.sha1(b"secret" + raw[20:]).digest()
    assert len(raw) == 28
