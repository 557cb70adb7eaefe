# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems of the proxy's parameters, checked before anything is changed and again in its role.

Pure functions over dictionaries; no Ansible, no files, no network. A parameter that is not given has the role's own
default, which is right.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable, Dict, Iterable, Optional

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory.rules import off, whole_number
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

HIDDEN = "(hidden)"
HOST = re.compile(r"[A-Za-z0-9.:-]+")
SERVER = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")
MODEL = re.compile(r"[A-Za-z0-9._-]+")
PATH = re.compile(r"(/([A-Za-z0-9._-]+|[*]))+")
METHOD = re.compile(r"[A-Z]+")
SIZE = re.compile(r"[0-9]+[kKmMgG]?")
# A path is written into the configuration as it is.
FILE = re.compile(r"/[^\s;{}\"'$\\]+")

UPSTREAM = "write a list of {name: MODEL, servers: [{address: HOST:PORT}]}"

Values = Dict[str, Any]
# The problem of a value and its remedy; empty if the value is valid.
Rule = Callable[[Any], Optional[str]]


def whole(minimum: int, maximum: int | None = None) -> Rule:
    """Return a rule for whole numbers."""
    limit = f"from {minimum} up" if maximum is None else f"from {minimum} to {maximum}"

    def rule(value: Any) -> str | None:
        found = whole_number(value)
        fits = found is not None and found >= minimum and (maximum is None or found <= maximum)
        return None if fits else f"give a whole number {limit}"

    return rule


def form(pattern: re.Pattern[str], remedy: str) -> Rule:
    """Return a rule for text that matches a pattern as a whole."""

    def rule(value: Any) -> str | None:
        return None if isinstance(value, str) and pattern.fullmatch(value) else remedy

    return rule


def _listen(value: Any) -> str | None:
    text = str(value)
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        fits = ipaddress.ip_address(bare).version == 6 or bare == text
    except ValueError:
        fits = text == "localhost"
    return None if fits else "give an address of the host, such as 0.0.0.0 or ::"


def _networks(value: Any) -> str | None:
    remedy = "give a list of addresses or networks, such as [192.0.2.0/28]"
    if not isinstance(value, list):
        return remedy
    try:
        for network in value:
            # As nginx does, a network is taken with bits of a host in it.
            ipaddress.ip_network(str(network), strict=False)
    except ValueError:
        return remedy
    return None


SINGLE: dict[str, tuple[str, Rule]] = {
    "nginx_listen": ("it is no address", _listen),
    "nginx_south_listen": ("it is no address", _listen),
    "nginx_exporter_listen": ("it is no address", _listen),
    "nginx_trusted_proxies": ("it is no list of networks", _networks),
    "nginx_hsts_max_age": ("it is no number of seconds", whole(0)),
    "nginx_request_timeout": ("it is no number of seconds", whole(1)),
    "nginx_south_request_timeout": ("it is no number of seconds", whole(1)),
    "nginx_access_log_days": ("it is no number of days", whole(1)),
    "nginx_http_port": ("it is no port", whole(0, 65535)),
    **{f"nginx_{name}_port": ("it is no port", whole(1, 65535)) for name in ("south", "status", "exporter")},
    **{
        f"nginx_{door}_max_body_size": (
            "it is no size",
            form(SIZE, "give a number of bytes, k, m or g, such as 32m"),
        )
        for door in ("api", "chat")
    },
    **{
        f"nginx_{limit}": ("it is no limit", whole(0))
        for limit in (
            "rate_per_key",
            "burst_per_key",
            "rate_per_address",
            "burst_per_address",
            "rate_login",
            "burst_login",
            "connections_per_key",
            "connections_per_address",
            "connections_total",
        )
    },
    **{
        f"nginx_tls_{name}_file": ("it is no path", form(FILE, "give an absolute path without spaces and quotes"))
        for name in ("certificate", "key", "ca")
    },
}


def _tls(given: Values) -> Iterable[Problem]:
    certificate, key = given.get("nginx_tls_certificate"), given.get("nginx_tls_key")
    own_file, key_file = given.get("nginx_tls_certificate_file"), given.get("nginx_tls_key_file")
    if bool(certificate) != bool(key):
        remedy = "set nginx_tls_certificate and nginx_tls_key together, or neither for a self-signed certificate"
        where = "nginx_tls_key" if certificate else "nginx_tls_certificate"
        yield Problem(where, None, "the other half of the pair is set", remedy)
    if bool(own_file) != bool(key_file):
        remedy = "set nginx_tls_certificate_file and nginx_tls_key_file together"
        where = "nginx_tls_key_file" if own_file else "nginx_tls_certificate_file"
        yield Problem(where, None, "the other half of the pair is set", remedy)
    if own_file and certificate:
        problem, remedy = (
            "nginx_tls_certificate is set too",
            "set the text of the certificate, or the file that holds it",
        )
        yield Problem("nginx_tls_certificate_file", own_file, problem, remedy)
    for name, value, label in (("certificate", certificate, "CERTIFICATE"), ("key", key, "PRIVATE KEY")):
        if value and not re.search(rf"-----BEGIN [A-Z ]*{label}-----", str(value)):
            remedy = "give the text of a PEM file, from a lookup or a vault"
            yield Problem(f"nginx_tls_{name}", HIDDEN, f"there is no {label} in PEM in it", remedy)


