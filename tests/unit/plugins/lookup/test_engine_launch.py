# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What files of the control node add to the start of engines: package, unit and key, and no readable secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.llmfleet.serving.plugins.lookup import engine_launch

KEY = "sk-engine-0123456789"
IMAGE = "registry/vllm:1@sha256:" + "0" * 64


def looked_up(lock: str = "vllm-cpu.txt", **options: Any) -> dict[str, Any]:
    lookup = engine_launch.LookupModule(loader=DataLoader())
    (found,) = lookup.run([lock], variables={}, **options)
    assert KEY not in json.dumps(found)
    return dict(found)


def test_an_environment_is_named_by_lock_and_python(tmp_path: Path) -> None:
    found = [
        looked_up(lock, python=python)["package"]
        for lock in ("vllm-cpu.txt", "vllm-cuda.txt")
        for python in (["/usr/bin/python3", "3.11"], ["/usr/bin/python3", "3.12"])
    ]
    assert len(set(found)) == 4
    assert all(one.startswith("environment ") for one in found)
    (own := tmp_path / "own.txt").write_text("vllm==1\n")
    assert looked_up(str(own))["package"] not in found
    # A lock that is not there is refused elsewhere.
    assert looked_up(str(tmp_path / "none.txt"))["package"] == looked_up("none.txt")["package"]


def test_an_image_is_named_as_it_is() -> None:
    assert looked_up(image=IMAGE)["package"] == looked_up(image={"image": IMAGE})["package"] == IMAGE
    assert looked_up(image=IMAGE)["unit"] != looked_up(image={"image": IMAGE, "programs": {"python": "py"}})["unit"]


def test_each_manager_and_kind_of_package_has_its_own_unit() -> None:
    units = [
        looked_up(manager=manager, image=image, unit=unit)["unit"]
        for manager in ("systemd", "supervisor")
        for image in ("", IMAGE)
        for unit in ([], ["cdi", True])
    ]
    assert len({json.dumps(one) for one in units}) == 8
    assert looked_up(unit=[True, 1])["unit"] == looked_up(unit=["True", "1"])["unit"], (
        "whatever Ansible makes of a template"
    )


@pytest.mark.parametrize("name", ["unit.service.j2", "secrets.env.j2"])
def test_another_template_is_another_unit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = looked_up()["unit"]
    for folder in ("roles/service/templates", "roles/vllm/files"):
        (tmp_path / folder).mkdir(parents=True)
        for path in (engine_launch.ROOT / folder).iterdir():
            if path.is_file():
                (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(engine_launch, "ROOT", tmp_path)
    assert engine_launch.files("systemd", False) == before[0]
    with (tmp_path / "roles/service/templates" / name).open("a") as template:
        template.write("another line")
    assert engine_launch.files("systemd", False) != before[0]


def test_a_key_has_a_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "secrets.yml"
    stored = {"secrets_file": str(file)}
    assert looked_up(**stored)["key"] == looked_up()["key"] == ""
    file.write_text(f"id: 12\nsecrets: {{vllm_api_key: {KEY}}}\n")
    fingerprint = looked_up(key=KEY)["key"]
    assert len(fingerprint) == 12
    assert looked_up(**stored)["key"] == fingerprint
    assert looked_up(key="sk-another-0123456789", **stored)["key"] != fingerprint
    # It is told before it is generated; a key that the inventory sets is the one that counts.
    for rotate in ("litellm_master_key,vllm_api_key", ["vllm_api_key"]):
        assert looked_up(rotate=rotate, **stored)["key"] == "a new one"
        assert looked_up(rotate=rotate, key=KEY, **stored)["key"] == fingerprint
    assert looked_up(rotate=["litellm_master_key"], **stored)["key"] == fingerprint
    for content in ("secrets: [", "secrets: []\n", "$ANSIBLE_VAULT;1.1;AES256\n33\n", "id: 1\n"):
        file.write_text(content)
        assert looked_up(**stored)["key"] == ""
