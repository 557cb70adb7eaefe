# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written down of a request, what is not, and what the exporter reads."""

from __future__ import annotations

import subprocess
import time
from typing import Any

SECRETS = (
    "sk-canary-0123456789abcdef",
    "canary-query",
    "canary-body",
    "canary-cookie",
    "canary-agent",
    "canary-answer",
)


def test_a_request_is_one_line_that_says_what_happened(nginx: Any) -> None:
    answer = nginx.api.complete({"sleep": 0.2}, headers={"X-Request-Id": "logged-request"})
    (line,) = nginx.logged("logged-request")
    assert answer.status == line["status"] == 200
    assert (line["door"], line["method"], line["path"], line["host"]) == (
        "api",
        "POST",
        "/v1/chat/completions",
        "api.test",
    )
    assert (line["client"], line["tls"], line["protocol"], line["upstream_status"]) == (
        "127.0.0.1",
        "TLSv1.3",
        "HTTP/1.1",
        "200",
    )
    assert 0.2 <= line["seconds"] < 2
    assert 0.2 <= float(line["upstream_header_seconds"]) < 2
    assert line["bytes_out"] > len(answer.body)


def test_a_refusal_is_logged_as_it_was_asked(nginx: Any) -> None:
    answer = nginx.api.ask("/key/generate?x=1", {}, method="PUT")
    (line,) = nginx.logged(answer.header("x-request-id"))
    assert (line["status"], line["method"], line["path"], line["upstream"]) == (404, "PUT", "/key/generate", "")


def test_the_replica_that_answered_is_logged(nginx: Any, stubs: Any) -> None:
    asked = nginx.south("single").complete(headers={"X-Request-Id": "of-the-client"})
    name = dict(asked.json["headers"])["X-Request-Id"]
    (line,) = nginx.logged(name)
    assert (line["door"], line["upstream"]) == ("south", stubs["replica-0"].address)
    # The engine has a name of its own for it, and the log has both.
    assert (line["client_request_id"], name != "of-the-client") == ("of-the-client", True)


def test_no_secret_is_written_down(nginx: Any, running: Any, stubs: Any) -> None:
    """Nor when things go wrong, which is when nginx quotes requests."""
    query = "?key=canary-query&api_key=canary-query"
    headers = {"Cookie": "token=canary-cookie", "User-Agent": "canary-agent", "Referer": f"https://chat.test/{query}"}
    wish = {"prompt": "canary-body"}

    def everything() -> None:
        nginx.api.ask(f"/v1/chat/completions{query}", wish, key=nginx.api.KEY, headers=headers)
        nginx.api.ask(f"/v1/chat/completions{query}", wish, headers={**headers, "x-api-key": nginx.api.KEY})
        nginx.api.ask(f"/metrics{query}", key=nginx.api.KEY, headers=headers)
        nginx.api.ask(
            f"/v1/chat/completions{query}", {"a": "canary-body" * 200_000}, key=nginx.api.KEY, headers=headers
        )
        nginx.chat.ask(f"/oauth/callback{query}", wish, key=nginx.api.KEY, headers=headers)

    everything()
    stubs["application"].kill()
    try:
        everything()
        nginx.south("dead").complete(wish, headers={"Cookie": "token=canary-cookie", "User-Agent": "canary-agent"})
    finally:
        stubs["application"].start()
    tight = running("tight")
    for _ in range(9):
        tight.api.ask(f"/v1/models{query}", key=nginx.api.KEY, headers={**headers, "X-Forwarded-For": "10.99.0.1"})
    time.sleep(1.2)
    for variant in (nginx, tight):
        written = variant.written()
        assert "/v1/" in written
        assert [secret for secret in SECRETS if secret in written] == []
        command_line = subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout
        assert nginx.api.KEY not in command_line


def test_prompts_and_answers_touch_no_disk(nginx: Any) -> None:
    nginx.api.complete({"prompt": "x" * 1000 * 1000})
    leftovers = [
        path for kind in ("body", "proxy") for path in (nginx.folder / "lib/nginx" / kind).rglob("*") if path.is_file()
    ]
    assert leftovers == []


def test_the_log_is_reopened_when_it_is_rotated(nginx: Any) -> None:
    nginx.api.complete(headers={"X-Request-Id": "before-rotation"})
    nginx.logged("before-rotation")
    nginx.log.rename(nginx.log.with_suffix(".1"))
    subprocess.run(["/bin/sh", "-c", f'kill -USR1 "$(cat {nginx.pid})"'], check=True)
    end = time.monotonic() + 5
    while not nginx.log.exists() and time.monotonic() < end:
        time.sleep(0.02)
    nginx.api.complete(headers={"X-Request-Id": "after-rotation"})
    assert nginx.logged("after-rotation")


def test_status_is_for_this_host_alone(nginx: Any) -> None:
    assert nginx.status.ask("/health").json == {"status": "ok"}
    assert b"Active connections" in nginx.status.ask("/stub_status").body
    assert nginx.status.ask("/other").status == 404
    assert f"listen 127.0.0.1:{nginx.status.port} " in nginx.config.read_text()
