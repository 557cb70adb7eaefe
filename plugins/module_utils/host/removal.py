# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Distribution packages and accounts that the collection installed and can remove.

Which packages can go without anybody else's going with them is decided by what apt-get would do. Pure functions;
simulating goes through a function that the caller gives.
"""

from __future__ import annotations

import re
from typing import Callable, Iterable, Mapping, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX

# Actions in the output of `apt-get --simulate`: remove, purge, install (in place of what something else needs).
ACTION = re.compile(r"^(?:Remv|Purg|Inst) (\S+)", re.MULTILINE)
# Stands for the packages that it does not name where it refuses, such as those the system cannot do without.
REFUSED = "what apt-get refuses to remove"


class Removal(NamedTuple):
    """Packages that can be removed, and packages that must stay, each with those that would be removed with it."""

    removable: list[str]
    kept: dict[str, list[str]]


def recorded(text: str) -> list[str]:
    """Return the packages in the text of a record, each once."""
    return list(dict.fromkeys(text.split()))


def record(known: Iterable[str], names: Iterable[str], present: bool) -> list[str]:
    """Return the packages of a record after names were added at its end, or taken out of it."""
    given = dict.fromkeys(name.strip() for name in names if name.strip())
    if present:
        return list(dict.fromkeys([*known, *given]))
    return [name for name in known if name not in given]


def touched(simulation: str, code: int = 0) -> set[str]:
    """Return the packages that a simulated removal would remove or install; ``code`` is the exit status of apt-get."""
    return set(ACTION.findall(simulation)) | ({REFUSED} if code else set())


def decide(ours: Iterable[str], simulate: Callable[[list[str]], set[str]]) -> Removal:
    """Return which of our packages can be removed, in their order, without affecting any other package.

    :param ours: packages that the collection installed.
    :param simulate: simulates the removal of packages and returns what is :func:`touched`.
    """
    names = list(dict.fromkeys(ours))
    if not names or simulate(names) <= set(names):
        return Removal(names, {})
    kept = {name: sorted(simulate([name]) - set(names)) for name in names}
    kept = {name: others for name, others in kept.items() if others}
    rest = [name for name in names if name not in kept]
    # Another package needs any one of several of these packages, so none of them can be removed alone.
    others = simulate(rest) - set(rest) if rest else set()
    if others:
        kept.update({name: sorted(others) for name in rest})
        rest = []
    return Removal(rest, {name: kept[name] for name in names if name in kept})


# Shell of the accounts that the collection creates; nobody can log in with it.
SHELL = "/usr/sbin/nologin"


def accounts(passwd: Mapping[str, Sequence[str]], recorded: Iterable[str], home: str) -> list[str]:
    """Return the accounts of a host that only the collection created.

    :param passwd: accounts as ``getent`` returns them: name to password, uid, gid, comment, home and shell.
    :param recorded: names that were recorded when they were made.
    :param home: home of all accounts of the collection; with name and shell it tells those that an earlier version
        made without a record.
    """
    earlier = {
        name for name, fields in passwd.items() if name.startswith(PREFIX) and list(fields[4:6]) == [home, SHELL]
    }
    return sorted(set(passwd) & (set(recorded) | earlier))
