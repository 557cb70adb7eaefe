# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package of a service on one distribution, whose packages, units and paths differ from another's.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError

# Keys of ``service_package``; roles/service/meta/argument_specs.yml describes them.
KEYS = ("name", "type", "image", "programs", "requirements", "system", "names", "mask", "beside", "mounts", "gpus")
# Keys whose value may be one for each distribution.
BY_DISTRIBUTION = ("names", "mask")
DEFAULT = "default"


def _choose(package: dict[str, Any], key: str, value: Any, distribution: str, version: str) -> Any:
    if not isinstance(value, dict):
        return value
    family = distribution.lower()
    wanted = [f"{family}{version.split('.')[0]}", family, DEFAULT]
    for name in wanted:
        if name in value:
            return value[name]
    text = f"package {package.get('name')} has nothing there for {distribution} {version}"
    remedy = f"give it as {', '.join(wanted[:2])} or {DEFAULT}"
    raise ProblemsError([Problem(f"service_package.{key}", value, text, remedy)])


def on_distribution(package: dict[str, Any], distribution: str, version: str) -> dict[str, Any]:
    """Return a package with what holds on one distribution in place of what holds on each.

    :param package: ``names``, ``mask`` and the paths of ``programs`` may be dictionaries with keys such as
        ``debian12``, ``ubuntu24``, ``debian`` and ``default``.
    :param distribution: name of the distribution, as Ansible's facts have it.
    :param version: its version, e.g. ``24.04``.
    :raises ProblemsError: for a value that says nothing of this distribution.
    """
    result = dict(package)
    for key in BY_DISTRIBUTION:
        if key in result:
            result[key] = _choose(package, key, result[key], distribution, version)
    programs = {}
    for name, entry in package.get("programs", {}).items():
        where = f"programs.{name}.path"
        if isinstance(entry, dict) and isinstance(entry.get("path"), dict):
            entry = {**entry, "path": _choose(package, where, entry["path"], distribution, version)}
        programs[name] = entry
    result["programs"] = programs
    return result


def summary(images: Iterable[dict[str, Any]], digest: str) -> dict[str, Any]:
    """Return what ``service_packages`` says of a package whose programs come from images.

    :param images: of the package, see ``image.packages``.
    :param digest: what changes with the images.
    """
    programs = {one["name"]: one["path"] for image in images for one in image["programs"]}
    return {
        "programs": programs,
        "bin": "",
        "search_path": None,
        "python": programs.get("python", ""),
        "digest": digest,
        "container": True,
    }


def wrappers(images: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry for each program of each image, ``{reference, program}``: what its wrapper is written from."""
    return [{"reference": image["reference"], "program": one} for image in images for one in image["programs"]]
