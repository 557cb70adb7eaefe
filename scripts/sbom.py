#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the bill of materials of what the collection installs, in the format CycloneDX 1.6.

sbom.py build/sbom.cdx.json

It has the packages of all locks of environments on hosts and on the control node with the hashes that are accepted,
the images, and the distribution packages that roles name, whose versions are the distribution's. Packages that a role
chooses on the host (driver, container engine, container toolkit) and what only tests need are left out. The same
checkout always gives the same file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# On the control node; the other locks in that folder are for tests.
CONTROL = ("control", "uv")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
IMAGE = re.compile(r"(?P<registry>[^/]+)/(?P<path>[^:@]+):(?P<tag>[^@]+)(?:@sha256:(?P<digest>[0-9a-f]{64}))?")
# Keys under which roles name distribution packages, and packages inside an expression.
NAMED = re.compile(r"names|beside|system|service_base_packages|\w+_system_packages")
QUOTED = re.compile(r"'([a-z0-9][a-z0-9+.-]+)'")


def hashes(found: list[str]) -> list[HashType]:
    """Return SHA-256 hashes in the model's form."""
    return [HashType(alg=HashAlgorithm.SHA_256, content=one) for one in found]


def locks(root: Path) -> dict[str, Path]:
    """Return the locks of environments by the environments' names."""
    control = {path.stem: path for path in root.glob("requirements/*.txt") if path.stem in CONTROL}
    return dict(sorted({**control, **{path.stem: path for path in root.glob("roles/*/files/*.txt")}}.items()))


def requirements(lock: Path) -> Iterator[tuple[Requirement, list[str]]]:
    """Yield each requirement of a lock with its hashes."""
    for line in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        wanted = line.partition(" --hash")[0].strip()
        if wanted and not wanted.startswith(("#", "-")):
            yield Requirement(wanted), HASH.findall(line)


def python_packages(root: Path) -> tuple[list[Component], dict[str, list[Component]]]:
    """Return the packages of all locks, each once, and those of each environment."""
    known: dict[str, Component] = {}
    environments: dict[str, list[Component]] = {}
    for environment, lock in locks(root).items():
        for wanted, accepted in requirements(lock):
            version = next(iter(wanted.specifier)).version
            url = PackageURL("pypi", None, canonicalize_name(wanted.name), version)
            reference = str(url)
            package = known.setdefault(
                reference,
                Component(
                    name=canonicalize_name(wanted.name),
                    version=version,
                    type=ComponentType.LIBRARY,
                    purl=url,
                    bom_ref=reference,
                ),
            )
            package.hashes.update(hashes(accepted))
            environments.setdefault(environment, []).append(package)
    return list(known.values()), environments


def images(root: Path) -> list[Component]:
    """Return the images of the shipped catalogue."""
    catalog = yaml.safe_load((root / "group_vars" / "all" / "llm_images.yml").read_text(encoding="utf-8"))
    found = []
    for entry in catalog["llm_image_catalog"].values():
        parts = IMAGE.fullmatch(entry["image"])
        if not parts:
            raise SystemExit(f"sbom: {entry['image']} in group_vars/all/llm_images.yml is no image with a tag.")
        name = parts["path"].rpartition("/")[2]
        where = {"repository_url": f"{parts['registry']}/{parts['path']}", "tag": parts["tag"]}
        # A package URL of an image has its digest in place of a version.
        url = PackageURL("oci", None, name, f"sha256:{parts['digest']}" if parts["digest"] else None, where)
        found.append(
            Component(
                name=f"{parts['registry']}/{parts['path']}",
                version=parts["tag"],
                type=ComponentType.CONTAINER,
                purl=url,
                bom_ref=str(url),
                hashes=hashes([parts["digest"]] if parts["digest"] else []),
            )
        )
    return found


def named(value: Any) -> Iterator[str]:
    """Yield the distribution packages that a role's YAML names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if NAMED.fullmatch(str(key)) and isinstance(inner, (list, str)):
                names = inner if isinstance(inner, list) else QUOTED.findall(inner)
                yield from (name for name in names if isinstance(name, str) and "{" not in name)
            else:
                yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)


def distribution_packages(root: Path) -> list[Component]:
    """Return the distribution packages that roles name."""
    found: dict[str, set[str]] = {}
    for path in [*root.glob("roles/*/tasks/*.yml"), *root.glob("roles/*/defaults/*.yml")]:
        for name in named(yaml.safe_load(path.read_text(encoding="utf-8"))):
            found.setdefault(name, set()).add(path.relative_to(root).parts[1])
    components = []
    for name, roles in sorted(found.items()):
        url = PackageURL("deb", "debian", name)
        component = Component(name=name, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url))
        component.properties.update(Property(name="llmfleet:role", value=role) for role in sorted(roles))
        components.append(component)
    return components


def when(root: Path) -> datetime:
    """Return the time of the checkout's last commit, or SOURCE_DATE_EPOCH."""
    told = (
        os.environ.get("SOURCE_DATE_EPOCH")
        or subprocess.run(
            ["git", "log", "-1", "--format=%ct"], cwd=root, stdout=subprocess.PIPE, text=True, check=False
        ).stdout
    )
    return datetime.fromtimestamp(int(told.strip() or 0), timezone.utc)


def bill(root: Path) -> Bom:
    """Return the bill of materials of a checkout."""
    version = str(yaml.safe_load((root / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    url = PackageURL("generic", "llmfleet", "serving", version)
    collection = Component(
        name="llmfleet.serving", version=version, type=ComponentType.APPLICATION, purl=url, bom_ref=str(url)
    )
    packages, environments = python_packages(root)
    rest = images(root) + distribution_packages(root)
    applications = [
        Component(name=name, type=ComponentType.APPLICATION, bom_ref=f"environment:{name}") for name in environments
    ]
    bom = Bom(components=[*packages, *applications, *rest])
    bom.metadata.component = collection
    bom.metadata.timestamp = when(root)
    for application in applications:
        needed = [Dependency(package.bom_ref) for package in environments[application.name]]
        bom.dependencies.add(Dependency(application.bom_ref, needed))
    bom.dependencies.add(Dependency(collection.bom_ref, [Dependency(one.bom_ref) for one in [*applications, *rest]]))
    # The number is that of the content, so another content has another one.
    bom.serial_number = uuid.UUID(int=0)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, text(bom))
    return bom


def text(bom: Bom) -> str:
    """Return the file's content."""
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def main(target: str) -> int:
    """Write the file."""
    bom = bill(ROOT)
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(bom), encoding="utf-8")
    print(f"sbom: {path} has {len(bom.components)} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
