#!/usr/bin/python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for developer.download.nvidia.com and nvidia.github.io: signed apt repositories at their real paths.

The packages have the real names, versions and dependencies as far as a role can notice them, and next to nothing in
them: packages.py says what. dpkg-deb makes them, apt-ftparchive lists them, gpg signs the list with a key made here.

    archive.py DIRECTORY
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from packages import KEY, Package, repositories

MAINTAINER = "llmfleet bench <bench@example.invalid>"
HOME = KEY.parent
RELEASE = ("Origin=NVIDIA", "Label=NVIDIA CUDA")


def run(*command: str, **options: object) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def make_key() -> dict[str, str]:
    """Make a key pair; return the environment in which gpg finds it."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    environment = {**os.environ, "GNUPGHOME": str(HOME)}
    secret = ("--batch", "--pinentry-mode", "loopback", "--passphrase", "")
    run("gpg", *secret, "--quick-gen-key", MAINTAINER, "rsa2048", "sign", "never", env=environment)
    (HOME / "key.asc").write_text(run("gpg", "--armor", "--export", env=environment))
    run("gpg", "--output", str(KEY), "--export", env=environment)
    return environment


def make_package(package: Package, folder: Path, scratch: Path) -> None:
    root = scratch / f"{package.name}_{package.version}"
    control = root / "DEBIAN"
    control.mkdir(parents=True)
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": package.architecture,
        "Maintainer": MAINTAINER,
        "Depends": ", ".join(package.depends),
        "Provides": ", ".join(package.provides),
        "Conflicts": ", ".join(package.conflicts),
        "Replaces": ", ".join(package.conflicts),
        "Description": "stand-in of the bench for the package of that name",
    }
    (control / "control").write_text("".join(f"{name}: {text}\n" for name, text in fields.items() if text))
    for name, text in package.scripts.items():
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    for path, (content, mode) in package.files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
    configuration = [path for path in package.files if path.startswith("/etc/")]
    if configuration:
        (control / "conffiles").write_text("".join(f"{path}\n" for path in configuration))
    archive = folder / f"{package.name}_{package.version}_{package.architecture}.deb"
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(archive))


def sign(folder: Path, environment: dict[str, str]) -> None:
    """List the packages of a flat repository and sign the list."""
    (folder / "Packages").write_text(run("apt-ftparchive", "packages", ".", cwd=folder))
    labels = [word for label in RELEASE for word in ("-o", f"APT::FTPArchive::Release::{label}")]
    (folder / "Release").write_text(run("apt-ftparchive", *labels, "release", ".", cwd=folder))
    run("gpg", "--batch", "--clearsign", "--output", "InRelease", "Release", cwd=folder, env=environment)


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    environment = make_key()
    scratch = HOME / "scratch"
    for path, packages in repositories().items():
        folder = target / path
        folder.mkdir(parents=True)
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(make_package, folder=folder, scratch=scratch / path), packages))
        sign(folder, environment)
    shutil.rmtree(scratch)
    listed = run("gpg", "--with-colons", "--list-keys", env=environment)
    (target / "fingerprint").write_text("\n".join(re.findall(r"^fpr:+([0-9A-F]+):", listed, re.MULTILINE)) + "\n")
    shutil.copy(HOME / "key.asc", target / "key.asc")
    shutil.copy(HOME / "key.asc", target / "libnvidia-container/gpgkey")
    (target / "ready").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
