# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Format the doctor's findings: a table, and advice below it.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import (
    ERROR,
    OK,
    WARNING,
    Finding,
    errors,
    report,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.tables import table

HEADING = ["HOST", "", "CHECK", "SUBJECT", "FOUND"]
SIGNS = {OK: "ok", WARNING: "WARN", ERROR: "ERROR"}
# Width of the table's last column; longer values are repeated in full below it.
WIDTH = 100


def unreached(host: str) -> dict[str, Any]:
    """Return the report of a host that did not answer."""
    remedy = "check that Ansible reaches it (ansible HOST -m ping), and look at its console"
    finding = Finding("connection", ERROR, host, "no answer", "it is down, or the examination did not finish", remedy)
    return report(host, "", [], [finding], None)


def complete(reports: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return reports by host, with one for each host that gave none."""
    return {
        host: dict(one) if isinstance(one, dict) and one.get("findings") else unreached(host)
        for host, one in reports.items()
    }


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def render(reports: Mapping[str, Any]) -> str:
    """Return everything in one text."""
    whole = complete(reports)
    rows = [HEADING]
    for host, one in whole.items():
        rows += [[host, SIGNS[f["severity"]], f["check"], f["subject"], _cut(f["found"])] for f in one["findings"]]
    parts = [table(rows)]
    for host, one in whole.items():
        parts += list(_advice(host, one["findings"]))
    bad, doubtful = (sum(one[key] for one in whole.values()) for key in ("errors", "warnings"))
    parts.append(f"{_count(len(whole), 'host')}: {_count(bad, 'error')}, {_count(doubtful, 'warning')}.")
    return "\n\n".join(parts)


def _advice(host: str, findings: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    # Eight GPUs with the same problem share one piece of advice.
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for one in findings:
        if one["severity"] != OK:
            groups.setdefault((one["severity"], one["check"], one["cause"], one["remedy"]), []).append(one)
    for (severity, check, cause, remedy), members in groups.items():
        lines = [f"{host}: {SIGNS[severity]} {check}"]
        lines += [f"    {one['subject']}: {one['found']}" for one in members]
        lines += [f"    why:  {cause}", f"    do:   {remedy}"]
        yield "\n".join(lines)


def failures(reports: Mapping[str, Any]) -> list[str]:
    """Return every error of every host, each as a sentence that begins with the host."""
    return [sentence for host, whole in complete(reports).items() for sentence in errors(host, whole)]
