# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine without an NVIDIA card nothing happened."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["docker://gpu-none"]


def test_nothing_is_installed(installed: dict[str, str]) -> None:
    assert [package for package in installed if "nvidia" in package or "cuda" in package or "docker" in package] == []


def test_nothing_differs_from_the_virgin_host(host: Any) -> None:
    assert host.check_output("/srv/files/fingerprint.sh compare virgin") == ""
