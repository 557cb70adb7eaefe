# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge clock, disk and ports of a host.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import ERROR, WARNING, Finding, fine
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

CLOCK, DISK, PORT = "clock", "disk", "port"
# Seconds between the clocks of control node and host, including the time that Ansible's connection may take.
OFFSET_WARNING, OFFSET_ERROR = 30, 300
# Seconds for reading weights above which the doctor warns.
SLOW = 600


def clock(synchronized: bool | None, offset: float | None) -> Finding:
    """Judge the clock.

    :param synchronized: whether the kernel's clock is kept by somebody; None where nobody tells.
    :param offset: seconds that the host is ahead of the control node; None where that is not known.
    """
    words = {
        True: "kept by a time server",
        False: "not kept by a time server",
        None: "nobody tells whether it is kept",
    }[synchronized]
    apart = (
        "" if offset is None else f", {abs(offset):.0f} s {'ahead of' if offset >= 0 else 'behind'} the control node"
    )
    remedy = "install and start chrony (or systemd-timesyncd); in a container, on its host"
    if offset is not None and abs(offset) > OFFSET_ERROR:
        cause = "keys, certificates and metrics of the fleet do not fit together any more"
        return Finding(CLOCK, ERROR, "this host", words + apart, cause, remedy)
    if synchronized is False or (offset is not None and abs(offset) > OFFSET_WARNING):
        return Finding(CLOCK, WARNING, "this host", words + apart, "it will drift", remedy)
    return fine(CLOCK, "this host", words + apart)


def model_folder(instance: Mapping[str, Any], root: str) -> str:
    """Return the directory that has an instance's weights.

    :param root: where models live on the host.
    """
    source = sources.parse(str(instance["source"]))
    if source.directory:
        return str(instance.get("path") or source.directory)
    return f"{root}/hub/{source.cache_folder}" if source.repository else f"{root}/demo"


def disk(
    read: int,
    seconds: float,
    failure: str,
    instances: Iterable[Mapping[str, Any]],
    deadlines: Mapping[str, int],
    base: int,
) -> Finding:
    """Judge how fast weights are read.

    :param read: bytes that were read in ``seconds``; 0 where there was nothing to read.
    :param failure: why reading did not end; empty where it did.
    """
    names = [str(one["name"]) for one in instances]
    subject = "weights"
    if failure:
        cause = "the disk or network file system does not answer"
        return Finding(
            DISK, ERROR, subject, failure, cause, "read dmesg, and look at the file system of llm_models_root"
        )
    if not read or seconds <= 0:
        return fine(DISK, subject, "no weights are there yet, nothing was measured")
    longest = max((deadlines.get(name, base) - base for name in names), default=0)
    found = f"{read / seconds / 10**6:.0f} MB/s; an instance may take {longest + base} s to start"
    if longest > SLOW:
        cause = f"weights are large for this disk: reading them may take {longest // 60} minutes"
        remedy = "put llm_models_root on local NVMe"
        return Finding(DISK, WARNING, subject, found, cause, remedy)
    return fine(DISK, subject, found)


def ports(problems: Iterable[Problem], instances: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Convert the results of host_check for listeners into findings, one for each instance."""
    found = []
    bad = {problem.variable: problem for problem in problems}
    for one in instances:
        problem = bad.get(str(one["name"]))
        subject = f"{one['name']} :{one['port']}"
        if problem:
            found.append(Finding(PORT, ERROR, subject, f"{problem.value} is not free", problem.problem, problem.remedy))
        else:
            found.append(fine(PORT, subject, "free, or its own"))
    return found
