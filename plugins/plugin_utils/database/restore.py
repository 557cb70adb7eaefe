# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a backup can take the place of a database without loss.

What was booked after the backup is booked again from the logs of the gateways, as far as their files reach back. The
table ``usage.positions`` counts the lines that were ever booked of each gateway, so three numbers tell what would be
lost: those of the database, those of the backup, and the lines that the log has behind the backup's place.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

REMEDY = "take a newer backup, or add -e restore_loses={name} to lose them"


def problems(seen: Mapping[str, Any], behind: Mapping[str, int], loses: list[str], usage: str) -> list[Problem]:
    """Return what would be lost that nobody named.

    :param seen: what postgresql_restore.py saw: ``database``, ``taken``, ``places`` of the backup by gateway, with
        ``lines``; ``present``, the lines that are booked now by gateway; ``tables``, how many there are now.
    :param behind: lines of the log of each gateway behind the backup's place; a gateway that is away is not there.
    :param loses: gateways, or databases other than that of usage, whose loss is accepted.
    :param usage: name of the database in which usage is booked.
    """
    name, taken = str(seen["database"]), str(seen["taken"])
    if name != usage:
        if not seen["tables"] or name in loses:
            return []
        text = (
            f"the database {name} has {seen['tables']} tables, and what was written to it after {taken} would be lost"
        )
        return [Problem("backup", name, text, f"add -e restore_loses={name} to lose that")]
    found = []
    for gateway, lines in sorted(seen["present"].items()):
        again = seen["places"].get(gateway, {}).get("lines", 0) + behind.get(gateway, 0)
        if lines <= again or gateway in loses:
            continue
        where = "its log" if gateway in behind else "a log that can be read, because the gateway does not answer"
        text = (
            f"{lines - again} requests of {gateway} are booked that are neither in the backup of {taken} nor in {where}"
        )
        found.append(Problem("backup", name, text, REMEDY.format(name=gateway), gateway))
    return found
