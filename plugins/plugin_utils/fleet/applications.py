# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that are derived from the table of applications, one row per application (``llm_applications``).

Pure functions over rows; no Ansible, no files, no network. A row is asked only for the keys that a function needs, as
Ansible computes each value when it is asked for, and secrets do not exist yet when images and ports are checked.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Iterable, Iterator

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import authority, reachable
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.names import PREFIX

# Keys of a row; roles/fleet_defaults/meta/argument_specs.yml describes them.
KEYS = (
    "name",
    "title",
    "hosts",
    "clients",
    "told",
    "here",
    "images",
    "environment_mib",
    "listen",
    "port",
    "ports",
    "health",
    "health_port",
    "serves",
    "scrape",
    "summary",
)
Row = Any
Hosts = dict[str, dict[str, Any]]


def _here(row: Row, host: str) -> bool:
    """Return whether a host has the application."""
    return bool(row.get("here", host in row["hosts"]))


def _service(row: Row) -> str:
    """Return the name of the application's service, without prefix."""
    return str(row["name"]).replace("_", "-")


def _is_loopback(listen: str) -> bool:
    try:
        return ipaddress.ip_address(reachable(listen)).is_loopback and reachable(listen) == listen.strip("[]")
    except ValueError:
        return listen == "localhost"


def _addresses(row: Row, hosts: Hosts) -> dict[str, str]:
    """Return the address of every known host that has the application, by host."""
    known = {name: hosts[name] for name in row["hosts"] if hosts.get(name)}
    return {name: str(own["address"]) for name, own in known.items() if "told" not in row or own.get(row["told"])}


def image_names(rows: Iterable[Row], host: str) -> list[str]:
    """Return the images that a host needs, by their names in the catalogue."""
    return [name for row in rows if _here(row, host) for name in row.get("images", {})]


def releases(rows: Iterable[Row], known: dict[str, dict[str, str]], host: str) -> list[dict[str, str]]:
    """Return the releases of the applications that a host has."""
    return [known[row["name"]] for row in rows if row["name"] in known and _here(row, host)]


def image_sizes(rows: Iterable[Row]) -> dict[str, int]:
    """Return the disk space of each image, in MiB."""
    return {name: int(size) for row in rows for name, size in row.get("images", {}).items()}


def disk(rows: Iterable[Row], host: str, root: str, containers: bool) -> list[dict[str, Any]]:
    """Return the disk space of each Python environment on a host; 0 if the host does not build it.

    :param root: directory of Python environments.
    :param containers: whether the host's services run in containers.
    """
    return [
        {
            "path": root,
            "needed_mib": int(row["environment_mib"]) if _here(row, host) and not containers else 0,
            "purpose": f"{row['title']}'s Python environment",
            "creates": f"{root}/venvs/{_service(row)}-*/.complete",
        }
        for row in rows
        if "environment_mib" in row
    ]


def listeners(rows: Iterable[Row], host: str) -> list[dict[str, Any]]:
    """Return the ports of the applications of a host, ``{name, address, port}``.

    ``name`` is the variable that sets the port. A port 0 is off. One that is no number is left out, because the check
    of the inventory's values refuses it.
    """
    return [
        {"name": one["name"], "address": one["address"], "port": port}
        for one in _ports(rows, host)
        if (port := whole(one.get("port")))
    ]


def fleet_listeners(rows: Iterable[Row], host: str) -> list[dict[str, Any]]:
    """Return the ports of a host that hosts of the fleet use: ``{name, application, address, port, clients}``.

    Doors are left out, as everybody uses them. A port 0 is off.
    """
    return [
        {
            "name": str(one["name"]).removesuffix("_port").replace("_", "-"),
            "application": row["name"],
            "address": str(one["address"]),
            "port": port,
            "clients": list(row.get("clients") or []),
        }
        for row in rows
        for one in _ports([row], host)
        if not one.get("door") and (port := whole(one.get("port")))
    ]


def _ports(rows: Iterable[Row], host: str) -> Iterator[Row]:
    """Give each port of the applications of a host, ``{name, address, port}`` and maybe ``door``."""
    for row in rows:
        if not _here(row, host):
            continue
        if "port" in row:
            yield {"name": f"{row['name']}_port", "address": row.get("listen", ""), "port": row["port"]}
        yield from row.get("ports") or []


def plain_listeners(rows: Iterable[Row], host: str) -> dict[str, str]:
    """Return the addresses of a host's listeners without TLS, by the variables that set them.

    Doors have TLS. A port 0 is off.
    """
    return {
        f"{str(one['name']).removesuffix('_port')}_listen": str(one["address"])
        for one in _ports(rows, host)
        if not one.get("door") and whole(one.get("port"))
    }


def hops(rows: Iterable[Row], host: str, hosts: Hosts) -> list[dict[str, Any]]:
    """Return the hops of a request in the order of the table: the host's own, else the first that another host has.

    :param hosts: what is known of hosts, by name, each with ``address``.
    """
    found = []
    for row in rows:
        if "health" not in row:
            continue
        listen, port = str(row["listen"]), int(row.get("health_port", row.get("port")))
        others = _addresses(row, hosts)
        if _here(row, host):
            name, address = host, authority(listen, port)
        elif others and not _is_loopback(listen):
            name, address = next((name, authority(other, port)) for name, other in others.items())
        else:
            # An application on loopback cannot be reached from another host.
            continue
        hop = {"name": f"{PREFIX}{_service(row)}", "host": name, "url": f"http://{address}{row['health']}"}
        found.append({**hop, "serves": list(row["serves"])} if "serves" in row else hop)
    return found


def scrape_jobs(rows: Iterable[Row], hosts: Hosts) -> list[dict[str, Any]]:
    """Return the jobs of Prometheus for the metrics of applications; see :func:`wiring.scrape_targets`.

    An application on loopback is read on the host of Prometheus alone.
    """
    jobs = []
    for row in rows:
        if "scrape" not in row:
            continue
        listen, scrape = str(row["listen"]), row["scrape"]
        addresses = _addresses(row, hosts)
        if addresses and _is_loopback(listen):
            # Where several hosts have it, the row does not say which is Prometheus' own, which alone is read.
            addresses = dict.fromkeys(addresses if len(addresses) == 1 else [""], listen)
        targets = [
            {"address": authority(address, int(row["port"])), "labels": {"host": host} if host else {}}
            for host, address in addresses.items()
        ]
        job = {"job": scrape["job"], "targets": targets}
        jobs.append({**job, "metrics_path": scrape.get("path", ""), "bearer_token": scrape.get("token", "")})
    return jobs


def services(rows: Iterable[Row], host: str) -> list[dict[str, Any]]:
    """Return the lines of a host in the summary, ``{name, url}``; without url it is not on the host.

    ``summary`` of a row is the path behind the address that it listens on, or a whole URL.
    """
    found = []
    for row in rows:
        if "summary" not in row:
            continue
        url = ""
        if _here(row, host):
            shown = str(row["summary"])
            url = shown if "://" in shown else f"http://{authority(str(row['listen']), int(row['port']))}{shown}"
        found.append({"name": _service(row), "url": url})
    return found
