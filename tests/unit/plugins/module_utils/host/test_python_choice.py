# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import python_choice

PAGE = {"program": "Open WebUI", "versions": ["3.11", "3.12"]}
RELEASE = "3.11.18"


@pytest.mark.parametrize(
    ("version", "brought"),
    [("3.11.2", ""), ("3.12.0rc1", ""), ("3.13.5", RELEASE), ("3.14.0", RELEASE), ("3.1", RELEASE), ("", RELEASE)],
)
def test_the_hosts_python_is_taken_where_it_fits(version: str, brought: str) -> None:
    (one,) = python_choice.choose([PAGE, {"program": "vLLM", "versions": []}], version, RELEASE)
    assert one == {**PAGE, "version": version, "brought": brought}


REFUSED = """h: service_python is "/usr/bin/python3 (Python 3.13.5)": Open WebUI needs Python 3.11 or 3.12,
and llm_python_downloads is false; set llm_python_downloads to true, so that uv brings Python 3.11.18;
or set service_python to a Python 3.11 or 3.12 on this host; or set llm_package to container."""
UNFIT = """h: service_python_release is "3.14.1": Open WebUI needs Python 3.11 or 3.12;
give the latest release of Python 3.11 or 3.12."""
BROKEN = """h: service_python is "/usr/bin/python3": it cannot be run,
and the tools that install every environment are built on it; name an interpreter that this host has."""


@pytest.mark.parametrize(
    ("version", "release", "can_bring", "sentence"),
    [
        ("3.11.2", RELEASE, False, ""),
        ("3.13.5", RELEASE, True, ""),
        ("3.13.5", RELEASE, False, REFUSED),
        ("3.13.5", "3.14.1", True, UNFIT),
        ("", RELEASE, True, BROKEN),
    ],
)
def test_a_host_is_refused_where_no_python_would_fit(
    version: str, release: str, can_bring: bool, sentence: str
) -> None:
    chosen = python_choice.choose([PAGE], version, release)
    found = python_choice.problems("h", "/usr/bin/python3", chosen, can_bring)
    assert [problem.sentence() for problem in found] == ([sentence.replace("\n", " ")] if sentence else [])


def test_a_release_is_counted_once_and_only_where_it_is_brought() -> None:
    proxy = {"program": "LiteLLM", "versions": ["3.13"]}
    (release,) = python_choice.disk(python_choice.choose([PAGE, PAGE, proxy], "3.13.5", RELEASE), "/opt/x/python")
    assert release == {
        "path": "/opt/x/python",
        "needed_mib": python_choice.RELEASE_MIB,
        "purpose": "Python 3.11.18",
        "creates": "/opt/x/python/cpython-3.11.18-*/bin/python3",
    }
    assert (
        python_choice.disk(python_choice.choose([PAGE, proxy], "3.12.3", "3.13.1"), "/x")[0]["purpose"]
        == "Python 3.13.1"
    )
    assert python_choice.disk(python_choice.choose([PAGE], "3.12.3", RELEASE), "/x") == []
