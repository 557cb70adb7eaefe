# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interpret the output of nftables: pure functions over texts."""

from __future__ import annotations

import re
from collections.abc import Iterable

# The table of outgoing traffic, with a chain for each filtered user, and that of incoming traffic, with one chain.
EGRESS = "llmfleet_egress"
INGRESS = "llmfleet_ingress"
TABLES = (EGRESS, INGRESS)


def loaded(listing: str) -> str:
    """Return the digest in a listed chain's first comment; empty for a chain that does not exist or is not ours."""
    found = re.search(r'comment "([0-9a-f]+)"', listing)
    return found[1] if found else ""


def chains(listing: str) -> list[str]:
    """Return the names of the chains in a listed table."""
    return re.findall(r"^\s*chain (\S+) {", listing, re.MULTILINE)


def stale(names: Iterable[str], beginning: str, wanted: Iterable[str]) -> list[str]:
    """Return the accounts that belong to services of one kind and run none.

    :param names: accounts that have rules.
    :param beginning: the account of a service of that kind begins with it, such as ``llm-vllm-``. Without its dash it
        is the account that all of them had in an earlier version.
    :param wanted: accounts that run services.
    """
    return sorted(name for name in set(names) - set(wanted) if f"{name}-" == beginning or name.startswith(beginning))


def refusal(output: str) -> str:
    """Return why nftables refused a command: its last message without the echo of the rules."""
    lines = [line.strip() for line in output.splitlines() if "rror" in line or "ermitted" in line or "not " in line]
    return re.sub(r"^\S*?:\d+:[\d:-]+ ", "", lines[-1]) if lines else output.strip() or "it says nothing"
