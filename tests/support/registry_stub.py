# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry that says which digest a tag has, and asks for a token first, as public registries do."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
TOKEN = "of-the-stub"


class Registry:
    """What the stub has, and what it was asked for."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        """Path and tag, ``team/web:1``, to digest."""
        self.kind = INDEX
        self.challenge = 'Bearer realm="{url}/token",service="stub",scope="repository:{path}:pull"'
        self.asked: list[str] = []
        self.url = ""

    @property
    def name(self) -> str:
        """The registry's name in references."""
        return self.url.removeprefix("http://")


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            address = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(address.query)
            registry.asked.append(f"GET {address.path} {query.get('scope', [''])[0]}")
            known = address.path == "/token" and query.get("service") == ["stub"]
            self.answer(200 if known else 404, json.dumps({"token": TOKEN}).encode())

        def do_HEAD(self) -> None:
            registry.asked.append(f"HEAD {self.path}")
            path, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
            if registry.challenge and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                told = registry.challenge.format(url=registry.url, path=path)
                return self.answer(401, WWW_Authenticate=told)
            digest = registry.digests.get(f"{path}:{tag}")
            if digest is None or registry.kind not in self.headers.get("Accept", ""):
                return self.answer(404)
            return self.answer(200, Content_Type=registry.kind, Docker_Content_Digest=digest)

        def log_message(self, *_arguments: Any) -> None:
            """Keep test output clean."""

    return Handler


@contextmanager
def running() -> Iterator[Registry]:
    """Run a registry on loopback."""
    registry = Registry()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(registry)) as server:
        registry.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield registry
        server.shutdown()
