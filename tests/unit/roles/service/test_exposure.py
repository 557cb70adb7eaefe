# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/security.md says how exposed each unit is: what systemd-analyze says of the unit that its spec becomes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.specs import SANDBOX
from ansible_collections.llmfleet.serving.tests.unit.roles.service.test_unit import render

ROOT = Path(__file__).resolve().parents[4]
ROWS = re.compile(r"^\| `(llm-[^`]+)`([^|]*) \| (\d\.\d) \|", re.M)
FILTERED = {"egress": ["10.0.0.1"]}
# Releases of systemd weigh a few of the settings differently.
TOLERANCE = 0.11


def sandbox(role: str) -> dict[str, Any]:
    """The exceptions in the spec that the tasks of a role write."""
    (task,) = (
        task
        for task in yaml.safe_load((ROOT / "roles" / role / "tasks" / "main.yml").read_text())
        if "service_specs" in task.get("vars", {})
    )
    spec = task["vars"]["service_specs"][0]
    return dict(spec["sandbox"])


HOST_METRICS = yaml.safe_load((ROOT / "roles" / "node_exporter" / "vars" / "main.yml").read_text())[
    "__node_exporter_host_metrics"
]

# What of a spec decides about the exposure, by row of the page.
SPECS: dict[str, dict[str, Any]] = {
    "llm-vllm-*": {"sandbox": dict(SANDBOX), **FILTERED},
    "llm-vllm-* with GPUs": {"sandbox": dict(SANDBOX), "gpus": ["GPU-1"], **FILTERED},
    "llm-litellm": FILTERED,
    "llm-gate": FILTERED,
    "llm-nginx": {},
    "llm-nginx with a port below 1024": {"capabilities": ["CAP_NET_BIND_SERVICE"]},
    "llm-nginx-south": {},
    "llm-nginx-exporter": {},
    "llm-open-webui": FILTERED,
    "llm-prometheus": {},
    # Its role has a unit of its own.
    "llm-watchdog": {},
    "llm-alertmanager": {},
    "llm-node-exporter": {"sandbox": sandbox("node_exporter")},
    "llm-host-metrics": {name: HOST_METRICS[name] for name in ("sandbox", "capabilities")},
}


@pytest.fixture(scope="module")
def documented() -> dict[str, float]:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("## Sandboxes")[2]
    return {unit + note: float(exposure) for unit, note, exposure in ROWS.findall(page)}


def test_every_unit_has_a_row(documented: dict[str, float]) -> None:
    assert list(documented) == list(SPECS)


@pytest.mark.parametrize("row", SPECS)
def test_the_exposure_is_the_documented_one(documented: dict[str, float], row: str, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    units = tmp_path / "etc" / "systemd" / "system"
    drop_ins = units / "llm-web.service.d"
    drop_ins.mkdir(parents=True)
    unit = render("unit.service.j2", **SPECS[row])
    if row == "llm-watchdog":
        source = (ROOT / "roles" / "watchdog" / "templates" / "watchdog.service.j2").read_text().partition("\n")[2]
        unit = jinja2.Template(source).render(__watchdog_command=["/bin/web"], service_state_root="/var/lib/llmfleet")
    (units / "llm-web.service").write_text(unit)
    if "egress" in SPECS[row]:
        (drop_ins / "egress.conf").write_text(render("egress.conf.j2", **SPECS[row]))
    command = [program, "security", "--no-pager", "--offline=true", f"--root={tmp_path}", "llm-web.service"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd before 250 examines no unit that is not installed")
    said = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert said, done.stdout + done.stderr
    assert abs(float(said[1]) - documented[row]) < TOLERANCE
