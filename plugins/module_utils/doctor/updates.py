# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge how old what services run is: distribution packages, replaced files, and releases that the collection pins.

Pure functions over texts and values; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import WARNING, Finding, fine

UPDATES, LIBRARIES, PINS = "updates", "libraries", "pins"
# "Inst libssl3 [3.0.19] (3.0.22 Debian-Security:12/oldstable-security [amd64])"
UPGRADE = re.compile(r"^Inst (\S+) \[([^\]]+)\] \((\S+) ([^)]*)\)", re.MULTILINE)
SECURITY = re.compile(r"-security\b", re.IGNORECASE)
# Directories whose files only a package or the collection replaces; programs keep deleted files of their own elsewhere.
INSTALLED = ("/usr/", "/lib", "/bin/", "/sbin/", "/opt/")
DELETED = " (deleted)"
DAY = 86400
# Days after which apt's lists no longer say what waits.
OLD_LISTS = 7
# A finding names so many packages or files.
MOST = 8
HOW = "see 'Security updates' in docs/operations.md"


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:MOST]) + (f" and {len(listed) - MOST} more" if len(listed) > MOST else "")


def mapped(maps: str) -> tuple[set[str], set[str]]:
    """Return the files whose code a process runs, and those of them that were deleted or replaced since.

    :param maps: its ``/proc/PID/maps``.
    """
    files = set()
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and "x" in fields[1] and fields[5].startswith(INSTALLED):
            files.add(fields[5])
    deleted = {path[: -len(DELETED)] for path in files if path.endswith(DELETED)}
    return {path for path in files if not path.endswith(DELETED)} | deleted, deleted


def spellings(path: str) -> list[str]:
    """Return the names under which dpkg may know a file: in merged systems /lib is a link to /usr/lib."""
    if path.startswith("/opt/"):
        return []
    other = path[4:] if re.match(r"/usr/(lib|bin|sbin)", path) else f"/usr{path}"
    return [path, other]


def owners(said: str, asked: Iterable[str]) -> set[str]:
    """Return the packages of files, out of what ``dpkg-query --search`` prints."""
    known = set(asked)
    found: set[str] = set()
    for line in said.splitlines():
        names, _colon, path = line.rpartition(": ")
        if path in known:
            found.update(name.strip().partition(":")[0] for name in names.split(","))
    return found


def waiting(said: str) -> dict[str, str]:
    """Return the security updates that apt would install, package to versions, out of a simulated upgrade."""
    return {name: f"{old} -> {new}" for name, old, new, origins in UPGRADE.findall(said) if SECURITY.search(origins)}


def updates(waits: Mapping[str, str], used: Iterable[str], age: float) -> Finding:
    """Judge the security updates of packages that services run.

    :param waits: see :func:`waiting`.
    :param used: packages whose files services run.
    :param age: seconds since apt's lists were read.
    """
    subject = "packages of services"
    needed = {name: waits[name] for name in used if name in waits}
    if needed:
        found = "security updates wait for " + _some(f"{name} ({versions})" for name, versions in needed.items())
        cause = "services run versions with known flaws"
        remedy = f"apt-get install --only-upgrade {' '.join(sorted(needed))}, then restart the services; {HOW}"
        return Finding(UPDATES, WARNING, subject, found, cause, remedy)
    days = int(age // DAY)
    if days > OLD_LISTS:
        cause = "nobody reads the distribution's lists, so updates that wait are not known"
        remedy = f"apt-get update, or have unattended-upgrades do it; {HOW}"
        return Finding(UPDATES, WARNING, subject, f"apt's lists are {days} days old", cause, remedy)
    return fine(UPDATES, subject, "no security update waits")


def libraries(replaced: Mapping[str, Iterable[str]]) -> list[Finding]:
    """Judge the services that run files which were replaced after their start.

    :param replaced: such files by service.
    """
    findings = []
    for service, files in sorted(replaced.items()):
        found = f"it runs {_some(files)} as it was before an update"
        cause = "an update takes effect only in processes that start after it"
        findings.append(Finding(LIBRARIES, WARNING, service, found, cause, f"restart {service}; {HOW}"))
    return findings or [fine(LIBRARIES, "services", "every service runs the installed files")]


def pins(pinned: Iterable[Mapping[str, str]], most_days: int, today: date) -> list[Finding]:
    """Judge the age of the releases that run here.

    :param pinned: title, version and released (an ISO 8601 date) of each.
    :param most_days: age in days from which a release is too old; 0 judges none.
    """
    findings = []
    for pin in pinned if most_days else ():
        subject = f"{pin['title']} {pin['version']}"
        days = (today - date.fromisoformat(pin["released"])).days
        found = f"released on {pin['released']}, {max(days, 0)} days ago"
        if days <= most_days:
            findings.append(fine(PINS, subject, found))
            continue
        cause = f"that is more than doctor_pins_max_age_days ({most_days}), and newer releases have security fixes"
        remedy = (
            "install a newer release of the collection; if you set a lock or an image of your own, update it and "
            f"name its release in llm_releases; {HOW}"
        )
        findings.append(Finding(PINS, WARNING, subject, found, cause, remedy))
    return findings
