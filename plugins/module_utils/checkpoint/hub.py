# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a model hub and the meaning of its answers: addresses, ranges, redirects, refusals.

Requests are made with the host's HTTP client. No Ansible, no files.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple, Protocol, Sequence
from urllib.parse import quote, urljoin, urlsplit

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import layouts, mistral, safetensors
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.files import (
    COMMIT,
    CONFIG,
    SAFETENSORS,
    within,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.safetensors import Tensor
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client

REDIRECTS = (301, 302, 303, 307, 308)
# huggingface.co needs two: to the commit's own address, and to where large files are kept.
MOST_REDIRECTS = 5
# Number of parallel requests. A large checkpoint has a hundred shards or more, with two requests for each.
AT_ONCE = 8
CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
# The address of a small file, once the revision is resolved.
RESOLVED = re.compile(r"/resolve-cache/models/(?:[^/]+/){1,2}([0-9a-f]{40})/")


class Headers(Protocol):
    """The headers of an answer, found whatever their case."""

    def get(self, name: str, /) -> Any:
        """Return the value of one, nothing if there is none."""


class Extent(NamedTuple):
    """The part of a file that an answer contains."""

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
        # The name is not shown either, because the part before the @ is a secret.
        raise SourceError("the endpoint contains a user or a password; remove them and set token")
    if not usable or parts.query or parts.fragment or not endpoint.isprintable() or " " in endpoint:
        raise SourceError(
            f"the endpoint {endpoint[:100]!r} is not an http or https URL; give one such as https://huggingface.co"
        )
    return endpoint.rstrip("/")


def file_url(endpoint: str, repository: str, revision: str, name: str) -> str:
    """Return the address of a file; a revision with slashes is one part of it."""
    return f"{endpoint}/{repository}/resolve/{quote(revision, safe='')}/{quote(name)}"


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def follow(url: str, location: str) -> tuple[str, bool]:
    """Return the target of a redirect, and whether the token may be sent there: only to the same scheme, host and port.

    :raises SourceError: to no http or https address, or from https to http.
    """
    try:
        target = urljoin(url, location)
        scheme, host, _port = _origin(target)
    except ValueError:
        scheme, host, target = "", None, ""
    if scheme not in ("http", "https") or not host:
        raise SourceError(f"{urlsplit(url).netloc} redirects to an address that is not http or https; correct endpoint")
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
    """Return which part of a file an answer contains, after a request for the bytes from ``first`` on.

    :param status: 206, or 200 of a server that knows no ranges.
    :raises SourceError: it brings another part.
    """
    if status == 200:
        length = headers.get("Content-Length") or ""
        return Extent(first, int(length) if re.fullmatch(r"\d{1,19}", length) else None)
    found = CONTENT_RANGE.fullmatch(headers.get("Content-Range") or "")
    if not found or int(found.group(1)) != first:
        raise SourceError(f"the hub returned another part of {name} than the requested one; correct endpoint or proxy")
    return Extent(0, None if found.group(3) == "*" else int(found.group(3)))


def refusal(status: int, code: str, endpoint: str, name: str, token: bool) -> str:
    """Return the meaning and the remedy of a hub's refusal as one clause.

    :param status: the HTTP status.
    :param code: its header ``X-Error-Code``, empty if it sent none.
    :param name: the file that was asked for.
    :param token: whether a token was sent.
    """
    if status == 404 and code == "RevisionNotFound":
        return f"{endpoint} has no such revision; set revision to a branch, tag or commit of it"
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


class Hub:
    """Files of a model in a hub, without weights. Each request has a time limit and a size limit."""

    def __init__(
        self, client: http_client.Client, endpoint: str, token: str, seconds: float, repository: str, revision: str
    ):
        """Prepare requests.

        :param token: of an account that may read it; empty for strangers.
        :param seconds: how long each file may take.
        :raises SourceError: endpoint, token or the client's authorities are none.
        """
        self.client = client
        self.endpoint = check_endpoint(endpoint)
        # A token that is read from a file may end with a line break.
        self.token, self.seconds = token.strip(), seconds
        if not (self.token.isascii() and self.token.isprintable()) or " " in self.token:
            raise SourceError(
                "the token contains characters that are not allowed in a token", "set token to a single word"
            )
        self.repository, self.revision = repository, revision
        self.allowed = safetensors.Allowance()
        self.own = False  # Whether the repository has but the layout of its maker.
        self.commit: str | None = revision if COMMIT.fullmatch(revision) else None
        try:
            client.tls()
        except http_client.TroubleError as error:
            raise SourceError(f"ca_path {error}", "set it to a PEM file on this host") from error

    def _ask(self, name: str, headers: dict[str, str], take: Callable[[http_client.Answer], Any]) -> Any:
        """Request a file, follow redirects, and return the answer; nothing if the file does not exist."""
        url = file_url(self.endpoint, self.repository, self.commit or self.revision, name)
        known = bool(self.token)
        deadline = time.monotonic() + self.seconds
        for _redirect in range(MOST_REDIRECTS + 1):
            sent = {"Accept-Encoding": "identity", **headers}
            if known:
                sent["Authorization"] = f"Bearer {self.token}"
            try:
                with self.client.open(url, deadline - time.monotonic(), sent) as answer:
                    self.commit = self.commit or commit_of(url, answer.headers)
                    if answer.status in (200, 206):
                        return take(answer)
                    status, told = answer.status, answer.headers
            except http_client.TroubleError as error:
                raise self._trouble(error, url) from error
            if status in REDIRECTS:
                url, same = follow(url, told.get("Location") or "")
                known = known and same
            else:
                code = told.get("X-Error-Code") or ""
                # Without a word of its own about the file it may be the repository that is missing.
                if status == 404 and (name != CONFIG or code == "EntryNotFound"):
                    return None
                raise SourceError(refusal(status, code, self.endpoint, name, bool(self.token)))
        raise SourceError(f"{self.endpoint} redirects in circles", "correct endpoint")

    def _trouble(self, error: http_client.TroubleError, url: str) -> SourceError:
        """Return the cause of a failed connection, and its remedy."""
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        proxy = self.client.proxy(url)
        way = f"{host} by way of the proxy {proxy}" if proxy else host
        otherwise = f"correct endpoint or {scheme}_proxy, or give a copy on this host as path:/directory"
        if error.kind == http_client.CERTIFICATE:
            problem = f"the certificate of {host} is not trusted ({error.reason.partition(': ')[2]})"
            return SourceError(problem, "set ca_path to the PEM file of its authority")
        if error.kind == http_client.TLS:
            return SourceError(f"no TLS with {way} ({error.reason})", otherwise)
        if error.kind == http_client.TIMEOUT:
            return SourceError(f"{way} does not answer within {self.seconds:g} s", f"raise timeout, {otherwise}")
        if error.kind == http_client.NAME:
            return SourceError(f"the name of {way} does not resolve", otherwise)
        if error.kind == http_client.PROTOCOL:
            return SourceError(f"{way} does not answer in HTTP ({error.reason})", otherwise)
        return SourceError(f"{way} cannot be reached ({error.reason})", otherwise)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a whole file."""
        data: bytes | None = self._ask(name, {}, lambda answer: answer.read(limit + 1))
        self.own = self.own or (name == mistral.PARAMS and data is not None)
        return None if data is None else within(data, limit, name)

    def _part(self, name: str, first: int, size: int) -> tuple[bytes, int | None] | None:
        """Return a part of a file and the size of the whole file; an answer with the whole file is cut off."""

        def take(answer: http_client.Answer) -> tuple[bytes, int | None]:
            part = extent(answer.status, answer.headers, first, name)
            return answer.read(part.skip + size)[part.skip :], part.size

        found: tuple[bytes, int | None] | None = self._ask(name, {"Range": f"bytes={first}-{first + size - 1}"}, take)
        return found

    def _header(self, name: str) -> dict[str, Tensor] | None:
        prefix = self._part(name, 0, safetensors.PREFIX)
        if prefix is None:
            return None
        length = self.allowed.take(safetensors.header_length(prefix[0], name, prefix[1]))
        header = self._part(name, safetensors.PREFIX, length)
        return None if header is None else safetensors.parse_header(header[0], name, prefix[1])

    def _size(self, name: str) -> int | None:
        found = self._part(name, 0, 1)
        return found[1] if found else None

    def weights(self, suffix: str) -> list[str]:
        """Return the one file that holds the weights where there is no index; repositories of GGUF say so by name."""
        if suffix == layouts.GGUF:
            return [self.repository] if "gguf" in self.repository.lower() else []
        stem = "consolidated" if self.own else "model"
        return [f"{stem}.safetensors" if suffix == SAFETENSORS else "pytorch_model.bin"]

    def headers(self, names: Sequence[str]) -> list[dict[str, Tensor]] | None:
        """Return the tensors of each file."""
        found = each(self._header, names)
        return None if None in found else found

    def sizes(self, names: Sequence[str]) -> list[int] | None:
        """Return the bytes of each file."""
        found = each(self._size, names)
        return None if None in found else found


def each(ask: Callable[[str], Any], names: Sequence[str]) -> list[Any]:
    """Request several files in parallel; after the first that fails or is missing, the others are not requested."""
    missing = False

    def unless_missing(name: str) -> Any:
        nonlocal missing
        found = None if missing else ask(name)
        missing = missing or found is None
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(unless_missing, name) for name in names]
        try:
            return [future.result() for future in waiting]
        finally:
            missing = True
