# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HTTP client: one request with a time limit for all of it, and no automatic redirects.

Whatever goes wrong on the way is a :class:`TroubleError` with its kind, so that each caller can add its own remedy.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
import urllib.request
from typing import Any, Iterator, Mapping
from urllib.error import URLError
from urllib.parse import urlsplit

PIECE = 64 * 1024
# Kinds of failures of a connection to a server.
TIMEOUT, REFUSED, NAME = "timeout", "refused", "name"
AUTHORITY, CERTIFICATE, TLS = "authority", "certificate", "tls"
PROTOCOL, OTHER = "protocol", "other"


class TroubleError(Exception):
    """A server sent no complete answer; the text gives the cause in terms of an operator."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def trouble(error: BaseException, seconds: float) -> TroubleError:
    """Return the kind of failure for an exception.

    :param seconds: how long the request might take.
    """
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    if isinstance(error, (socket.timeout, TimeoutError)):
        return TroubleError(TIMEOUT, f"nothing within {seconds:g} s")
    if isinstance(error, ConnectionRefusedError):
        return TroubleError(REFUSED, "connection refused")
    if isinstance(error, socket.gaierror):
        return TroubleError(NAME, "its name does not resolve")
    if isinstance(error, ssl.SSLCertVerificationError):
        return TroubleError(CERTIFICATE, f"its certificate is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return TroubleError(TLS, str(getattr(error, "reason", None) or error))
    if isinstance(error, http.client.HTTPException):
        return TroubleError(PROTOCOL, type(error).__name__)
    return TroubleError(OTHER, getattr(error, "strerror", None) or str(error) or type(error).__name__)


class _Connection(http.client.HTTPConnection):
    """A connection to an address under the name of another, whose answer keeps the socket in reach."""

    def __init__(self, host: str, addresses: Mapping[str, str], tls: ssl.SSLContext | None, **options: Any) -> None:
        # The port of the scheme stays out of the Host header, as every client does it.
        self.default_port = 443 if tls else 80
        super().__init__(host, **options)
        self._addresses = addresses
        self._tls = tls
        self._stream: Any = None
        # The base class connects with it, to the server or to a proxy.
        self._create_connection = self._create

    def _create(self, address: tuple[str, int], *options: Any) -> socket.socket:
        host, port = address
        return socket.create_connection((self._addresses.get(host.lower(), host), port), *options)

    def connect(self) -> None:
        """Connect, with TLS for the host's name."""
        super().connect()
        if self._tls:
            name = getattr(self, "_tunnel_host", None) or self.host
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=name)
        self._stream = self.sock

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer and keep the socket, because urllib drops the connection and a slow body needs the socket's
        timeout.
        """
        response = super().getresponse()
        response.stream = self._stream  # type: ignore[attr-defined]
        return response


class _Handler(urllib.request.AbstractHTTPHandler):
    """Opens both kinds of URL with :class:`_Connection`."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def http_open(self, request: urllib.request.Request) -> Any:
        return self._connect(request, None)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self._connect(request, self._client.tls())

    def _connect(self, request: urllib.request.Request, tls: ssl.SSLContext | None) -> Any:
        connection: Any = _Connection
        return self.do_open(connection, request, addresses=self._client.addresses, tls=tls)


class Answer:
    """An answer of a server; its body is read within the time limit, at any speed."""

    def __init__(self, response: Any, deadline: float, seconds: float) -> None:
        self._response = response
        self._deadline = deadline
        self._seconds = seconds
        self.status = int(response.status)
        self.headers = response.headers

    def pieces(self, most: int) -> Iterator[bytes]:
        """Yield the body as it arrives, up to so many bytes.

        :raises TroubleError: it breaks off, or takes too long.
        """
        try:
            # Newer Pythons close the socket with the last byte, and a closed one takes no timeout.
            while most > 0 and not self._response.isclosed():
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise socket.timeout
                self._response.stream.settimeout(left)
                piece = self._response.read1(min(most, PIECE))
                if not piece:
                    if self._response.length:
                        raise http.client.IncompleteRead(b"", self._response.length)
                    return
                most -= len(piece)
                yield piece
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise trouble(error, self._seconds) from error

    def read(self, most: int) -> bytes:
        """Return the body, or as much of it."""
        return b"".join(self.pieces(most))


class Client:
    """A client that follows no redirects; a status such as 404 or 503 is an answer, not an error."""

    def __init__(
        self,
        agent: str,
        ca_file: str | None = None,
        proxies: Mapping[str, str] | None = None,
        addresses: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare requests.

        :param agent: what it calls itself.
        :param ca_file: PEM file with authorities to trust beside those of the system.
        :param proxies: URLs of proxies by scheme; without them none is asked, whatever the environment says.
        :param addresses: where to connect to instead of to a host's own name.
        """
        self.agent = agent
        self.ca_file = ca_file
        self.proxies = dict(proxies or {})
        self.addresses = dict(addresses or {})
        self._tls: ssl.SSLContext | None = None
        self._opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(self.proxies), _Handler(self)):
            self._opener.add_handler(handler)

    def tls(self) -> ssl.SSLContext:
        """Return the TLS context that verifies a server's certificate.

        :raises TroubleError: there are no certificates in the file of authorities.
        """
        if self._tls is None:
            tls = ssl.create_default_context()
            if self.ca_file:
                try:
                    tls.load_verify_locations(cafile=self.ca_file)
                except OSError as error:
                    reason = f"{self.ca_file} holds no certificate ({error.strerror or error})"
                    raise TroubleError(AUTHORITY, reason) from error
            self._tls = tls
        return self._tls

    def proxy(self, url: str) -> str:
        """Return the proxy for a URL without its password; empty if there is none."""
        parts = urlsplit(url)
        proxy = self.proxies.get(parts.scheme) or ""
        if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
            return ""
        return proxy.rpartition("@")[2].rpartition("//")[2]

    @contextlib.contextmanager
    def open(
        self,
        url: str,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Iterator[Answer]:
        """Send a request and yield the answer for reading.

        :param seconds: how long it may take, from connecting to the last byte.
        :raises TroubleError: there is no answer.
        """
        deadline = time.monotonic() + seconds
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{url} is not an http or https URL")
            sent = {"User-Agent": self.agent, **(headers or {})}
            request = urllib.request.Request(url, body, sent, method=method)
            response = self._opener.open(request, timeout=max(0.001, seconds))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise trouble(error, seconds) from error
        with contextlib.closing(response):
            yield Answer(response, deadline, seconds)
