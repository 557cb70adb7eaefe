# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables whose name is one typing error away from a variable of the collection.

Ansible ignores a variable that nobody reads, so a limit with a misspelt name would silently not apply. Only one wrong,
missing, extra or swapped character counts, because users have variables of their own; a name that continues another
one, such as ``llm_models_eu``, is such a variable.
"""

from __future__ import annotations

from typing import Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory.renamed import RENAMED


def one_error(one: str, other: str) -> bool:
    """Return whether one typing error turns a name into another one."""
    shorter, longer = sorted((one, other), key=len)
    if shorter == longer or longer.startswith(shorter) or len(longer) - len(shorter) > 1:
        return False
    begin = next(index for index, (a, b) in enumerate(zip(shorter, longer)) if a != b)
    rest, left = shorter[begin:], longer[begin:]
    swapped = rest[:2] == left[1::-1] and rest[2:] == left[2:]
    return rest == left[1:] or (len(rest) == len(left) and (rest[1:] == left[1:] or swapped))


def problems(names: Iterable[str], known: Iterable[str], host: str) -> list[Problem]:
    """Return a problem for each misspelt variable of a host.

    :param names: variables that the inventory or the command line sets for the host.
    :param known: the variables of the collection.
    """
    variables = sorted(known)
    found = []
    for name in sorted(set(names) - set(variables) - set(RENAMED)):
        meant = next((one for one in variables if one_error(name, one)), None)
        if meant:
            found.append(Problem(name, "set", "the collection has no such variable", f"did you mean {meant}", host))
    return found
