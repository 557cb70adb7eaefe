#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish the bench's images and write the collection's map of images, each by tag and digest.

    publish.py FOLDER

Does what `docker push` does, over the same API, but leaves the layers uncompressed (which the image format allows):
compressing gigabytes takes minutes of a continuous integration machine, and so does undoing it. What is pulled
from the registry, by whom and how it is checked stays real. FOLDER is that of registry.sh and gets images.json.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

REGISTRY = "llmfleet-bench-registry"
NAME, PORT, USER = "registry", 5000, "bench"
APPLICATIONS = ["vllm", "litellm", "open-webui", "nginx", "nginx-exporter", "prometheus", "node-exporter"]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CHUNK = 1 << 22


class Connection(http.client.HTTPSConnection):
    """To the registry's address under the name that its certificate carries."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        super().__init__(NAME, PORT, timeout=300, context=context)
        self._address, self._tls = address, context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, PORT), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=NAME)


class Registry:
    def __init__(self, folder: Path) -> None:
        address = inspect(REGISTRY, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
        self.connection = Connection(address, ssl.create_default_context(cafile=str(folder / "ca.pem")))
        password = (folder / "password").read_text(encoding="utf-8").strip()
        self.authorization = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    def ask(
        self,
        method: str,
        path: str,
        expected: list[int],
        body: bytes | Iterator[bytes] | None = None,
        **headers: str,
    ) -> http.client.HTTPResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, {"Authorization": self.authorization, **sent})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status not in expected:
            sys.exit(f"publish: {method} {path.partition('?')[0]}: {answer.status}: {text[:300]!r}")
        return answer

    def upload(self, application: str, source: IO[bytes], size: int, wanted: set[str]) -> tuple[str, int] | None:
        """Stream a blob; it is kept only if it turns out to be one of the wanted ones."""
        location = self.ask("POST", f"/v2/{application}/blobs/uploads/", [202], b"").headers["Location"]
        digest = hashlib.sha256()

        def pieces() -> Iterator[bytes]:
            while piece := source.read(CHUNK):
                digest.update(piece)
                yield piece

        about = {"Content_Type": "application/octet-stream", "Content_Length": str(size)}
        answer = self.ask("PATCH", path_of(location), [202], pieces(), **about)
        location, name = path_of(answer.headers["Location"]), f"sha256:{digest.hexdigest()}"
        if name not in wanted:
            self.ask("DELETE", location, [204])
            return None
        self.ask("PUT", f"{location}{'&' if '?' in location else '?'}digest={name}", [201], b"")
        return name, size


def path_of(location: str) -> str:
    """A registry may answer with the whole URL or with the path."""
    return "/" + location.split("/", 3)[3] if "://" in location else location


def inspect(name: str, form: str) -> str:
    command = ["docker", "inspect", "--format", form, name]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def described(application: str) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(inspect(f"llmfleet-bench/{application}:current", "{{json .}}"))
    return about


def upload(registry: Registry, wanted: set[str]) -> dict[str, int]:
    """Upload what all images are made of, each part once, and return the size of each."""
    sizes: dict[str, int] = {}
    command = ["docker", "save", *(f"llmfleet-bench/{application}:current" for application in APPLICATIONS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as save:
        assert save.stdout is not None
        with tarfile.open(fileobj=save.stdout, mode="r|", bufsize=CHUNK) as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is not None and (kept := registry.upload(APPLICATIONS[0], source, member.size, wanted)):
                    sizes[kept[0]] = kept[1]
    if absent := wanted - {*sizes}:
        sys.exit(f"publish: docker save ended with {save.returncode} and did not bring {', '.join(absent)}")
    return sizes


def publish(registry: Registry, application: str, about: dict[str, Any], sizes: dict[str, int]) -> str:
    """Make an image of its parts and return how it is called: name, tag and digest."""
    config, layers = about["Id"], about["RootFS"]["Layers"]
    for digest in [config, *layers]:
        registry.ask("POST", f"/v2/{application}/blobs/uploads/?mount={digest}&from={APPLICATIONS[0]}", [201], b"")
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config, "size": sizes[config]},
            "layers": [{"mediaType": LAYER, "digest": digest, "size": sizes[digest]} for digest in layers],
        }
    ).encode()
    version = about["Config"]["Labels"]["org.opencontainers.image.version"]
    registry.ask("PUT", f"/v2/{application}/manifests/{version}", [201], manifest, Content_Type=MANIFEST)
    return f"{NAME}:{PORT}/{application}:{version}@sha256:{hashlib.sha256(manifest).hexdigest()}"


def main() -> None:
    folder = Path(sys.argv[1])
    registry, images = Registry(folder), {name: described(name) for name in APPLICATIONS}
    sizes = upload(registry, {part for about in images.values() for part in [about["Id"], *about["RootFS"]["Layers"]]})
    references = {name: publish(registry, name, about, sizes) for name, about in images.items()}
    content = {name.replace("-", "_"): {"image": reference} for name, reference in references.items()}
    (folder / "images.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
