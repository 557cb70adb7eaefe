# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's findings and reports, and when a host must be examined again.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Iterable, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import line, listing

OK, WARNING, ERROR = "ok", "warning", "error"
SCHEMA = 1
# Bytes per second that are assumed for a disk that could not be measured. A network file system on one gigabit link
# reaches half of it.
ASSUMED_RATE = 200 * 10**6
# Engines read weights in another order than a single reader, and copy them to the GPUs meanwhile.
LOADING_FACTOR = 2


class Finding(NamedTuple):
    """The result of one check of one subject."""

    check: str
    """Name of the check, for example ``cuda``."""
    severity: str
    """``ok``, ``warning`` (goes on) or ``error`` (an engine would not start, or would not work right)."""
    subject: str
    """The checked object: an instance, a GPU, a port."""
    found: str
    """The observed value."""
    cause: str = ""
    """Why it is so, as far as that is known; empty where all is well."""
    remedy: str = ""
    """The remedy; empty if there is no problem."""

    def sentence(self, host: str) -> str:
        """Format the finding in one line: host, check, subject, value, cause, remedy."""
        return line(host, f"{self.check} of {self.subject}", self.found, self.cause, self.remedy)


def fine(check: str, subject: str, found: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, OK, subject, found)


def digest(value: Any) -> str:
    """Return a short digest of any plain value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def fingerprint(
    gpu_facts: Mapping[str, Any] | None, kernel: str, engines: Iterable[Mapping[str, Any]], program: str
) -> dict[str, str]:
    """Return the values that a host's findings depend on, by name; a difference is the reason for a new examination.

    :param gpu_facts: what the module of that name says; None on a host without GPUs.
    :param kernel: release of the running kernel.
    :param engines: command lines of the engines' Pythons (with image digest or path), their GPUs and environment.
    :param program: text of the program that is run in them.
    """
    facts = gpu_facts or {}
    gpus = facts.get("gpus") or []
    devices = [one.get("uuid") for gpu in gpus for one in [gpu, *(gpu.get("mig_devices") or [])]]
    wanted = [
        [list(one["python"]), sorted(one.get("gpus") or []), one.get("ranks") or 0, one.get("environment") or {}]
        for one in engines
    ]
    return {
        "checks": digest([SCHEMA, program]),
        "driver": f"{facts.get('driver_version')} (module {facts.get('kernel_module_version')})",
        "engines": digest(sorted(wanted, key=str)),
        "GPUs": ", ".join(str(uuid) for uuid in devices) or "none",
        "kernel": kernel,
        "state of the driver": str(facts.get("error") or "works"),
    }


def reasons(record: Any, parts: Mapping[str, str]) -> list[str]:
    """Return why a host must be examined; empty while the record of the last examination is valid.

    :param record: what was recorded, None where nothing was; may be anything, as people edit files.
    """
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or not isinstance(record.get("report"), dict):
        return ["this host was not examined before"]
    earlier = record.get("parts")
    earlier = earlier if isinstance(earlier, dict) else {}
    found = [f"{name}: {earlier.get(name)} -> {now}" for name, now in parts.items() if earlier.get(name) != now]
    if not found and (record["report"].get("errors") or not isinstance(record["report"].get("findings"), list)):
        found.append("the last examination found errors, or its record is damaged")
    return found


def record(parts: Mapping[str, str], report: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return the record that is kept on the host."""
    return {"schema": SCHEMA, "parts": dict(parts), "report": dict(report), "sizes": dict(sizes)}


def sizes(record: Mapping[str, Any]) -> dict[str, int]:
    """Return the bytes of weight files that were recorded, by instance."""
    found = record.get("sizes")
    return {str(name): size for name, size in found.items() if isinstance(size, int)} if isinstance(found, dict) else {}


def report(
    host: str, at: str, why: Iterable[str], findings: Iterable[Finding], read_rate: float | None
) -> dict[str, Any]:
    """Return the report of one host.

    :param at: when, for people.
    :param why: why it was examined.
    :param read_rate: bytes of weights read in a second, None where nothing could be read.
    """
    order = {ERROR: 0, WARNING: 1, OK: 2}
    listed = sorted(findings, key=lambda finding: order[finding.severity])
    return {
        "host": host,
        "at": at,
        "why": list(why),
        "errors": sum(finding.severity == ERROR for finding in listed),
        "warnings": sum(finding.severity == WARNING for finding in listed),
        "read_rate": None if read_rate is None else int(read_rate),
        "findings": [finding._asdict() for finding in listed],
    }


def errors(host: str, report: Mapping[str, Any]) -> list[str]:
    """Return the errors of a report as sentences, each with the host."""
    return [Finding(**one).sentence(host) for one in report["findings"] if one["severity"] == ERROR]


def failure(report: Mapping[str, Any]) -> str:
    """Format the errors of a report as one text: a single line for one, a list for more; empty for none."""
    return listing(errors(str(report["host"]), report), "errors")


def weight_bytes(instance: Mapping[str, Any], measured: int = 0) -> int:
    """Return the bytes of weights that an instance reads: as planned, else those of its files."""
    planned = int((instance.get("memory") or {}).get("weights") or 0) * len(instance.get("gpus") or [])
    return planned or measured


def start_deadlines(
    instances: Iterable[Mapping[str, Any]], sizes: Mapping[str, int], rate: float | None, base: int
) -> dict[str, int]:
    """Return the start timeout of each instance in seconds: the time for reading its weights, and ``base``.

    They are full minutes, so that a disk which is a little faster today changes nothing.

    :param sizes: bytes of weight files by the instance's name, for those whose plan does not tell.
    :param rate: bytes in a second, None where it could not be measured.
    """
    each = rate or ASSUMED_RATE
    seconds = {
        str(one["name"]): base + LOADING_FACTOR * weight_bytes(one, sizes.get(str(one["name"]), 0)) / each
        for one in instances
    }
    return {name: math.ceil(longest / 60) * 60 for name, longest in seconds.items()}
