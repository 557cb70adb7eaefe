# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from a row of the table of applications. The row is Valkey's, which nobody ships."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import applications

HOSTS = {
    "a": {"address": "10.0.0.1", "dcgm": True},
    "b": {"address": "10.0.0.2", "dcgm": False},
    "c": {"address": "fd00::3"},
    "unknown": {},
}
VALKEY: dict[str, Any] = {
    "name": "valkey_cache",
    "title": "Valkey",
    "hosts": ["b", "a"],
    "images": {"valkey": 200, "valkey_tools": 20},
    "environment_mib": 70,
    "listen": "0.0.0.0",
    "port": "6379",
    "health": "/health",
    "serves": ["api"],
    "scrape": {"job": "valkey", "path": "/m", "token": "t"},
    "summary": "/info",
}


def row(**changes: Any) -> list[dict[str, Any]]:
    """The table with Valkey alone; a key changed to None is left out."""
    return [{key: value for key, value in {**VALKEY, **changes}.items() if value is not None}]


@pytest.mark.parametrize(("host", "names"), [("a", ["valkey", "valkey_tools"]), ("c", [])])
def test_images(host: str, names: list[str]) -> None:
    assert applications.image_names(row(), host) == names
    assert applications.image_sizes(row()) == {"valkey": 200, "valkey_tools": 20}
    assert applications.image_names(row(images=None), host) == []


def test_releases() -> None:
    known = {"valkey": {"title": "Valkey", "version": "9.0", "released": "2026-01-31"}, "other": {"title": "Other"}}
    assert applications.releases(row(), known, "c") == []
    assert applications.releases(row(), {}, "a") == []
    found = applications.releases([{"name": "valkey", "hosts": ["a"]}, {"name": "unknown", "hosts": ["a"]}], known, "a")
    assert found == [known["valkey"]]


@pytest.mark.parametrize(("host", "containers", "needed"), [("a", False, 70), ("a", True, 0), ("c", False, 0)])
def test_disk(host: str, containers: bool, needed: int) -> None:
    (found,) = applications.disk(row(), host, "/opt/x", containers)
    assert found == {
        "path": "/opt/x",
        "needed_mib": needed,
        "purpose": "Valkey's Python environment",
        "creates": "/opt/x/venvs/valkey-cache-*/.complete",
    }
    assert applications.disk(row(environment_mib=None), host, "/opt/x", containers) == []


@pytest.mark.parametrize(
    ("changes", "ports"),
    [
        ({}, {"valkey_cache_port": 6379}),
        ({"port": 0}, {}),
        ({"port": None}, {}),
        ({"ports": [{"name": "p", "address": "::", "port": "7"}]}, {"valkey_cache_port": 6379, "p": 7}),
        ({"ports": [{"name": "p", "address": "::", "port": 0}], "port": None}, {}),
        ({"here": False}, {}),
    ],
)
def test_listeners(changes: dict[str, Any], ports: dict[str, int]) -> None:
    found = applications.listeners(row(**changes), "a")
    assert {one["name"]: one["port"] for one in found} == ports
    assert applications.listeners(row(**{**changes, "here": None}), "c") == []


@pytest.mark.parametrize(
    ("changes", "addresses"),
    [
        ({}, {"valkey_cache_listen": "0.0.0.0"}),
        ({"port": 0}, {}),
        ({"here": False}, {}),
        ({"port": None, "ports": [{"name": "south_port", "address": "::", "port": 7}]}, {"south_listen": "::"}),
        ({"port": None, "ports": [{"name": "south_port", "address": "::", "port": 0}]}, {}),
        ({"port": None, "ports": [{"name": "north_port", "address": "::", "port": 7, "door": True}]}, {}),
    ],
)
def test_addresses_of_listeners_without_tls(changes: dict[str, Any], addresses: dict[str, str]) -> None:
    assert applications.plain_listeners(row(**changes), "a") == addresses
    assert applications.plain_listeners(row(**{**changes, "here": None}), "c") == {}


