# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Problems of the proxy's parameters, checked before anything is changed and again in its role.

Pure functions over dictionaries; no Ansible, no files, no network. A parameter that is not given has the role's own
default, which is right.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any, Dict, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import parts, rules
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

HOST = re.compile(r"[A-Za-z0-9.:-]+")
SERVER = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")
MODEL = re.compile(r"[A-Za-z0-9._-]+")
PATH = re.compile(r"(/([A-Za-z0-9._-]+|[*]))+")
METHOD = re.compile(r"[A-Z]+")
SIZE = re.compile(r"[0-9]+[kKmMgG]?")
# As browsers write it: in lower case, and without the port that the scheme implies.
ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
IMPLIED_PORT = re.compile(r"http:.*:80|https:.*:443")
# A path is written into the configuration as it is.
FILE = re.compile(r"/[^\s;{}\"'$\\]+")

# What a door has; the addresses of the applications behind the pages are not known at every check.
DOORS = {
    "nginx_api": ("server_name", "port", "upstream"),
    "nginx_chat": ("server_name", "port"),
    "nginx_dashboards": ("server_name", "port"),
}
PAGES = {"nginx_chat": "the chat page", "nginx_dashboards": "the dashboards"}
UPSTREAM = "write a list of {name: MODEL, servers: [{address: HOST:PORT}]}"

Values = Dict[str, Any]


def _listen(value: Any) -> str:
    """Take an address that Nginx need not look up when it starts."""
    clean = str(rules.address(value))
    if clean != "localhost" and not re.fullmatch(r"[0-9.]+|.*:.*", clean):
        raise rules.RefusedError("it is a name, not an address", "give an address of the host, such as 0.0.0.0 or ::")
    return clean


def _host(value: Any) -> str:
    """Take a name or an address that clients use."""
    if not isinstance(value, str) or not HOST.fullmatch(value):
        raise rules.RefusedError("it is no host name", "give a host name or an address, without port and path")
    return value


def _origin(value: Any) -> str:
    """Take the origin of a web page as browsers send it."""
    if not isinstance(value, str) or not ORIGIN.fullmatch(value) or IMPLIED_PORT.fullmatch(value):
        remedy = (
            "write it as browsers send it, such as https://app.example.org or http://localhost:3000, without a path"
        )
        raise rules.RefusedError("it is not an origin of a web page", remedy)
    return value