def _names(door: Values) -> list[Any]:
    """Return the names that a door is known by."""
    aliases = door.get("aliases") or []
    return [door["server_name"], *(aliases if isinstance(aliases, list) else [aliases])]


def _door(variable: str, door: Values) -> Iterable[Problem]:
    remedy = "give a host name or an address, without port and path"
    for position, name in enumerate(_names(door)):
        if not isinstance(name, str) or not HOST.fullmatch(name):
            field = "aliases" if position else "server_name"
            yield Problem(f"{variable}.{field}", name, "it is no host name", remedy)
    port = whole_number(door.get("port"))
    if port is None or not 1 <= port <= 65535:
        yield Problem(f"{variable}.port", door.get("port"), "it is no port", "give a whole number from 1 to 65535")
    if "upstream" not in door:
        return
    upstream = door["upstream"]
    if not upstream or not isinstance(upstream, list):
        remedy = "give a list with at least one host:port"
        yield Problem(f"{variable}.upstream", upstream, "the door has no upstream", remedy)
        return
    for server in upstream:
        yield from _server(f"{variable}.upstream", server)


def _server(variable: str, server: Any) -> Iterable[Problem]:
    if not SERVER.fullmatch(str(server)):
        yield Problem(variable, server, "it is no address with a port", "give it as host:port")


def _doors(given: Values) -> Iterable[Problem]:
    found: list[Values] = []
    if off(given.get("nginx_north")):
        return
    for name in ("nginx_api", "nginx_chat"):
        door = given.get(name, {})
        if not isinstance(door, dict):
            yield Problem(name, door, "a dictionary is needed", "write {server_name: ..., port: ..., upstream: [...]}")
        elif door.get("server_name", "") != "":
            found.append({**door, "variable": name})
            yield from _door(name, door)
    http = whole_number(given.get("nginx_http_port"))
    taken = [door["variable"] for door in found if http and http == whole_number(door.get("port"))]
    if taken:
        problem = f"{taken[0]} has this port"
        yield Problem("nginx_http_port", http, problem, "choose a port that no door uses, or 0")
    if len(found) == 2 and whole_number(found[0].get("port")) == whole_number(found[1].get("port")):
        api, chat = ({str(name).lower() for name in _names(door)} for door in found)
        for name in sorted(api & chat):
            remedy = "on one port each door needs names of its own; give the chat page another name or another port"
            yield Problem("nginx_chat.server_name", name, "nginx_api has this name on the same port", remedy)


def _models(given: Values) -> Iterable[Problem]:
    seen: set[str] = set()
    where, models = "nginx_south_upstreams", given.get("nginx_south_upstreams") or []
    if not isinstance(models, list):
        yield Problem(where, models, "a list is needed", UPSTREAM)
        return
    for index, model in enumerate(models):
        if not isinstance(model, dict) or not isinstance(model.get("servers") or [], list):
            yield Problem(f"{where}[{index}]", model, "it is no upstream", UPSTREAM)
            continue
        name = str(model.get("name", ""))
        if not MODEL.fullmatch(name):
            remedy = "use letters, digits, dots, dashes and underscores"
            yield Problem(f"{where}.name", name, "the name has other characters", remedy)
        elif name.lower() in seen:
            remedy = "give every model a name that differs in more than capitals"
            yield Problem(f"{where}.name", name, "another model has this name", remedy)
        seen.add(name.lower())
        for server in model.get("servers") or []:
            address = server.get("address") if isinstance(server, dict) else server
            yield from _server(f"{where}[{name}].servers", address)


def _paths(given: Values) -> Iterable[Problem]:
    paths = given.get("nginx_api_paths") or {}
    if not isinstance(paths, dict):
        yield Problem("nginx_api_paths", paths, "a dictionary is needed", "write {/v1/models: [GET, HEAD]}")
        return
    for path, methods in paths.items():
        if not PATH.fullmatch(str(path)):
            yield Problem("nginx_api_paths", path, "it is no path", "write it as /a/b, with * for one segment")
        wrong = not isinstance(methods, list) or not methods
        if wrong or not all(METHOD.fullmatch(str(method)) for method in methods):
            remedy = "give a list of methods in capitals, such as [GET, HEAD]"
            yield Problem(f"nginx_api_paths[{path}]", methods, "it is no list of methods", remedy)


def problems(values: Values, host: str = "", names: dict[str, str] | None = None) -> list[Problem]:
    """Return all problems of the proxy's parameters on one host.

    :param values: the variables that are set, by their names. Empty ones and others than those of the proxy are left
        alone, and so are the applications behind a door that names none: their addresses are not known yet.
    :param host: the host's name in the inventory.
    :param names: the variables that users set by what is made of them, e.g. ``{nginx_api.port: llm_api_port}``.
    """
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    found = list(_tls(given))
    for name, (problem, rule) in SINGLE.items():
        remedy = rule(given[name]) if name in given else None
        if remedy:
            found.append(Problem(name, given[name], problem, remedy))
    for check in (_doors, _models, _paths):
        found += check(given)
    renamed = names or {}
    return [problem._replace(host=host, variable=renamed.get(problem.variable, problem.variable)) for problem in found]
