# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests against a running chain, which the environment describes. What is needed and not set fails; nothing is skipped
but -m supervisor where something else keeps the services.

always              OPENAI_BASE_URL   the API door with its version path, e.g. https://localhost:8443/v1
                    OPENAI_API_KEY    a key that may use every model
                    SSL_CERT_FILE     the authority of a door with its own certificate (read by OpenSSL and the clients)
                    LLM_MODEL         the model to talk to (default: the first that /v1/models lists)
-m outage           LLM_REPEAT_PROMPT what makes the model say one token again and again
                    LLM_CHATTY_PROMPT what makes it stream for a while (default: LLM_REPEAT_PROMPT)
-m backend_errors   LLM_FAIL_PROMPT   what makes the backend answer 500 (a stub backend can)
                    LLM_CUT_PROMPT    what makes it break off a stream in the middle
                    LLM_STUB_URL      where that stub counts its requests
-m backend_pace     LLM_PACED_PROMPT  what makes the backend send eight pieces or more, over two seconds or more
-m limits           LLM_LIMITED_KEY   a key with a small rpm
                    LLM_OTHER_KEY     a key that may not use LLM_MODEL
-m chat_page        LLM_CHAT_URL      the chat page
-m door             LLM_MASTER_KEY    the master key of the gateway; OPENAI_BASE_URL has to be https
-m engine           nothing more; there has to be a real engine, as a stub refuses nothing
-m tools            nothing more; LLM_MODEL has to call a tool whenever it sees one, as the demo model does
-m supervisor       nothing more; as root it reads logs of services here that supervisor keeps, and kills some

Leave a group out with -m, e.g. -m "not limits and not backend_errors and not backend_pace".
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

MARKERS = {
    "outage": "one user must not be able to take a model away",
    "backend_errors": "a backend that answers 500 must not take a model away",
    "backend_pace": "a stream passes at the pace of the backend",
    "limits": "limits of keys",
    "chat_page": "the chat page",
    "door": "what only the outermost proxy does",
    "engine": "what only a real engine does",
    "tools": "a model that calls tools",
    "supervisor": "services that supervisor keeps: their logs, and what becomes of them when they are killed",
}


def pytest_configure(config: pytest.Config) -> None:
    for name, description in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {description}")


def setting(name: str, meaning: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        pytest.fail(f"Set {name}: {meaning} (tests/chain/conftest.py has the list).", pytrace=False)
    return value


class Answer(NamedTuple):
    """What the door says to bytes that no client library would send."""

    status: int
    head: str
    body: str


class Door:
    """Raw access to the outermost door."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self.scheme, self.host = parts.scheme, parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.authority = parts.netloc

    def connect(self, server_name: str = "", verify: bool = True, tls: bool = True) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), 20)
        if self.scheme != "https" or not tls:
            return plain
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(plain, server_hostname=server_name or self.host)

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, tls: bool = True) -> Answer:
        """One request with the path as it is: no client normalises it."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.authority}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        received = b""
        with self.connect(tls=tls) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            while piece := connection.recv(65536):
                received += piece
        head, _blank, body = received.decode("utf-8", "replace").partition("\r\n\r\n")
        found = re.match(r"HTTP/1\.[01] (\d{3})", head)
        assert found, f"no HTTP answer to {method} {path}: {head[:200]!r}"
        return Answer(int(found[1]), head.lower(), body)


@pytest.fixture(scope="session")
def base_url() -> str:
    return setting("OPENAI_BASE_URL", "the API door with its version path, e.g. https://localhost:8443/v1").rstrip("/")


@pytest.fixture(scope="session")
def api_key() -> str:
    return setting("OPENAI_API_KEY", "a key that may use every model")


@pytest.fixture(scope="session")
def repeat_prompt() -> str:
    return setting("LLM_REPEAT_PROMPT", "what makes the model say one token again and again")


@pytest.fixture(scope="session")
def chatty_prompt() -> str:
    return os.environ.get("LLM_CHATTY_PROMPT") or setting(
        "LLM_REPEAT_PROMPT", "what makes the model stream for a while"
    )


@pytest.fixture(scope="session")
def fail_prompt() -> str:
    return setting("LLM_FAIL_PROMPT", "what makes the backend answer 500")


@pytest.fixture(scope="session")
def cut_prompt() -> str:
    return setting("LLM_CUT_PROMPT", "what makes the backend break off a stream in the middle")


@pytest.fixture(scope="session")
def paced_prompt() -> str:
    return setting("LLM_PACED_PROMPT", "what makes the backend send its pieces over two seconds")


@pytest.fixture(scope="session")
def stub_requests() -> Callable[[], int]:
    """How many requests the stub backend has had."""
    url = setting("LLM_STUB_URL", "the stub backend")

    def count() -> int:
        with urllib.request.urlopen(f"{url}/stub/counts", timeout=10) as answer:
            return int(json.load(answer)["requests"])

    return count


@pytest.fixture(scope="session")
def limited_key() -> str:
    return setting("LLM_LIMITED_KEY", "a key with a small rpm")


@pytest.fixture(scope="session")
def other_key() -> str:
    return setting("LLM_OTHER_KEY", "a key that may not use LLM_MODEL")


@pytest.fixture(scope="session")
def master_key() -> str:
    return setting("LLM_MASTER_KEY", "the master key of the gateway")


@pytest.fixture(scope="session")
def chat_url() -> str:
    return setting("LLM_CHAT_URL", "the chat page")


@pytest.fixture(scope="session")
def door(base_url: str) -> Door:
    return Door(base_url)


@pytest.fixture(scope="session")
def client_for(base_url: str) -> Iterator[Callable[[str], openai.OpenAI]]:
    """The OpenAI client with a key; no retries, as a retry would hide a failure."""
    clients: dict[str, openai.OpenAI] = {}

    def get(key: str) -> openai.OpenAI:
        if key not in clients:
            clients[key] = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60)
        return clients[key]

    yield get
    for client in clients.values():
        client.close()


@pytest.fixture
def claude(base_url: str, api_key: str) -> Iterator[anthropic.Anthropic]:
    """The Anthropic client adds /v1/messages itself."""
    with anthropic.Anthropic(
        base_url=base_url.removesuffix("/v1"), api_key=api_key, max_retries=0, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="session")
def client(client_for: Callable[[str], openai.OpenAI], api_key: str) -> openai.OpenAI:
    return client_for(api_key)


@pytest.fixture(scope="session")
def model(client: openai.OpenAI) -> str:
    return os.environ.get("LLM_MODEL") or next(iter(client.models.list())).id


@pytest.fixture
def is_served(client: openai.OpenAI, model: str) -> Callable[[], None]:
    """Others are still served: several requests, so that a replica in a cool-down would show."""

    def check() -> None:
        for _request in range(6):
            reply = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=8
            )
            assert reply.choices[0].message.content

    return check
