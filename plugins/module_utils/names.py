# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of what the collection creates on hosts."""

from __future__ import annotations

import hashlib

PREFIX = "llm-"
"""Every unit, supervisor program, container and account of the collection begins with it.

It is not configurable: accounts, messages and the summary depend on it. Roles have it as ``__service_prefix``.
"""

# Characters of an account's name that all programs accept: utmp stores 32 with the one that ends them.
ACCOUNT_MOST = 31
# Characters of the digest that ends a shortened name.
DIGEST = 10


def account(service: str) -> str:
    """Return the name of the account that a service has of its own.

    A name that is too long, or has a dot, which not all distributions accept in the name of an account, is shortened
    and ends with the digest of the whole. The underscore before it is in no name of a service, so it is nobody else's.

    :param service: name of the service: lower-case letters, digits, dots and dashes.
    """
    name = f"{PREFIX}{service}"
    if len(name) <= ACCOUNT_MOST and "." not in name:
        return name
    digest = hashlib.sha256(service.encode()).hexdigest()[:DIGEST]
    return f"{name.replace('.', '-')[: ACCOUNT_MOST - DIGEST - 1]}_{digest}"
