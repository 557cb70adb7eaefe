# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs of the servers that the configuration and the environment of a service name, also those in parts.

A Redis or a database may be given as a host with a port beside it; such a host becomes a URL here, so that the checks
of plain text and of outgoing traffic see it like the others. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, Mapping

# Fields of a configuration, and variables of an environment, that hold the host of a Redis; LiteLLM and Open WebUI.
REDIS_FIELDS = ("host", "redis_host", "valkey_host")
# Lists of such hosts: of mappings, of pairs with a port, or separated by commas.
REDIS_LISTS = ("redis_startup_nodes", "startup_nodes", "sentinel_nodes", "redis_cluster_nodes", "redis_sentinel_nodes")
REDIS_NAMES = ("redis_sentinel_hosts", "websocket_sentinel_hosts")
DATABASE_FIELDS = ("database_host",)
# Beside a host these say that its connection has TLS.
TLS_FIELDS = ("ssl", "redis_ssl", "valkey_ssl")
# LiteLLM reads such a value from its environment.
REFERENCE = "os.environ/"
# A variable with one of these names holds a server that is contacted. Others with a URL are the service's own address,
# or pages for browsers.
SERVERS = re.compile(
    r"(?i)(_api_base|_host|_endpoints?|_servers?|(?<!redirect)_uri"
    r"|(?<!redirect)(?<!logout)(?<!favicon)(?<!logo)(?<!docs)(?<!public)_urls?)$"
)
OWN = ("PROXY_BASE_URL", "WEBUI_URL")
# Plain HTTP goes through these proxies as it is. Through one for HTTPS goes TLS, but a password for it does not.
PLAIN_PROXIES = ("http_proxy", "all_proxy")
TLS_PROXIES = ("https_proxy",)
# The scheme of a proxy through which nothing goes in plain text: the filter of outgoing traffic has to know it, too.
TUNNEL = "tunnel"
# URLs with these schemes are those of servers whatever holds them.
ALWAYS = re.compile(r"(?i)\b(?:rediss?|valkeys?|lm|tcp|postgres(?:ql)?(?:\+\w+)?)://[^\s\"'\\,]+")


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "1", "yes", "on")


def _url(host: str, scheme: str) -> str:
    """Return the URL of a host without a port."""
    host = host.strip()
    return f"{scheme}://[{host}]" if host.count(":") > 1 and not host.startswith("[") else f"{scheme}://{host}"


def _hosts(value: Any) -> Iterator[str]:
    """Give the hosts of a list of nodes, which may be text in JSON or text with commas."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = [one.strip() for one in value.split(",") if one.strip()]
        value = parsed if isinstance(parsed, list) else [parsed]
    for node in value if isinstance(value, list) else []:
        host = node.get("host") if isinstance(node, Mapping) else node[0] if isinstance(node, list) and node else node
        if isinstance(host, str) and host:
            yield host


def _named(values: Mapping[str, Any], resolved: Mapping[str, str], tls: bool) -> Iterator[str]:
    """Give the URLs of hosts that the fields of a mapping name, and of those in what it contains."""
    tls = tls or any(_is_true(value) for name, value in values.items() if name.lower() in TLS_FIELDS)
    scheme = "rediss" if tls else "redis"
    for name, given in values.items():
        value = _resolved(given, resolved)
        kind = name.lower()
        if kind in REDIS_LISTS or kind in REDIS_NAMES:
            yield from (_url(host, scheme) for host in _hosts(value))
        elif isinstance(value, str) and value and "://" not in value:
            if kind in REDIS_FIELDS:
                yield _url(value, scheme)
            elif kind in DATABASE_FIELDS:
                yield _url(value, "postgresql")
        elif isinstance(value, Mapping):
            yield from _named(value, resolved, tls)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, Mapping):
                    yield from _named(one, resolved, tls)


def _resolved(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str) and value.startswith(REFERENCE):
        return environment.get(value[len(REFERENCE) :], "")
    return value


def _texts(value: Any, environment: Mapping[str, str]) -> Iterator[str]:
    """Give every text in a value."""
    value = _resolved(value, environment)
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item, environment)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, environment)
    elif isinstance(value, str) and "://" in value:
        yield value


def _parsed(text: str) -> dict[str, Any]:
    """Return a mapping written as JSON; empty if its value is not known yet."""
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def of_configuration(configuration: str, environment: str = "") -> str:
    """Return the URLs of all servers that a configuration names, in one text.

    :param configuration: LiteLLM's configuration as JSON; empty if it is not known yet.
    :param environment: variables as JSON, to which the configuration may refer.
    """
    values, variables = _parsed(configuration), _parsed(environment)
    return " ".join(dict.fromkeys([*_texts(values, variables), *_named(values, variables, tls=False)]))


def of_environment(environment: str) -> str:
    """Return the URLs of all servers that the variables of a service name, in one text.

    :param environment: variables as JSON; empty if they are not known yet.
    """
    variables = {name: value for name, value in _parsed(environment).items() if isinstance(value, str)}
    texts = [value for name, value in variables.items() if SERVERS.search(name) and name not in OWN and "://" in value]
    urls = [found for value in variables.values() for found in ALWAYS.findall(value)]
    proxies = [url for name, value in variables.items() if (url := proxy(name, value))]
    return " ".join(dict.fromkeys([*texts, *urls, *proxies, *_named(variables, {}, tls=False)]))


def proxy(name: str, value: str) -> str:
    """Return the URL of a proxy that a variable names, with the scheme that says what goes there; empty for others."""
    kind = name.lower()
    if not value or kind not in PLAIN_PROXIES + TLS_PROXIES:
        return ""
    url = value if "://" in value else f"http://{value}"
    scheme, _colon, rest = url.partition("://")
    password = "@" in rest.partition("/")[0]
    return url if kind in PLAIN_PROXIES or (password and scheme.lower() == "http") else f"{TUNNEL}://{rest}"
