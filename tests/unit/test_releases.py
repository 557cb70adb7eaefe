# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every release that a lock or an image of the three large applications pins has the day on which it was published."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RELEASES = yaml.safe_load((ROOT / "roles/fleet_defaults/defaults/main/doctor.yml").read_text())["llm_releases"]
IMAGES = yaml.safe_load((ROOT / "group_vars/all/llm_images.yml").read_text())["llm_image_catalog"]
INPUTS = [
    ("vllm", "roles/vllm/files/vllm-cuda.in"),
    ("vllm", "roles/vllm/files/vllm-cpu.in"),
    ("litellm", "roles/litellm/files/litellm.in"),
    ("open_webui", "roles/open_webui/files/open-webui.in"),
]


@pytest.mark.parametrize("name", sorted({name for name, _ in INPUTS}))
def test_a_release_has_a_date(name: str) -> None:
    released = RELEASES[name]["released"]
    assert isinstance(released, str), "a date of YAML is no text: write it in quotes"
    assert date(2026, 1, 1) < date.fromisoformat(released) <= date.today()


@pytest.mark.parametrize(("name", "source"), INPUTS)
def test_the_date_is_that_of_the_pinned_version(name: str, source: str) -> None:
    renovated = re.findall(r"^# renovate: .*\n[\w-]+(?:\[\w+\])?==(\S+)$", (ROOT / source).read_text(), re.M)
    assert renovated in ([RELEASES[name]["version"]], []), f"set the version and its date in llm_releases.{name}"
    assert f"=={RELEASES[name]['version']}\n" in (ROOT / source).read_text()


@pytest.mark.parametrize("name", sorted({name for name, _ in INPUTS}))
def test_the_image_is_the_same_release(name: str) -> None:
    assert IMAGES[name]["image"].rpartition(":")[2] == f"v{RELEASES[name]['version']}"
