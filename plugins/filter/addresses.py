# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters for the address at which a listener can be reached: thin wrappers around module_utils/addresses.py."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils import addresses


def reachable(listen: Any) -> str:
    """Return the address at which a listener can be reached from its own host."""
    return addresses.reachable(str(listen))


def bare_address(address: Any) -> str:
    """Return an address in the form that programs listen on."""
    return addresses.bare(str(address))


def bracketed(address: Any) -> str:
    """Return an address in the form that is used before a port."""
    return addresses.bracketed(str(address))


def authority(listen: Any, port: Any) -> str:
    """Return ``host:port`` of a URL for a listener on the same host."""
    return addresses.authority(str(listen), int(port))


class FilterModule:
    """Filters of addresses."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {"authority": authority, "bare_address": bare_address, "bracketed": bracketed, "reachable": reachable}
