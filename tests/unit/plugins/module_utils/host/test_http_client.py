# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP client: a deadline for the whole answer, no redirect, no proxy of the environment, no exception unnamed."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client as host_http_client
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client, TroubleError, trouble
from local_server import serving
from patience import Watch


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, bytes]] = []  # noqa: RUF012

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.seen.append((self.path, self.headers["Host"], self.rfile.read(int(self.headers["Content-Length"]))))
        self._send(200, b"taken")

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Host"], self.headers["User-Agent"].encode()))
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _number in range(40):
                try:
                    self.wfile.write(b".")
                except OSError:
                    return
                time.sleep(0.05)
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"ten bytes.")
            self.close_connection = True
        else:
            self._send(503 if self.path == "/busy" else 200, b"x" * 100_000)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    Handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server) as address:
        yield f"http://{address}"


def get(url: str, seconds: float = 5, most: int = 1_000_000, client: Client | None = None) -> tuple[int, bytes]:
    with (client or Client("tests")).open(url, seconds) as answer:
        return answer.status, answer.read(most)


def test_an_answer_is_read_as_far_as_it_is_wanted(url: str) -> None:
    assert get(url) == (200, b"x" * 100_000)
    assert get(url, most=10) == (200, b"x" * 10)
    assert Handler.seen[0] == ("/", url.partition("//")[2], b"tests")


def test_every_status_is_an_answer_and_redirects_are_not_followed(url: str) -> None:
    assert get(f"{url}/busy")[0] == 503
    assert get(f"{url}/elsewhere") == (302, b"")
    assert [path for path, _host, _agent in Handler.seen] == ["/busy", "/elsewhere"]


def test_a_body_is_sent(url: str) -> None:
    with Client("tests").open(url, 5, {"X-One": "1"}, "POST", b"{}") as answer:
        assert answer.read(10) == b"taken"
    assert Handler.seen[0][2] == b"{}"


def test_a_name_at_another_address(url: str) -> None:
    port = url.rpartition(":")[2]
    client = Client("tests", addresses={"door.unit.test": "127.0.0.1"})
    assert get(f"http://Door.unit.test:{port}/", client=client)[0] == 200
    assert Handler.seen[0][1] == f"Door.unit.test:{port}"


def test_a_proxy_is_asked_where_one_is_given(url: str) -> None:
    client = Client("tests", proxies={"http": f"http://user:secret@{url.partition('//')[2]}"})
    assert get("http://hub.unit.test/x", client=client)[0] == 200
    assert Handler.seen[0][0] == "http://hub.unit.test/x"
    assert client.proxy("http://hub.unit.test/x") == url.partition("//")[2]
    assert client.proxy("https://hub.unit.test/x") == ""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/slow", host_http_client.TIMEOUT), ("/short", host_http_client.PROTOCOL)],
    ids=["slow", "short"],
)
def test_an_answer_that_does_not_come(url: str, path: str, kind: str) -> None:
    watch = Watch()
    with pytest.raises(TroubleError) as caught:
        get(url + path, seconds=0.5)
    assert caught.value.kind == kind
    assert watch.seconds() < 2


@pytest.mark.parametrize("url", ["ftp://x/", "x", "http://", "http://[::1", "http://x:y/"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(TroubleError):
        get(url)


def test_authorities_that_are_none() -> None:
    with pytest.raises(TroubleError, match=r"/no/such\.pem holds no certificate") as caught:
        Client("tests", "/no/such.pem").tls()
    assert caught.value.kind == host_http_client.AUTHORITY


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (socket.timeout(), host_http_client.TIMEOUT, "nothing within 0.5 s"),
        (URLError(socket.timeout()), host_http_client.TIMEOUT, "nothing within 0.5 s"),
        (ConnectionRefusedError(111, "x"), host_http_client.REFUSED, "connection refused"),
        (URLError(ConnectionRefusedError(111, "x")), host_http_client.REFUSED, "connection refused"),
        (socket.gaierror(-2, "x"), host_http_client.NAME, "its name does not resolve"),
        (ssl.SSLError(1, "wrong version number"), host_http_client.TLS, "wrong version number"),
        (http.client.BadStatusLine("SSH-2.0\r\n"), host_http_client.PROTOCOL, "BadStatusLine"),
        (OSError(113, "No route to host"), host_http_client.OTHER, "No route to host"),
        (ValueError("odd"), host_http_client.OTHER, "odd"),
        (ValueError(), host_http_client.OTHER, "ValueError"),
    ],
)
def test_what_went_wrong(error: Exception, kind: str, words: str) -> None:
    found = trouble(error, 0.5)
    assert found.kind == kind
    assert words in str(found)
    assert "\n" not in str(found)
