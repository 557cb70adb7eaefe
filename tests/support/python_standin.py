#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a stand-in for a release of python-build-standalone, where the real ones cannot be downloaded.

    python_standin.py FOLDER [RELEASE]

The archive has the name and the layout of a real one; what is in it is this machine's /usr/bin/python3 with its
standard library. It needs the libraries of a distribution that is near enough; a real release needs none. uv carries
the checksums of real releases and takes no other archive for them, so a list of its own (downloads.json) lies beside
it: printed are the two variables of the environment that make uv use both.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

INTERPRETER = "/usr/bin/python3"
BUILD = "20261110"
SOURCE = "https://github.com/astral-sh/python-build-standalone/releases/download"
WHEELS = Path("/usr/share/python-wheels")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "test", "config-*")


def interpreter_facts() -> dict[str, str]:
    """Return the version, the standard library and the program of this machine's Python."""
    program = (
        "import json, os, platform, sysconfig; "
        "print(json.dumps({'version': platform.python_version(), 'library': sysconfig.get_path('stdlib')}))"
    )
    run = subprocess.run([INTERPRETER, "-I", "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return {**json.loads(run.stdout), "program": str(Path(INTERPRETER).resolve())}


def make(folder: Path, release: str = "") -> dict[str, str]:
    """Write the archive and the list of downloads; return the environment that makes uv use them.

    :param release: version that the archive is said to have; the real one if it is empty.
    """
    found = interpreter_facts()
    release = release or found["version"]
    major, minor, patch = release.split(".")
    assert found["version"].startswith(f"{major}.{minor}."), f"{INTERPRETER} is {found['version']}, no {release}"
    tree = folder / "python"
    shutil.copytree(found["library"], tree / f"lib/python{major}.{minor}", ignore=LEFT_OUT)
    (tree / "bin").mkdir()
    shutil.copy(found["program"], tree / f"bin/python{major}.{minor}")
    for name in ("python", "python3"):
        (tree / "bin" / name).symlink_to(f"python{major}.{minor}")
    # Debian keeps the wheels of ensurepip elsewhere.
    bundled = tree / f"lib/python{major}.{minor}/ensurepip/_bundled"
    bundled.mkdir(exist_ok=True)
    for wheel in WHEELS.glob("*.whl"):
        shutil.copy(wheel, bundled)

    architecture = platform.machine()
    name = f"cpython-{release}+{BUILD}-{architecture}-unknown-linux-gnu-install_only_stripped.tar.gz"
    archive = folder / "mirror" / BUILD / name
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(tree, "python")
    shutil.rmtree(tree)
    entry = {
        "name": "cpython",
        "arch": {"family": architecture, "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": int(major),
        "minor": int(minor),
        "patch": int(patch),
        "prerelease": "",
        "url": f"{SOURCE}/{BUILD}/{name.replace('+', '%2B')}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": BUILD,
    }
    downloads = folder / "mirror/downloads.json"
    downloads.write_text(json.dumps({f"cpython-{release}-linux-{architecture}-gnu": entry}, indent=1) + "\n")
    return {
        "UV_PYTHON_INSTALL_MIRROR": f"file://{folder}/mirror",
        "UV_PYTHON_DOWNLOADS_JSON_URL": f"file://{downloads}",
    }


if __name__ == "__main__":
    for key, value in make(Path(sys.argv[1]).resolve(), *sys.argv[2:3]).items():
        print(f"export {key}={value}")
