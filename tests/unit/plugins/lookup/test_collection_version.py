# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that reads the collection's version, in a checkout and in an installed collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleLookupError
from ansible_collections.llmfleet.serving.plugins.lookup import collection_version

ROOT = Path(__file__).resolve().parents[4]


def test_a_checkout_has_the_version_of_its_galaxy_yml() -> None:
    stated = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert collection_version.LookupModule().run([]) == [stated]


def test_an_installed_collection_has_the_version_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "0.3.0"}}))
    assert collection_version.read(tmp_path) == "0.3.0"


@pytest.mark.parametrize(
    ("name", "text"), [("MANIFEST.json", "{}"), ("MANIFEST.json", "not JSON"), ("galaxy.yml", "name: x\n")]
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AnsibleLookupError, match=f"{name}: the collection's version cannot be read"):
        collection_version.read(tmp_path)


def test_a_folder_without_either_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match=f"{tmp_path} has neither"):
        collection_version.read(tmp_path)
