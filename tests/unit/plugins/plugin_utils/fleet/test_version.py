# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of the collection are read from its files and compared; a host that has a newer one is refused."""

from __future__ import annotations

import json

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import render
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import version

ASCENDING = [
    "0.1.0-alpha",
    "0.1.0-alpha.2",
    "0.1.0-alpha.10",
    "0.1.0-rc.1",
    "0.1.0",
    "0.1.1",
    "0.2.0",
    "0.10.0",
    "1.0.0",
]


@pytest.mark.parametrize(("older", "newer"), list(zip(ASCENDING, ASCENDING[1:])))
def test_versions_compare_as_semantic_versions(older: str, newer: str) -> None:
    assert version.is_newer(newer, older)
    assert not version.is_newer(older, newer)
    assert not version.is_newer(newer, newer)


@pytest.mark.parametrize("odd", ["", "1.0", "v1.0.0", None, 7, "9.9.9 or so", "1.0.0\n"])
def test_what_is_no_version_is_newer_than_nothing(odd: object) -> None:
    assert not version.is_newer(odd, "0.1.0")
    assert not version.is_newer("0.1.0", odd)


def test_build_metadata_does_not_count() -> None:
    assert not version.is_newer("0.1.0+build.7", "0.1.0")


@pytest.mark.parametrize("line", ["version: 0.2.0", 'version: "0.2.0"', "version: '0.2.0'  # next", "version:   0.2.0"])
def test_a_checkout_states_its_version_in_galaxy_yml(line: str) -> None:
    assert version.from_galaxy(f"namespace: llmfleet\n{line}\nreadme: README.md\n") == "0.2.0"


def test_a_galaxy_yml_without_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no version"):
        version.from_galaxy("namespace: llmfleet\n")


def test_an_installed_collection_states_its_version_in_its_manifest() -> None:
    assert version.from_manifest(json.dumps({"collection_info": {"version": "0.2.0"}})) == "0.2.0"


def test_a_host_that_a_newer_version_set_up_is_named_with_both_versions_and_the_remedy() -> None:
    recorded = {
        "new": {"version": "0.2.0"},
        "same": {"version": "0.1.0"},
        "old": {"version": "0.0.9"},
        "before-versions": {"secrets_id": "0123"},
        "bare": {},
        "broken": "error loading facts as JSON or ini - please check content",
    }
    (problem,) = version.problems(recorded, "0.1.0")
    text = render([problem])
    assert text.startswith("new: ")
    assert '"0.1.0"' in text
    assert "version 0.2.0 set up this host" in text
    assert "ansible-galaxy collection install 'llmfleet.serving:>=0.2.0'" in text
    assert "-e llm_downgrade=true" in text
