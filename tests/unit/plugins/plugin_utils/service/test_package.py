# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package whose names differ by distribution: Valkey, which Debian 12 has under its old name only."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import package

VALKEY: dict[str, Any] = {
    "name": "valkey",
    "type": "system",
    "names": {"debian12": ["redis-server"], "default": ["valkey-server"]},
    "mask": {"debian12": ["redis-server.service"], "ubuntu": ["u.service"], "default": ["valkey-server.service"]},
    "programs": {
        "server": {"path": {"debian12": "/usr/bin/redis-server", "default": "/usr/bin/valkey-server"}},
        "cli": "/usr/bin/cli",
    },
}


@pytest.mark.parametrize(
    ("distribution", "version", "names", "mask", "server"),
    [
        ("Debian", "12", ["redis-server"], ["redis-server.service"], "/usr/bin/redis-server"),
        ("Debian", "12.9", ["redis-server"], ["redis-server.service"], "/usr/bin/redis-server"),
        ("Debian", "13", ["valkey-server"], ["valkey-server.service"], "/usr/bin/valkey-server"),
        ("Ubuntu", "24.04", ["valkey-server"], ["u.service"], "/usr/bin/valkey-server"),
    ],
)
def test_the_closest_name_counts(distribution: str, version: str, names: Any, mask: Any, server: str) -> None:
    found = package.on_distribution(VALKEY, distribution, version)
    assert (found["names"], found["mask"]) == (names, mask)
    assert found["programs"] == {"server": {"path": server}, "cli": "/usr/bin/cli"}


def test_lists_are_those_of_every_distribution() -> None:
    plain = {"name": "x", "names": ["x"], "programs": {"x": ""}}
    assert package.on_distribution(plain, "Debian", "12") == plain


@pytest.mark.parametrize("key", ["names", "mask"])
def test_a_distribution_that_nobody_named_is_refused(key: str) -> None:
    with pytest.raises(ProblemsError) as error:
        package.on_distribution({**VALKEY, key: {"debian12": ["x"]}}, "Ubuntu", "24.04")
    assert str(error.value) == (
        f'service_package.{key} is {{"debian12": ["x"]}}: package valkey has nothing there for Ubuntu 24.04; '
        "give it as ubuntu24, ubuntu or default."
    )


def test_what_is_said_of_a_package_from_images() -> None:
    programs = [
        {"name": "python", "inside": "python3", "path": "/i/a/python"},
        {"name": "b", "inside": "b", "path": "/i/a/b"},
    ]
    images = [{"reference": "a:1", "folder": "/i/a", "programs": programs}]
    found = package.summary(images, "0123")
    assert found["programs"] == {"python": "/i/a/python", "b": "/i/a/b"}
    assert (found["python"], found["digest"], found["search_path"]) == ("/i/a/python", "0123", None)
    assert package.summary([], "")["python"] == ""
    assert package.wrappers(images) == [{"reference": "a:1", "program": one} for one in programs]
