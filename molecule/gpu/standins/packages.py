# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for what NVIDIA's packages hold: archive.py makes packages of this table.

Three driver versions: the one that a branch's first installation finds is not the newest of the branch where it is
pinned, and the newest of all (595) must never come by itself. What a package does when it is installed is done by its
scripts: a DKMS package builds its module only where the running kernel's headers are.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent / "packages"
HOST = "http://gpu-archive"
KEYRING = "cuda-keyring"
KEY = Path("/root/bench-gnupg/key.gpg")
RELEASE = os.uname().release
TRIPLET = f"{platform.machine()}-linux-gnu"
ARCHITECTURE = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
DRIVERS = ("580.95.05", "580.105.08", "595.71.05")
TOOLKITS = ("1.18.0", "1.18.1")

# Stand-in for dkms: "builds" every source there is for the running kernel, if its headers are there; it never fails.
DKMS_INSTALL = """#!/bin/sh
release=$(uname -r)
[ "$1" = configure ] || exit 0
for source in /usr/src/nvidia-*/flavour; do
  [ -e "$source" ] || continue
  if [ -e "/lib/modules/$release/build/Makefile" ]; then
    mkdir -p "/lib/modules/$release/updates/dkms"
    cp "$source" "/lib/modules/$release/updates/dkms/nvidia.ko"
  else
    echo "Error! Your kernel headers for kernel $release cannot be found." >&2
  fi
done
"""
DKMS_REMOVE = """#!/bin/sh
rm -rf "/lib/modules/$(uname -r)/updates"
"""
UNIT_INSTALL = """#!/bin/sh
systemctl daemon-reload
[ "$1" = configure ] && [ -z "$2" ] && {commands}
exit 0
"""
UNIT_REMOVE = """#!/bin/sh
[ "$1" = upgrade ] || systemctl disable --now {units}
exit 0
"""
UNIT_GONE = """#!/bin/sh
systemctl daemon-reload
"""


@dataclass
class Package:
    name: str
    version: str
    depends: list[str] = field(default_factory=list)
    provides: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    files: dict[str, tuple[str | bytes, int]] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    architecture: str = ARCHITECTURE