@pytest.mark.parametrize(
    ("host", "changes", "hop"),
    [
        ("a", {}, ("a", "http://127.0.0.1:6379/health")),
        ("a", {"listen": "10.0.0.1"}, ("a", "http://10.0.0.1:6379/health")),
        ("a", {"listen": "::1"}, ("a", "http://[::1]:6379/health")),
        ("a", {"health_port": 9}, ("a", "http://127.0.0.1:9/health")),
        # The first of the other hosts, at its own address.
        ("c", {}, ("b", "http://10.0.0.2:6379/health")),
        ("a", {"hosts": ["unknown", "c"]}, ("c", "http://[fd00::3]:6379/health")),
        # What listens on loopback, or is nowhere, is no hop of another host.
        ("c", {"listen": "127.0.0.1"}, None),
        ("c", {"listen": "localhost"}, None),
        ("a", {"hosts": []}, None),
        ("a", {"health": None}, None),
        # The first that really has it.
        ("c", {"hosts": ["b", "a"], "told": "dcgm"}, ("a", "http://10.0.0.1:6379/health")),
    ],
)
def test_hops(host: str, changes: dict[str, Any], hop: tuple[str, str] | None) -> None:
    found = applications.hops(row(**changes), host, HOSTS)
    assert [(one["host"], one["url"]) for one in found] == ([hop] if hop else [])
    assert all(one["name"] == "llm-valkey-cache" and one["serves"] == ["api"] for one in found)


def test_a_hop_serves_the_api_where_nothing_is_said() -> None:
    (found,) = applications.hops(row(serves=None), "a", HOSTS)
    assert "serves" not in found


@pytest.mark.parametrize(
    ("changes", "targets"),
    [
        ({}, [("b", "10.0.0.2:6379"), ("a", "10.0.0.1:6379")]),
        ({"hosts": ["a", "unknown", "gone", "c"]}, [("a", "10.0.0.1:6379"), ("c", "[fd00::3]:6379")]),
        ({"told": "dcgm"}, [("a", "10.0.0.1:6379")]),
        ({"listen": "127.0.0.1"}, [("", "127.0.0.1:6379")]),
        ({"listen": "127.0.0.1", "hosts": ["a"]}, [("a", "127.0.0.1:6379")]),
        ({"listen": "127.0.0.1", "hosts": []}, []),
        ({"listen": "127.0.0.1", "told": "dcgm", "hosts": ["b"]}, []),
    ],
)
def test_scrape_jobs(changes: dict[str, Any], targets: list[tuple[str, str]]) -> None:
    (job,) = applications.scrape_jobs(row(**changes), HOSTS)
    labelled = [{"address": address, "labels": {"host": host} if host else {}} for host, address in targets]
    assert job == {"job": "valkey", "targets": labelled, "metrics_path": "/m", "bearer_token": "t"}
    assert applications.scrape_jobs(row(scrape=None), HOSTS) == []


@pytest.mark.parametrize(
    ("host", "changes", "url"),
    [
        ("a", {}, "http://127.0.0.1:6379/info"),
        ("a", {"summary": ""}, "http://127.0.0.1:6379"),
        ("a", {"summary": "https://x/v1"}, "https://x/v1"),
        ("c", {}, ""),
        ("c", {"summary": "https://x/v1"}, ""),
    ],
)
def test_services(host: str, changes: dict[str, Any], url: str) -> None:
    assert applications.services(row(**changes), host) == [{"name": "valkey-cache", "url": url}]
    assert applications.services(row(summary=None), host) == []


class Reserved(dict):  # type: ignore[type-arg]
    """A row whose token is not there yet, as before the secrets are made."""

    def __getitem__(self, key: str) -> Any:
        assert key != "scrape", "a function asked for a key that it has no use for"
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        return default if key not in self else self[key]  # noqa: SIM401 - dict.get would not ask __getitem__


def test_only_metrics_need_the_token() -> None:
    rows = [Reserved(VALKEY)]
    applications.image_names(rows, "a")
    applications.releases(rows, {}, "a")
    applications.image_sizes(rows)
    applications.disk(rows, "a", "/opt/x", containers=False)
    applications.listeners(rows, "a")
    applications.hops(rows, "a", HOSTS)
    applications.services(rows, "a")
