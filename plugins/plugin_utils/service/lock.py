# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of a Python environment: every package in it has a hash.

Pure functions over texts; no Ansible, no files, no network.
"""

from __future__ import annotations

import re

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

HASH = re.compile(r"\s--hash[=\s](?:sha256|sha384|sha512):[0-9a-f]{64,128}(?=\s|$)")
# The lock alone is copied to a host, so what it refers to would be missing there.
REFERENCE = re.compile(r"-(?:[rce]\b|-(?:requirement|constraint|editable)\b)")
# A message names so many packages.
MOST_NAMES = 5
REMEDY = "write it with 'uv pip compile --generate-hashes', or with 'make lock' from a .in file"


def requirements(text: str) -> list[str]:
    """Return the requirements of a lock, one text for each, without comments and without options of the whole file."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line and (not line.startswith("-") or REFERENCE.match(line))]


def without_hash(text: str) -> list[str]:
    """Return the names of the requirements that have no hash."""
    return [re.split(r"[\s;@=<>~!\[]", line)[0] for line in requirements(text) if not HASH.search(line)]


def problem(variable: str, path: str, text: str | None, host: str = "") -> Problem | None:
    """Return the problem of a lock that does not say exactly what is installed.

    :param variable: the variable that names the file.
    :param path: the file on the control node.
    :param text: its content; None for a file that cannot be read.
    """
    if text is None:
        return Problem(variable, path, "this file cannot be read on the control node", "name a file that can", host)
    wanted, bare = requirements(text), without_hash(text)
    if not bare:
        return None
    names = ", ".join(bare[:MOST_NAMES]) + (", ..." if len(bare) > MOST_NAMES else "")
    said = f"{len(bare)} of {len(wanted)} lines of this lock have no hash ({names}), so anything could be installed"
    return Problem(variable, path, said, REMEDY, host)