def brought(name: str, mode: int = 0o644, **values: str) -> tuple[str, int]:
    text = (HERE / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text, mode


def unit_scripts(*units: str, commands: str = ":") -> dict[str, str]:
    names = " ".join(units)
    return {
        "postinst": UNIT_INSTALL.format(commands=commands),
        "prerm": UNIT_REMOVE.format(units=names),
        "postrm": UNIT_GONE,
    }


def keyring(repository: str) -> Package:
    """Key, source and preference, as the real cuda-keyring brings them."""
    key = "/usr/share/keyrings/cuda-archive-keyring.gpg"
    source = f"deb [signed-by={key}] {HOST}/{repository}/ /\n"
    distribution = repository.split("/")[-2]
    pin = "Package: *\nPin: release l=NVIDIA CUDA\nPin-Priority: 600\n"
    return Package(
        KEYRING,
        "1.1-1",
        architecture="all",
        files={
            key: (KEY.read_bytes(), 0o644),
            f"/etc/apt/sources.list.d/cuda-{distribution}-x86_64.list": (source, 0o644),
            "/etc/apt/preferences.d/cuda-repository-pin-600": (pin, 0o644),
        },
    )


def pinning() -> Iterator[Package]:
    branches = sorted({version.partition(".")[0] for version in DRIVERS})
    for wanted in (*branches, *DRIVERS):
        names = "src:*nvidia* *nvidia* *cuda-drivers* libcuda* libxnvctrl* libnvsdm* nvlsm"
        pin = f"Package: {names}\nPin: version {wanted}*\nPin-Priority: 1000\n"
        yield Package(
            f"nvidia-driver-pinning-{wanted}",
            f"{wanted}-1",
            provides=["nvidia-driver-pinning"],
            conflicts=["nvidia-driver-pinning"],
            architecture="all",
            files={f"/etc/apt/preferences.d/nvidia-driver-pinning-{wanted}.pref": (pin, 0o644)},
        )


def driver(version: str, *, ubuntu: bool) -> Iterator[Package]:
    """The packages of one version. Ubuntu's carry the branch in their names before 590, Debian's never do."""
    full = f"{version}-0ubuntu1" if ubuntu else f"{version}-1"
    branch = version.partition(".")[0]
    suffix = f"-{branch}" if ubuntu and int(branch) < 590 else ""
    same = f"(= {full})"
    if ubuntu:
        libraries, program = [f"libnvidia-compute{suffix}"], f"nvidia-utils{suffix}"
        dkms = {"open": f"nvidia-dkms{suffix}-open", "proprietary": f"nvidia-dkms{suffix}"}
    else:
        libraries, program = ["libcuda1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1"], "nvidia-smi"
        dkms = {"open": "nvidia-kernel-open-dkms", "proprietary": "nvidia-kernel-dkms"}
    contents = {
        "libcuda1": [f"libcuda.so.{version}"],
        "libnvidia-ml1": [f"libnvidia-ml.so.{version}"],
        "libnvidia-ptxjitcompiler1": [f"libnvidia-ptxjitcompiler.so.{version}"],
    }
    # Of a part there is one branch at a time, and the name without a branch stands for it.
    base = {name: [name.replace(suffix, "")] if suffix else [] for name in (*libraries, program, *dkms.values())}
    for library in libraries:
        names = contents.get(library) or [name for names in contents.values() for name in names]
        files = {f"/usr/lib/{TRIPLET}/{name}": ("stand-in\n", 0o644) for name in names}
        yield Package(library, full, provides=base[library], conflicts=base[library], files=files)
    yield Package(
        program,
        full,
        provides=base[program],
        conflicts=base[program],
        depends=[f"{library} {same}" for library in libraries],
        files={"/usr/bin/nvidia-smi": brought("nvidia-smi", 0o755)},
    )
    for flavour, name in dkms.items():
        others = [other for other in dkms.values() if other != name]
        source = {f"/usr/src/nvidia-{version}/flavour": (f"{flavour} {version}\n", 0o644)}
        scripts = {"postinst": DKMS_INSTALL, "prerm": DKMS_REMOVE}
        others += base[name]
        yield Package(name, full, provides=base[name], conflicts=others, files=source, scripts=scripts)
    parts = [f"{name} {same}" for name in (*libraries, program, "nvidia-persistenced")]
    yield Package("nvidia-open", full, depends=[*parts, f"{dkms['open']} {same}"])
    yield Package("cuda-drivers", full, depends=[*parts, f"{dkms['proprietary']} {same}"])
    yield Package(
        "nvidia-persistenced",
        full,
        files={
            "/usr/bin/nvidia-persistenced": brought("nvidia-persistenced", 0o755),
            "/usr/lib/systemd/system/nvidia-persistenced.service": brought(
                "nvidia-persistenced.service", persistence="--no-persistence-mode" if ubuntu else ""
            ),
        },
        scripts=unit_scripts("nvidia-persistenced.service"),
    )
    yield Package(
        "nvidia-fabricmanager",
        full,
        provides=[f"nvidia-fabricmanager-{branch}"],
        files={
            "/usr/bin/nv-fabricmanager": brought("nv-fabricmanager", 0o755, version=version),
            "/usr/lib/systemd/system/nvidia-fabricmanager.service": brought("nvidia-fabricmanager.service"),
        },
        scripts=unit_scripts("nvidia-fabricmanager.service"),
    )


def toolkit(version: str) -> Iterator[Package]:
    full = f"{version}-1"
    same = f"(= {full})"
    enable = "systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"
    yield Package(
        "nvidia-container-toolkit-base",
        full,
        files={
            "/usr/bin/nvidia-ctk": brought("nvidia-ctk", 0o755, version=version),
            "/usr/lib/bench/nvidia-smi": brought("nvidia-smi-in-container", 0o755),
            "/etc/systemd/system/nvidia-cdi-refresh.service": brought("nvidia-cdi-refresh.service"),
            "/etc/systemd/system/nvidia-cdi-refresh.path": brought("nvidia-cdi-refresh.path"),
        },
        scripts=unit_scripts("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service", commands=enable),
    )
    yield Package("libnvidia-container1", full)
    yield Package("libnvidia-container-tools", full, depends=[f"libnvidia-container1 {same}"])
    needs = [f"{name} {same}" for name in ("nvidia-container-toolkit-base", "libnvidia-container-tools")]
    runtime = {"/usr/bin/nvidia-container-runtime": brought("nvidia-container-runtime", 0o755)}
    yield Package("nvidia-container-toolkit", full, depends=needs, files=runtime)


def kernel() -> Iterator[Package]:
    """Headers of the running kernel, which is no kernel of the hosts' distribution."""
    name = f"linux-headers-{RELEASE}"
    makefile = {f"/usr/lib/modules/{RELEASE}/build/Makefile": ("# stand-in\n", 0o644)}
    yield Package(name, "999-1", files=makefile, scripts={"postinst": DKMS_INSTALL})
    # Above the distribution's, which would bring a compiler and the headers of its own kernel.
    for meta in ("linux-headers-amd64", "linux-headers-arm64"):
        yield Package(meta, "999-1", depends=[name])


def repositories() -> dict[str, list[Package]]:
    found: dict[str, list[Package]] = {"kernel": list(kernel())}
    for distribution in ("debian12", "debian13", "ubuntu2404"):
        path = f"compute/cuda/repos/{distribution}/x86_64"
        ubuntu = distribution.startswith("ubuntu")
        drivers = [package for version in DRIVERS for package in driver(version, ubuntu=ubuntu)]
        found[path] = [keyring(path), *pinning(), *drivers]
    found[f"libnvidia-container/stable/deb/{ARCHITECTURE}"] = [p for v in TOOLKITS for p in toolkit(v)]
    return found
