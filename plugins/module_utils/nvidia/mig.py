# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the requested MIG layout with the current one for each card, and return the calls of nvidia-smi that change
it.

Pure functions over dictionaries; no Ansible, no files, no network. GPUs are those of the module gpu_facts.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from typing import Any, Mapping, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# 1g.10gb, 1g.10gb+me, 1g.12gb+gfx; as compute instance of a part of its GPU instance: 1c.3g.40gb.
# Output of nvidia-smi if there is nothing to destroy, with a status that is not 0.
NOTHING_THERE = re.compile(r"No (?:GPU|compute) instances found", re.I)
PROFILE = re.compile(r"(?:([1-9]\d?)c\.)?(([1-9]\d?)g\.\d{1,4}gb)((?:[+-][a-z.]+)*)")


class Change(NamedTuple):
    """The change of one card."""

    uuid: str
    name: str
    """How messages call the card."""
    before: list[str]
    after: list[str]
    commands: list[list[str]]
    """Words for nvidia-smi, in order."""
    enable: bool
    """Whether the first command switches MIG on, which some cards do at a reset alone."""


class Layout(NamedTuple):
    """The changes of all cards, and their problems."""

    changes: list[Change]
    problems: list[Problem]


def bare(profile: str | None) -> str:
    """Return a profile without its extensions, which nvidia-smi lists or leaves away depending on its version."""
    found = PROFILE.fullmatch(profile or "")
    return (f"{found[1]}c." if found[1] else "") + found[2] if found else str(profile)


def _slices(profile: str) -> int:
    found = PROFILE.fullmatch(profile)
    return int(found[3]) if found else 0


def matches(card: Any, gpu: Mapping[str, Any]) -> bool:
    """Check whether an entry's ``card`` matches that GPU: by index, UUID, PCI address or pattern of its name."""
    text = str(card).strip()
    if text.isdecimal():
        return bool(int(text) == gpu["index"])
    if text.lower() in ((gpu["uuid"] or "").lower(), gpu["pci_bus_id"]):
        return True
    return fnmatch.fnmatchcase((gpu["product_name"] or "").lower(), text.lower())


def _pair(
    wanted: Sequence[Mapping[str, Any]], gpus: Sequence[Mapping[str, Any]], host: str
) -> tuple[dict[str, tuple[int, Mapping[str, Any], Mapping[str, Any]]], list[Problem]]:
    """Return the entry of each matching GPU."""
    pairs: dict[str, tuple[int, Mapping[str, Any], Mapping[str, Any]]] = {}
    problems = []
    for place, entry in enumerate(wanted):
        where = f"nvidia_driver_mig[{place}]"
        found = [gpu for gpu in gpus if matches(entry["card"], gpu)]
        wrong = [profile for profile in entry["profiles"] if not PROFILE.fullmatch(profile) or "c." in profile]
        if wrong:
            remedy = "give names that 'nvidia-smi mig -lgip' lists, without MIG in front"
            problems.append(Problem(f"{where}.profiles", wrong, "it is not a profile of a GPU instance", remedy, host))
        if not found:
            there = ", ".join(f"{gpu['index']} {gpu['product_name']}" for gpu in gpus) or "none"
            remedy = f"name one by index, UUID, PCI address or pattern of its name (there are: {there})"
            problems.append(Problem(f"{where}.card", entry["card"], "it matches no GPU of this host", remedy, host))
        for gpu in found:
            if gpu["uuid"] in pairs:
                first = pairs[gpu["uuid"]][0]
                problem = f"GPU {gpu['index']} is meant by nvidia_driver_mig[{first}] already"
                problems.append(
                    Problem(f"{where}.card", entry["card"], problem, "let each entry mean other GPUs", host)
                )
                continue
            pairs[gpu["uuid"]] = (place, gpu, entry)
    return pairs, problems


def _instances(gpu: Mapping[str, Any]) -> list[str]:
    """Return the profiles of a GPU's instances; one that is cut further shows each of its parts."""
    return sorted(bare(device["profile"]) for device in gpu["mig_devices"])


def _commands(gpu: Mapping[str, Any], profiles: Sequence[str]) -> list[list[str]]:
    card = ["-i", gpu["uuid"]]
    enabled = gpu["mig_mode_current"] == "Enabled"
    commands: list[list[str]] = []
    if profiles and not enabled:
        commands.append([*card, "-mig", "1"])
    # Also where no device shows: a GPU instance without a compute instance is on no list, and takes its place.
    commands += [["mig", *card, "-dci"], ["mig", *card, "-dgi"]]
    if profiles:
        # Large ones first: they fit in fewer places.
        ordered = sorted(profiles, key=_slices, reverse=True)
        commands.append(["mig", *card, "-cgi", ",".join(ordered), "-C"])
    elif enabled:
        commands.append([*card, "-mig", "0"])
    return commands


def plan(wanted: Sequence[Mapping[str, Any]], gpus: Sequence[Mapping[str, Any]], host: str) -> Layout:
    """Return the change of each GPU; GPUs that match no entry are left as they are.

    ``wanted`` has ``card`` and ``profiles`` (none: MIG off). A card that is in use is not touched but told of.
    """
    pairs, problems = _pair(wanted, gpus, host)
    changes: list[Change] = []
    for place, gpu, entry in pairs.values():
        profiles = list(entry["profiles"])
        name = f"GPU {gpu['index']} ({gpu['product_name']}, {gpu['uuid']})"
        variable = f"nvidia_driver_mig[{place}]"
        if gpu["mig_mode_current"] is None and profiles:
            problems.append(Problem(variable, profiles, f"{name} has no MIG", "leave it out of the layout", host))
            continue
        before, after = _instances(gpu), sorted(map(bare, profiles))
        on = gpu["mig_mode_current"] == "Enabled"
        if Counter(before) == Counter(after) and on == bool(profiles):
            continue
        if gpu["processes"]:
            users = ", ".join(f"{one['pid']} {one['name'] or 'of somebody else'}" for one in gpu["processes"][:5])
            problem = f"{name} is in use by {users}, and changing its layout would kill them"
            problems.append(Problem(variable, profiles, problem, "stop them first, then run again", host))
            continue
        changes.append(Change(gpu["uuid"], name, before, after, _commands(gpu, profiles), bool(profiles) and not on))
    return Layout(changes, problems)
