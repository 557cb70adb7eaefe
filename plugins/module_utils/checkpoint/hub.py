# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a model hub is asked, and what its answers mean: addresses, ranges, redirects, refusals.

Pure functions; the sockets are the module's. No Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urljoin, urlsplit

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.files import COMMIT, SourceError

REDIRECTS = (301, 302, 303, 307, 308)
# huggingface.co needs two: to the commit's own address, and to where large files are kept.
MOST_REDIRECTS = 5
CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
# The address of a small file, once the revision is resolved.
RESOLVED = re.compile(r"/resolve-cache/models/[^/]+/[^/]+/([0-9a-f]{40})/")


class Headers(Protocol):
    """The headers of an answer, found whatever their case."""

    def get(self, name: str, /) -> Any:
        """Return the value of one, nothing if there is none."""


class Extent(NamedTuple):
    """Which part of a file an answer brings."""

    skip: int
    """Bytes to leave out at its begin, for a server that sends the file from its start."""
    size: int | None
    """Bytes of the whole file, if it says so."""


def check_endpoint(endpoint: str) -> str:
    """Return the base URL of a hub without a slash at its end.

    :raises SourceError: it is none, or holds a password.
    """
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if "@" in parts.netloc:
        # Not even the name is shown: what stands before the @ is a secret.
        raise SourceError("the endpoint holds a user or a password; leave it out and set token")
    if not usable or parts.query or parts.fragment or not endpoint.isprintable() or " " in endpoint:
        raise SourceError(
            f"the endpoint {endpoint[:100]!r} is no http or https URL; give one such as https://huggingface.co"
        )
    return endpoint.rstrip("/")


def file_url(endpoint: str, repository: str, revision: str, name: str) -> str:
    """Return the address of a file; a revision with slashes is one part of it."""
    return f"{endpoint}/{repository}/resolve/{quote(revision, safe='')}/{quote(name)}"


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def follow(url: str, location: str) -> tuple[str, bool]:
    """Return where a redirect leads, and whether the token may go there: to the same scheme, host and port only.

    :raises SourceError: to no http or https address, or from https to http.
    """
    try:
        target = urljoin(url, location)
        scheme, host, _port = _origin(target)
    except ValueError:
        scheme, host, target = "", None, ""
    if scheme not in ("http", "https") or not host:
        raise SourceError(f"{urlsplit(url).netloc} redirects to no http or https address; correct endpoint")
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise SourceError(f"{urlsplit(url).netloc} redirects to {host} without TLS; give an endpoint that does not")
    return target, _origin(target) == _origin(url)


def commit_of(url: str, headers: Headers) -> str | None:
    """Return the commit that an answer is of.

    :param url: what was asked.
    """
    named = headers.get("X-Repo-Commit") or ""
    resolved = RESOLVED.search(urlsplit(url).path)
    if COMMIT.fullmatch(named):
        return named
    return resolved.group(1) if resolved else None


def extent(status: int, headers: Headers, first: int, name: str) -> Extent:
    """Return what an answer brings to who asked for the bytes of a file from ``first`` on.

    :param status: 206, or 200 of a server that knows no ranges.
    :raises SourceError: it brings another part.
    """
    if status == 200:
        length = headers.get("Content-Length") or ""
        return Extent(first, int(length) if re.fullmatch(r"\d{1,19}", length) else None)
    found = CONTENT_RANGE.fullmatch(headers.get("Content-Range") or "")
    if not found or int(found.group(1)) != first:
        raise SourceError(f"the hub answers for another part of {name} than was asked for; correct endpoint or proxy")
    return Extent(0, None if found.group(3) == "*" else int(found.group(3)))


def refusal(status: int, code: str, endpoint: str, name: str, token: bool) -> str:
    """Return what a hub's refusal means and what to do, as one clause.

    :param status: the HTTP status.
    :param code: its header ``X-Error-Code``, empty if it sent none.
    :param name: the file that was asked for.
    :param token: whether a token was sent.
    """
    if status == 404 and code == "RevisionNotFound":
        return f"{endpoint} has no such revision; set revision to a branch, tag or commit of it"
    if status == 404 and code == "EntryNotFound":
        return f"{endpoint} has no {name} of it; choose a model in the layout of transformers"
    if status == 404 and code != "RepoNotFound":
        return f"{endpoint} has no {name} of it (status 404); check the name, the revision and endpoint"
    if status == 403 or code == "GatedRepo":
        return (
            f"{endpoint} does not let {'this account' if token else 'strangers'} see it (status {status}), it is gated "
            "or private; accept its licence on the hub and set token to one of that account that may read it"
        )
    if status in (401, 404):
        told = "does not accept the token for it" if token else "knows no such repository, or hides it from strangers"
        return (
            f"{endpoint} {told} (status {status}); check the name, and set token to a valid one "
            "of an account that accepted its licence"
        )
    if status == 407:
        return f"the proxy on the way to {endpoint} wants a password (status 407); set it in https_proxy"
    if status == 416:
        return f"{name} is too short for a safetensors file (status 416); choose another revision"
    if status == 429:
        return f"{endpoint} was asked too often (status 429); wait, or set token"
    if status >= 500:
        return f"{endpoint} has trouble of its own (status {status}); try again later"
    return f"{endpoint} answers for {name} with status {status}; correct endpoint"