USER = re.compile(r"[A-Za-z][A-Za-z0-9._@-]*")
_USER = rules.matching(USER, "it is no name of a user", "use letters, digits, dots, dashes and underscores")
_SIZE = rules.matching(SIZE, "it is not a valid size", "give a number of bytes, k, m or g, such as 32m")
_FILE = rules.matching(FILE, "it is not a valid path", "give an absolute path without spaces and quotes")
SINGLE: dict[str, rules.Rule] = {
    **{f"nginx_{name}listen": _listen for name in ("", "south_")},
    # The exporter is no Nginx and may listen at a name.
    "nginx_exporter_listen": rules.address,
    **{f"nginx_{door}_aliases": parts.listing(_host) for door in ("api", "chat", "dashboards")},
    "nginx_api_cors_origins": parts.listing(_origin),
    "nginx_trusted_proxies": parts.listing(rules.network),
    "nginx_hsts_max_age": rules.whole(0, None, "a number of seconds"),
    "nginx_request_timeout": rules.whole(1, None, "a number of seconds"),
    "nginx_south_request_timeout": rules.whole(1, None, "a number of seconds"),
    "nginx_access_log_days": rules.whole(1, None, "a number of days"),
    "nginx_dashboards_user": _USER,
    "nginx_dashboards_queries": rules.whole(1),
    "nginx_dashboards_query_timeout": rules.whole(1, None, "a number of seconds"),
    "nginx_http_port": rules.whole(0, 65535, "a port"),
    **{f"nginx_{name}_port": rules.whole(1, 65535, "a port") for name in ("south", "status", "exporter")},
    **{f"nginx_{door}_max_body_size": _SIZE for door in ("api", "chat")},
    **{
        f"nginx_{name}_per_{of}": rules.whole(0)
        for name in ("rate", "burst", "connections")
        for of in ("key", "address")
    },
    **{f"nginx_{name}": rules.whole(0) for name in ("rate_login", "burst_login", "connections_total")},
    **{f"nginx_tls_{name}_file": _FILE for name in ("certificate", "key", "ca")},
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


def _names(given: Values, variable: str) -> set[str]:
    """Return the names that a door is known by, in lower case."""
    aliases = given.get(f"{variable}_aliases") or []
    further = aliases if isinstance(aliases, list) else [aliases]
    return {str(name).lower() for name in (given[variable]["server_name"], *further)}


def _door(variable: str, door: Values) -> Iterable[Problem]:
    if "aliases" in door:
        remedy = f"set {variable}_aliases instead"
        yield Problem(f"{variable}.aliases", door["aliases"], "a door has no such field", remedy)
    for refused in parts.refusals(_host, door["server_name"]):
        yield Problem(f"{variable}.server_name", door["server_name"], refused.problem, refused.remedy)
    port = rules.whole_number(door.get("port"))
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
    if rules.off(given.get("nginx_north")):
        return
    for name in DOORS:
        door = given.get(name, {})
        if not isinstance(door, dict):
            yield Problem(name, door, "a dictionary is needed", "write {server_name: ..., port: ..., upstream: [...]}")
            continue
        missing = [field for field in DOORS[name] if field not in door]
        if door and missing and door.get("server_name") != "":
            problem = f"a door that is set replaces the whole of it, and {', '.join(missing)} is missing"
            remedy = f"leave {name} out and set the part that differs, such as {name}_aliases, or write all of it"
            yield Problem(name, door, problem, remedy)
        elif door.get("server_name", "") != "":
            found.append({**door, "variable": name})
            yield from _door(name, door)
    http = rules.whole_number(given.get("nginx_http_port"))
    taken = [door["variable"] for door in found if http and http == rules.whole_number(door.get("port"))]
    if taken:
        problem = f"{taken[0]} has this port"
        yield Problem("nginx_http_port", http, problem, "choose a port that no door uses, or 0")
    for first, second in combinations(found, 2):
        if rules.whole_number(first.get("port")) != rules.whole_number(second.get("port")):
            continue
        one, other = first["variable"], second["variable"]
        for name in sorted(_names(given, one) & _names(given, other)):
            remedy = f"on one port each door needs names of its own; give {PAGES[other]} another name or another port"
            yield Problem(f"{other}.server_name", name, f"{one} has this name on the same port", remedy)


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
        if "api_paths" in model:
            for refused in parts.refusals(parts.API_PATHS, model["api_paths"]):
                variable = f"{where}[{name}].api_paths{refused.inside}"
                yield Problem(variable, refused.value, refused.problem, refused.remedy)
        if "new_percent" in model:
            yield from _split(f"{where}[{name}]", model)
        for server in model.get("servers") or []:
            address = server.get("address") if isinstance(server, dict) else server
            yield from _server(f"{where}[{name}].servers", address)


def _split(where: str, model: Values) -> Iterable[Problem]:
    try:
        fits = 0 <= float(model["new_percent"]) <= 100
    except (TypeError, ValueError):
        fits = False
    if not fits:
        yield Problem(f"{where}.new_percent", model["new_percent"], "it is no percent", "give a number from 0 to 100")
    if model.get("balance", "least_conn") != "least_conn":
        remedy = "use least_conn, or give no new_percent"
        yield Problem(f"{where}.balance", model["balance"], "with it, one version cannot answer for the other", remedy)
    versions = {rules.off(one.get("new", "no")) for one in model.get("servers") or [] if isinstance(one, dict)}
    if len(versions) == 1:
        remedy = "set new for some of the servers, or give no new_percent"
        yield Problem(f"{where}.servers", model["servers"], "all are of one version", remedy)


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
    for name, rule in SINGLE.items():
        refused = parts.refusals(rule, given[name]) if name in given else []
        found += [Problem(f"{name}{one.inside}", one.value, one.problem, one.remedy) for one in refused]
    for check in (_doors, _models, _paths):
        found += check(given)
    renamed = names or {}
    return [problem._replace(host=host, variable=renamed.get(problem.variable, problem.variable)) for problem in found]
