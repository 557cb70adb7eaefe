# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a program of a package as a service's user, with some capabilities and no other right."""

from __future__ import annotations

from typing import Any


def command(package: dict[str, Any], user: str, capabilities: list[str] | None = None) -> list[str]:
    """Return the words that go before the program's path.

    :param package: an entry of ``service_packages``; ``container`` says whether its programs are in images, whose
        wrappers (``program.sh.j2`` of the service role) read from the environment as whom they run.
    :param capabilities: what the program keeps, e.g. ``[CAP_NET_BIND_SERVICE]``.
    """
    kept = "".join(f",+{name.lower().removeprefix('cap_')}" for name in capabilities or [])
    if package["container"]:
        return ["env", f"LLMFLEET_AS={user}", f"LLMFLEET_KEPT={kept}"]
    rights = [f"--inh-caps=-all{kept}", f"--ambient-caps=-all{kept}"]
    return ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs", *rights]
