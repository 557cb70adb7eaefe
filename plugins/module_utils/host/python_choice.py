# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Choose the Python for an application's environment: the host's own if it fits, else one that uv installs.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

# MiB of a release of python-build-standalone: its archive, and what is unpacked from it.
RELEASE_MIB = 200


def minor(version: str) -> str:
    """Return the first two numbers of a version: ``3.12.4`` is a ``3.12``."""
    return ".".join(version.split(".")[:2])


def choose(pythons: Iterable[dict[str, Any]], version: str, release: str) -> list[dict[str, Any]]:
    """Return each program with the version of the host's Python, and with the release that uv installs instead, if any.

    :param pythons: ``{program, versions}``: the versions (``3.12``) that the program's lock is for. A program without
        versions has no environment on this host, and is left out.
    :param version: what was measured of the host's Python; empty where it cannot be run.
    :param release: exact version that uv brings, ``3.11.18``.
    """
    return [
        {**python, "version": version, "brought": "" if minor(version) in python["versions"] else release}
        for python in pythons
        if python["versions"]
    ]


def problems(host: str, path: str, chosen: Iterable[dict[str, Any]], can_bring: bool) -> list[Problem]:
    """Return a problem for each program without a suitable Python on the host.

    :param path: the interpreter that was measured.
    :param chosen: what :func:`choose` returned.
    :param can_bring: whether uv may bring a release, or has brought it.
    """
    found = []
    for one in chosen:
        versions = " or ".join(one["versions"])
        if not one["version"]:
            text = "it cannot be run, and the tools that install every environment are built on it"
            return [Problem("service_python", path, text, "name an interpreter that this host has", host)]
        if one["brought"] and minor(one["brought"]) not in one["versions"]:
            text = f"{one['program']} needs Python {versions}"
            remedy = f"give the latest release of Python {versions}"
            found.append(Problem("service_python_release", one["brought"], text, remedy, host))
        elif one["brought"] and not can_bring:
            text = f"{one['program']} needs Python {versions}, and llm_python_downloads is false"
            remedy = (
                f"set llm_python_downloads to true, so that uv brings Python {one['brought']}; "
                f"or set service_python to a Python {versions} on this host; or set llm_package to container"
            )
            found.append(Problem("service_python", f"{path} (Python {one['version']})", text, remedy, host))
    return found


def disk(chosen: Iterable[dict[str, Any]], root: str) -> list[dict[str, Any]]:
    """Return the disk space of the releases that uv installs, each release once.

    :param root: directory of the releases on the host.
    """
    return [
        {
            "path": root,
            "needed_mib": RELEASE_MIB,
            "purpose": f"Python {release}",
            "creates": f"{root}/cpython-{release}-*/bin/python3",
        }
        for release in sorted({one["brought"] for one in chosen if one["brought"]})
    ]
