# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Container images as packages: the required form of a reference, and the programs of an image.

Pure functions over values; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError, nearest

# registry.example.com:5000/path/name:tag@sha256:...
REFERENCE = re.compile(
    r"^(?P<name>[a-z0-9]+(?:[._-][a-z0-9]+)*(?::[0-9]+)?(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)
# Names of programs inside an image that differ from ours.
NAMES = {"python": "python3"}


def _text(image: Any) -> str:
    return str((image.get("image") if isinstance(image, dict) else image) or "")


def problem(name: str, image: Any, pinned: bool) -> Problem | None:
    """Return the problem of an image whose reference is not exact.

    :param name: whose image it is, as ``llm_images`` has it.
    :param image: ``registry/name:tag@sha256:...``, or a mapping whose ``image`` is that.
    :param pinned: whether a reference without digest is refused.
    """
    text, variable = _text(image), f"llm_images.{name}"
    found = REFERENCE.match(text)
    if not found:
        return Problem(variable, text, "this is no image", "write registry/name:tag@sha256:digest")
    if found["tag"] in (None, "latest"):
        return Problem(variable, text, "what it means changes by itself", "name a version as its tag")
    if pinned and not found["digest"]:
        remedy = (
            f"add its digest in llm_images (docker buildx imagetools inspect {text}), take whatever the registry calls "
            "so with service_container_digests: false, or do without containers: llm_package: native"
        )
        return Problem(variable, text, "it is not pinned by a digest", remedy)
    return None


def problems(
    images: dict[str, Any], names: Iterable[str], pinned: bool, catalog: Iterable[str] | None = None
) -> list[Problem]:
    """Return a problem for each of the named images that is not exactly one; see :func:`problem`.

    :param catalog: names of the images of the collection; any other name is a problem. It is not checked without.
    """
    known = list(names if catalog is None else catalog)
    found = (problem(name, images.get(name), pinned) for name in names if name in known)
    return [*_unknown({name: images.get(name) for name in names}, known), *(one for one in found if one)]


def _unknown(images: dict[str, Any], known: Iterable[str]) -> list[Problem]:
    """Return a problem for each image whose name none of the collection's images has."""
    text, names = "the collection has no image of this name", list(known)
    return [
        Problem(f"llm_images.{name}", _text(image), text, nearest(str(name), names))
        for name, image in images.items()
        if name not in names
    ]


def reference(name: str, image: Any, pinned: bool) -> str:
    """Return an image's reference.

    :raises ProblemsError: see :func:`problem`.
    """
    wrong = problem(name, image, pinned)
    if wrong:
        raise ProblemsError([wrong])
    return _text(image)


def programs(package: dict[str, Any], native_bin: str) -> dict[str, str]:
    """Return the paths of the programs of a package on the host itself, by name.

    :param package: ``programs``: name to path, to ``{path, image}``, or to nothing where it is ``native_bin/name``.
    """
    result = {}
    for name, entry in package.get("programs", {}).items():
        path = entry.get("path") if isinstance(entry, dict) else entry
        result[name] = str(path or f"{native_bin}/{name}")
    return result


def packages(package: dict[str, Any], root: str, pinned: bool) -> list[dict[str, Any]]:
    """Return the images of a package, each with the programs that run from it.

    :param package: a package of the service role: ``name``, ``image``, ``programs`` (see :func:`programs`).
    :param root: directory of the wrappers, e.g. ``/opt/llmfleet/images``.
    :returns: ``[{reference, folder, programs: [{name, inside, path}]}]``; the folder's name changes with the reference.
    :raises ProblemsError: see :func:`reference`.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, entry in package.get("programs", {}).items():
        own = entry.get("image") if isinstance(entry, dict) else None
        image = own or package.get("image")
        text = reference((name if own else package["name"]).replace("-", "_"), image, pinned)
        inside = (image.get("programs") or {}) if isinstance(image, dict) else {}
        folder = f"{root}/{package['name']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        item = found.setdefault(text, {"reference": text, "folder": folder, "programs": []})
        program = {"name": name, "inside": inside.get(name, NAMES.get(name, name)), "path": f"{folder}/{name}"}
        item["programs"].append(program)
    return list(found.values())


def known_programs(images: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the program of an image for each wrapper: wrapper path to ``{image, program}``."""
    return {
        program["path"]: {"image": image["reference"], "program": program["inside"]}
        for image in images
        for program in image["programs"]
    }


def resolve(catalog: dict[str, Any], own: dict[str, Any], registry: str) -> dict[str, Any]:
    """Return the images in force, by name: the user's in place of shipped ones, these from a mirror if there is one.

    :param catalog: shipped references (or ``{image, programs}``), by name.
    :param own: the user's, which win and are not mirrored: they say where they are.
    :param registry: what takes the place of a shipped image's registry; its path below stays. Empty: nothing does.
    :raises ProblemsError: for each name that is not in the catalogue.
    """
    unknown = _unknown(own, catalog)
    if unknown:
        raise ProblemsError(unknown)
    shipped = {}
    for name, image in catalog.items():
        entry = dict(image) if isinstance(image, dict) else {"image": image}
        if registry:
            first, rest = [*entry["image"].split("/", 1), ""][:2]
            path = rest if rest and re.search(r"[.:]|^localhost$", first) else entry["image"]
            entry["image"] = f"{registry.rstrip('/')}/{path}"
        shipped[name] = entry
    return {**shipped, **own}
