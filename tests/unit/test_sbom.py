# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bill of materials is valid, complete, and the same whenever it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

# An environment that was made before the lock had it; make renews it.
pytest.importorskip("cyclonedx")
import sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    return sbom.text(sbom.bill(ROOT))


@pytest.fixture(scope="module")
def components(text: str) -> dict[str, Any]:
    return {one["bom-ref"]: one for one in json.loads(text)["components"]}


def test_it_is_what_the_schema_of_cyclonedx_1_6_asks_for(text: str) -> None:
    assert json.loads(text)["specVersion"] == "1.6"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_is_always_the_same(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sbom.text(sbom.bill(ROOT)) == text
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert sbom.main(str(tmp_path / "build" / "sbom.json")) == 0
    other = json.loads((tmp_path / "build" / "sbom.json").read_text())
    assert other["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert other["serialNumber"] != json.loads(text)["serialNumber"]


def test_every_package_of_every_lock_is_in_it_with_its_hashes(text: str, components: dict[str, Any]) -> None:
    needs = {one["ref"]: one.get("dependsOn", []) for one in json.loads(text)["dependencies"]}
    found = sbom.locks(ROOT)
    assert set(found) == {"control", "uv", "tools", "gate", "litellm", "open-webui", "vllm-cpu", "vllm-cuda"}
    for name, lock in found.items():
        pinned = list(sbom.requirements(lock))
        assert sum(len(accepted) for _wanted, accepted in pinned) == lock.read_text().count("--hash=")
        assert len(needs[f"environment:{name}"]) == len({(wanted.name, str(wanted.specifier)) for wanted, _ in pinned})
        by_name = {(components[one]["name"], components[one]["version"]): one for one in needs[f"environment:{name}"]}
        for wanted, accepted in pinned:
            package = components[by_name[sbom.canonicalize_name(wanted.name), str(wanted.specifier).lstrip("=")]]
            assert set(accepted) <= {one["content"] for one in package["hashes"]}


def test_images_and_distribution_packages_are_in_it(components: dict[str, Any]) -> None:
    catalog = yaml.safe_load((ROOT / "group_vars/all/llm_images.yml").read_text())["llm_image_catalog"]
    for entry in catalog.values():
        name, _, digest = entry["image"].partition("@sha256:")
        (image,) = [one for one in components.values() if f"{one['name']}:{one.get('version')}" == name]
        assert [one["content"] for one in image.get("hashes", [])] == ([digest] if digest else [])
        assert (f"@sha256:{digest}" in image["purl"]) == bool(digest)
    names = {one["name"] for one in components.values() if one.get("purl", "").startswith("pkg:deb/debian/")}
    assert {"nginx", "prometheus", "prometheus-node-exporter", "openssl", "libsndfile1", "libnuma1", "g++"} <= names
    (nginx,) = [one for one in components.values() if one.get("purl") == "pkg:deb/debian/nginx"]
    assert nginx["properties"] == [{"name": "llmfleet:role", "value": "nginx"}]


def test_an_image_without_a_tag_is_refused(tmp_path: Path) -> None:
    (tmp_path / "group_vars/all").mkdir(parents=True)
    (tmp_path / "group_vars/all/llm_images.yml").write_text("llm_image_catalog: {web: {image: docker.io/web}}\n")
    with pytest.raises(SystemExit, match=r"docker.io/web in group_vars/all/llm_images.yml is no image with a tag"):
        sbom.images(tmp_path)
