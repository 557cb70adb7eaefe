# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How clients connect to the database of the fleet: its own server, or one that a URL names.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import bare
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

SCHEMES = ("postgresql", "postgres")
# Parameters of a URL, and the variables of libpq's environment that take their place.
PARAMETERS = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
DEFAULT_PORT = 5432
# An address, or a name of a host.
HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z.:_-]*[0-9A-Za-z])?")
REMEDY = "give postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with ?sslmode=verify-full where it has a certificate"
FLEET_GROUPS = "llm_inference, llm_gateway, llm_webui or llm_monitoring"


def _wrong(url: str) -> str:
    """Return why a URL names no database; empty if it does. It never repeats a part of the URL."""
    try:
        parts = urlsplit(url)
        port, query = parts.port, parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return "it cannot be read as a URL; a password with special characters has to be percent-encoded"
    if parts.scheme not in SCHEMES:
        return f"its scheme is none of {', '.join(SCHEMES)}"
    if not parts.hostname or not HOST.fullmatch(parts.hostname):
        return "it names no host"
    if not parts.username or not parts.password or not parts.path.strip("/") or port == 0 or parts.fragment:
        return "user, password and database are not all there"
    unknown = sorted({name for name, _value in query} - set(PARAMETERS))
    if unknown:
        return f"it has parameters other than {', '.join(PARAMETERS)}"
    if dict(query).get("sslmode", "prefer") not in SSL_MODES:
        return f"its sslmode is none of {', '.join(SSL_MODES)}"
    if any(ord(letter) < 32 for letter in unquote(url)):
        return "it has a control character"
    return ""


def of_url(url: str) -> dict[str, Any]:
    """Return how to connect to the server of a URL: ``environment`` of libpq without password, and ``password``.

    A URL that names no database gives an empty environment; :func:`problems` says what is wrong with it.
    """
    if not url or _wrong(url):
        return {"environment": {}, "password": ""}
    parts = urlsplit(url)
    environment = {
        "PGHOST": str(parts.hostname),
        "PGPORT": str(parts.port or DEFAULT_PORT),
        "PGUSER": unquote(parts.username or ""),
        "PGDATABASE": unquote(parts.path.strip("/")),
    }
    environment.update({PARAMETERS[name]: value for name, value in parse_qsl(parts.query)})
    return {"environment": environment, "password": unquote(parts.password or "")}


def place(url: str) -> str:
    """Return a URL without user, password and parameters but ``sslmode``, fit to be shown; empty for none."""
    environment = of_url(url)["environment"]
    if not environment:
        return ""
    host = environment["PGHOST"]
    host = f"[{host}]" if ":" in host else host
    tls = f"?sslmode={environment['PGSSLMODE']}" if "PGSSLMODE" in environment else ""
    return f"postgresql://{host}:{environment['PGPORT']}/{quote(environment['PGDATABASE'])}{tls}"


def password_line(environment: dict[str, str], password: str) -> str:
    """Return the line of libpq's password file for a server; colons and backslashes are escaped as its manual says."""
    names = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")
    fields = [*(str(environment.get(name, "")) for name in names), password]
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields)


def networks(addresses: list[str]) -> list[str]:
    """Return the networks of single addresses, as access rules have them; names are left out."""
    found = []
    for address in addresses:
        try:
            found.append(str(ipaddress.ip_network(bare(str(address)))))
        except ValueError:
            continue
    return list(dict.fromkeys(found))


def problems(members: list[str], fleet: list[str], gateways: list[str], url: str) -> list[Problem]:
    """Return the problems of the database of a fleet.

    :param members: hosts of the group ``llm_database``.
    :param fleet: hosts of the fleet's four groups.
    :param gateways: those of them that are gateways.
    :param url: ``llm_database_url``, whose value is never shown.
    """
    found = []
    if len(members) > 1:
        text = "the database runs on one host"
        found.append(Problem("groups.llm_database", members, text, "leave one host in the group"))
    for name in members:
        if name not in fleet:
            text = "only hosts of the fleet's groups are prepared"
            remedy = f"put {name} into {FLEET_GROUPS} too, or give llm_database_url instead"
            found.append(Problem("groups.llm_database", members, text, remedy, name))
    if members and url:
        text = f"the group llm_database has a host too ({', '.join(members)}), and usage is booked in one database"
        found.append(Problem("llm_database_url", HIDDEN, text, "leave one of them"))
    if url and (wrong := _wrong(url)):
        found.append(Problem("llm_database_url", HIDDEN, wrong, REMEDY))
    if (members or url) and not gateways:
        name, value = ("llm_database_url", HIDDEN) if url else ("groups.llm_database", members)
        text = "no host is in the group llm_gateway, so nothing is booked"
        found.append(Problem(name, value, text, "put a host into llm_gateway, or leave the database out"))
    return found
