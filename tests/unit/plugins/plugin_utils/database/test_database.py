# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory settings, URLs of databases and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.filter.database import FilterModule
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import render
from ansible_collections.llmfleet.serving.plugins.plugin_utils.database import connection, memory

URL = "postgresql://fleet:p%40ss%3Aword@db.example.com:6432/usage?sslmode=verify-full&sslrootcert=/etc/ca.pem"


@pytest.mark.parametrize(
    ("memory_mib", "share", "connections", "expected"),
    [
        # Never below 256 MiB.
        (1024, 0.125, 50, ("64MB", "192MB", "16MB", "4MB")),
        (16384, 0.125, 50, ("512MB", "1536MB", "128MB", "10MB")),
        (65536, 0.25, 100, ("4096MB", "12288MB", "1024MB", "40MB")),
        # Never above 16 GiB.
        (2097152, 0.5, 50, ("4096MB", "12288MB", "1024MB", "81MB")),
    ],
)
def test_memory_settings_follow_from_the_memory(
    memory_mib: int, share: float, connections: int, expected: tuple[str, ...]
) -> None:
    found = memory.settings(memory_mib, share, connections)
    names = ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem")
    assert tuple(found[name] for name in names) == expected
    assert FilterModule().filters()["postgresql_memory"](str(memory_mib), share, connections) == found


def test_a_url_says_how_to_connect() -> None:
    found = connection.of_url(URL)
    assert found["password"] == "p@ss:word"
    assert found["environment"] == {
        "PGHOST": "db.example.com",
        "PGPORT": "6432",
        "PGUSER": "fleet",
        "PGDATABASE": "usage",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/etc/ca.pem",
    }
    line = connection.password_line(found["environment"], found["password"])
    assert line == "db.example.com:6432:usage:fleet:p@ss\\:word"
    assert connection.password_line({}, "a\\b") == "::::a\\\\b"


def test_what_is_shown_of_a_url_has_no_secret() -> None:
    assert connection.place(URL) == "postgresql://db.example.com:6432/usage?sslmode=verify-full"
    assert connection.place("postgresql://u:p@[2001:db8::1]/d") == "postgresql://[2001:db8::1]:5432/d"
    assert connection.place("") == connection.place("nonsense") == ""
    assert connection.of_url("nonsense") == {"environment": {}, "password": ""}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:sekret@h/d", "its scheme is none of"),
        ("postgresql://u:sekret@/d", "it names no host"),
        ("postgresql://u:sekret@h", "are not all there"),
        ("postgresql://u:sekret@h/", "are not all there"),
        ("postgresql://sekret@h/d", "are not all there"),
        ("postgresql://u:sekret@h:0/d", "are not all there"),
        ("postgresql://u:sekret@h:port/d", "cannot be read as a URL"),
        ("postgresql://u:sek/ret@h/d", "cannot be read as a URL"),
        ("postgresql://u:sekret@h/d?sslmode=no", "its sslmode is none of"),
        ("postgresql://u:sekret@h/d?options=sekret", "it has parameters other than"),
        ("postgresql://u:sekret%0a@h/d", "it has a control character"),
    ],
)
def test_a_wrong_url_is_refused_and_never_shown(url: str, words: str) -> None:
    told = render(connection.problems([], ["gateway1"], ["gateway1"], url))
    assert words in told
    assert "sek" not in told
    assert "llm_database_url" in told
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in told


def test_a_right_database_is_no_problem() -> None:
    assert connection.problems([], ["gateway1"], ["gateway1"], "") == []
    assert connection.problems([], ["gateway1"], ["gateway1"], URL) == []
    assert connection.problems(["gpu1"], ["gateway1", "gpu1"], ["gateway1"], "") == []


def test_the_group_of_the_database() -> None:
    two = render(connection.problems(["a", "b"], ["a", "b"], ["a"], ""))
    assert two.startswith('groups.llm_database is ["a", "b"]: the database runs on one host')
    (outside,) = connection.problems(["db1"], ["a"], ["a"], "")
    assert (outside.host, "put db1 into llm_inference" in outside.remedy) == ("db1", True)
    both = render(connection.problems(["a"], ["a"], ["a"], URL))
    assert "leave one of them" in both
    assert "word" not in both.replace("password", "")
    nobody = FilterModule().filters()["database_problems"](["a"], ["a"], [], "")
    assert "no host is in the group llm_gateway" in nobody[0]["problem"]
    assert "(hidden)" in render(connection.problems([], ["a"], [], URL))


def test_networks_of_addresses() -> None:
    addresses = ["10.0.0.1", "[2001:db8::1]", "10.0.0.1", "gateway.example.com"]
    assert connection.networks(addresses) == ["10.0.0.1/32", "2001:db8::1/128"]
