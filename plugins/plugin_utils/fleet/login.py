# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How people log in to the chat page: with passwords, through an identity provider, or both.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Mapping
from urllib.parse import SplitResult, urlsplit

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

# Stands for a value that cannot be read yet, such as one of a vault.
UNKNOWN = "unknown"
PREFIX = "open_webui_oidc_"
ISSUER = f"{PREFIX}issuer"
OWN_LOG_IN = "open_webui_password_login"
DISCOVERY = "/.well-known/openid-configuration"
# What a provider needs; any of them shows that one is wanted.
CLIENT = (f"{PREFIX}client_id", f"{PREFIX}client_secret")
GROUPS = (f"{PREFIX}users", f"{PREFIX}admins")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(issuer: str) -> SplitResult | None:
    """Return the parts of a URL, or nothing for a text that is none."""
    try:
        found = urlsplit(issuer)
        # A wrong port is found only when it is read.
        found.port  # noqa: B018
    except ValueError:
        return None
    good = found.scheme in ("http", "https") and found.hostname and not any(one.isspace() for one in issuer)
    return found if good else None


def _issuer(issuer: str) -> tuple[str, str] | None:
    """Return what is wrong with an issuer, and the remedy."""
    found = _split(issuer)
    if found is None:
        return "it is not a valid URL", "give https://HOST:PORT/PATH, as the provider calls itself"
    if "@" in found.netloc:
        return "a user or a password in it would be in logs", "give it without; the client has variables of its own"
    if found.query or found.fragment:
        return "an issuer has neither a query nor a fragment", "give it as the provider calls itself"
    if issuer.rstrip("/").endswith(DISCOVERY):
        return "it is the address of the provider's description", f"give the issuer, which is that without {DISCOVERY}"
    if found.scheme == "http" and not _is_loopback(str(found.hostname)):
        return "codes and tokens of people would cross the network in plain text", "give an https:// URL"
    return None


def problems(values: Mapping[str, Any], host: str = "") -> list[Problem]:
    """Return why people could not log in as the inventory says.

    :param values: the role's variables by name; one that is not there has the role's default, and ``UNKNOWN`` is given
        but not checked.
    """
    issuer = str(values.get(ISSUER) or "")
    passwords = values.get(OWN_LOG_IN, True)
    members = [group for name in GROUPS for group in values.get(name) or []]
    found: list[Problem] = []
    if issuer == UNKNOWN:
        return found
    if not issuer:
        for name in (*CLIENT, *GROUPS):
            if values.get(name):
                value = HIDDEN if name in CLIENT else values[name]
                text = "there is no provider for it"
                found.append(Problem(name, value, text, f"give {ISSUER}, or leave it out", host))
        if not passwords:
            text = "nobody could log in"
            found.append(Problem(OWN_LOG_IN, False, text, f"leave passwords on, or give {ISSUER}", host))
        return found
    wrong = _issuer(issuer)
    if wrong:
        found.append(Problem(ISSUER, HIDDEN if "@" in issuer else issuer, *wrong, host))
    for name in CLIENT:
        if not values.get(name):
            remedy = "give the client that the provider knows, and its secret from a vault"
            found.append(Problem(name, "", f"{ISSUER} names a provider, which wants to know who asks", remedy, host))
    scopes = values.get(f"{PREFIX}scopes")
    if scopes not in (None, UNKNOWN) and "openid" not in scopes:
        text = "without the scope openid the provider does not say who somebody is"
        found.append(Problem(f"{PREFIX}scopes", scopes, text, "add openid", host))
    if not members:
        text = "nobody could log in through the provider"
        found.append(Problem(GROUPS[0], [], text, f"name groups of the provider there or in {GROUPS[1]}", host))
    return found
