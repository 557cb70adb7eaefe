#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask registries for the digests of images, and write them behind the tags.

image_digests.py FILE            FILE has `llm_image_catalog` or `llm_images`; writes the digests that are missing
image_digests.py FILE --moved    also replaces those of tags that were pushed again

The digest is that of the index of all architectures, which the registry gives without a download. Images that need a
log-in are not asked for. Proxies and SSL_CERT_FILE are used as by other programs; only loopback is asked without TLS.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))
REFERENCE: re.Pattern[str] = importlib.import_module(
    "ansible_collections.llmfleet.serving.plugins.plugin_utils.service.image"
).REFERENCE
VARIABLES = ("llm_image_catalog", "llm_images")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Docker Hub's API has another name than its images.
HOSTS = {"docker.io": "registry-1.docker.io"}
LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
SECONDS = 30


class RegistryError(Exception):
    """The registry gave no digest; the text says why and what to do."""


class Image(NamedTuple):
    """An image with a tag."""

    registry: str
    path: str
    tag: str
    digest: str
    """The one that is written; empty if there is none."""

    @property
    def text(self) -> str:
        """The image as people write it."""
        return f"{self.registry}/{self.path}:{self.tag}"


class Loader(yaml.SafeLoader):
    """Reads a file of variables; values that are encrypted are none."""


Loader.add_multi_constructor("!", lambda *_arguments: None)


def parse(reference: str) -> Image:
    """Return the parts of a reference.

    :raises RegistryError: for what is no image with a registry and a tag.
    """
    found = REFERENCE.match(reference)
    registry, _, path = found["name"].partition("/") if found else ("", "", "")
    if not found or not found["tag"] or not re.search(r"[.:]|^localhost$", registry):
        raise RegistryError(f"{reference} is no image with a registry and a tag; write registry/name:tag.")
    return Image(registry, path, found["tag"], found["digest"] or "")


def references(text: str) -> Iterator[str]:
    """Yield the images of a file of variables."""
    content = yaml.load(text, Loader=Loader)  # noqa: S506 # nosec B506
    for variable in VARIABLES:
        for entry in ((content or {}).get(variable) or {}).values():
            image = entry.get("image") if isinstance(entry, dict) else entry
            if isinstance(image, str) and "{{" not in image:
                yield image


def _send(request: urllib.request.Request) -> Any:
    return urllib.request.urlopen(request, timeout=SECONDS)  # nosec B310


def _token(challenge: str) -> str:
    """Return the token that a registry asks for, which anybody gets for a public image."""
    kind, _, rest = challenge.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    server = urllib.parse.urlsplit(fields.get("realm", ""))
    if kind.lower() != "bearer" or not server.netloc:
        raise RegistryError("the registry wants a log-in")
    if server.scheme != "https" and not LOOPBACK.fullmatch(server.netloc):
        raise RegistryError("its token comes from a server without TLS")
    wanted = {name: fields[name] for name in ("service", "scope") if name in fields}
    address = f"{fields['realm']}?{urllib.parse.urlencode(wanted)}"
    try:
        with _send(urllib.request.Request(address)) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise RegistryError(f"the server of its tokens answered {error.code}") from error
    return str(answer.get("token") or answer.get("access_token") or "")


def _manifest(image: Image, token: str) -> Any:
    scheme = "http" if LOOPBACK.fullmatch(image.registry) else "https"
    address = f"{scheme}://{HOSTS.get(image.registry, image.registry)}/v2/{image.path}/manifests/{image.tag}"
    headers = {"Accept": ", ".join(INDEXES + MANIFESTS)}
    request = urllib.request.Request(address, headers=headers, method="HEAD")
    if token:
        # Another server, to which the registry may redirect, is not to see it.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return _send(request)


def ask(image: Image) -> tuple[str, bool]:
    """Return the digest of an image, and whether it is that of an index.

    :raises RegistryError: if the registry does not give one.
    """
    try:
        try:
            response = _manifest(image, "")
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            response = _manifest(image, _token(error.headers.get("WWW-Authenticate", "")))
        with response:
            digest = response.headers.get("Docker-Content-Digest", "")
            kind = response.headers.get_content_type()
    except urllib.error.HTTPError as error:
        why = {401: "it wants a log-in", 404: "it has no such tag", 429: "too many requests, try again later"}
        reason = why.get(error.code, error.reason)
        raise RegistryError(f"{image.text}: the registry answered {error.code}: {reason}.") from error
    except RegistryError as error:
        raise RegistryError(f"{image.text}: {error}; look the digest up with a client that is logged in.") from error
    except (OSError, ValueError) as error:
        raise RegistryError(
            f"{image.text}: the registry gave no answer ({error}); run this where it can be reached."
        ) from error
    if not DIGEST.fullmatch(digest):
        raise RegistryError(f"{image.text}: the registry named no digest; look it up with another client.")
    return digest, kind in INDEXES


def pinned(text: str, moved: bool) -> tuple[str, list[str], list[str]]:
    """Return a file's text with digests, what was done, and what could not be done.

    :param moved: whether the digest of a tag that was pushed again is replaced.
    """
    done, failed = [], []
    for reference in dict.fromkeys(references(text)):
        try:
            image = parse(reference)
            digest, index = ask(image)
        except RegistryError as error:
            failed.append(str(error))
            continue
        if digest == image.digest:
            continue
        if image.digest and not moved:
            failed.append(f"{image.text} is {digest} now, and {image.digest} is written; use --moved to take it.")
            continue
        # A longer tag may begin like this one.
        text = re.sub(re.escape(reference) + r"(?![\w.@:-])", f"{image.text}@{digest}", text)
        done.append(f"{image.text} is {digest}{'' if index else ', of one architecture only'}")
    return text, done, failed


def main(arguments: list[str]) -> int:
    """Write the digests into the file."""
    path = Path(next(argument for argument in arguments if not argument.startswith("-")))
    before = path.read_text(encoding="utf-8")
    if not any(references(before)):
        print(
            f"image-digests: {path} has no image in {' or '.join(VARIABLES)}: name the file that has.", file=sys.stderr
        )
        return 1
    after, done, failed = pinned(before, "--moved" in arguments)
    if after != before:
        path.write_text(after, encoding="utf-8")
    for line in done:
        print(f"image-digests: {line}")
    for line in failed:
        print(f"image-digests: {line}", file=sys.stderr)
    if not done and not failed:
        print(f"image-digests: {path} has the digests of the registries")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
