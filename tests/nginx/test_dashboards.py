# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door of the dashboards: a log-in, one page that loads nothing else, and two questions to Prometheus."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import time
from typing import Any

import pytest

PASSWORD = "canary-of-the-dashboards"
QUERY = "/api/v1/query?query=up%7Bmodel%3D~%22.%2A%22%7D"


def logged_in(user: str = "operator", password: str = PASSWORD, **more: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(), **more}


@pytest.mark.parametrize("path", ["/", QUERY, "/api/v1/query_range?query=up&start=1&end=2&step=1"])
@pytest.mark.parametrize(
    "headers", [{}, logged_in(password="wrong"), logged_in("other"), {"Authorization": "Bearer x"}]
)
def test_nothing_is_shown_without_a_log_in(nginx: Any, stubs: Any, path: str, headers: dict[str, str]) -> None:
    before = stubs["application"].seen()["requests"]
    answer = nginx.dashboards.ask(path, headers=headers)
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Basic realm="LLM fleet"'
    assert stubs["application"].seen()["requests"] == before
    assert b"LLM fleet</title>" not in answer.body


def test_the_page_may_run_and_ask_nothing_but_its_own(nginx: Any) -> None:
    answer = nginx.dashboards.ask("/", headers=logged_in())
    assert (answer.status, answer.header("content-type")) == (200, "text/html; charset=utf-8")
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("x-frame-options") == "DENY"
    policy = dict(part.split(" ", 1) for part in answer.header("content-security-policy").split("; "))
    assert (policy["default-src"], policy["connect-src"], policy["img-src"]) == ("'none'", "'self'", "data:")
    assert "unsafe" not in str(policy)
    text = answer.body.decode()
    for name in ("script", "style"):
        (inline,) = re.findall(rf"<{name}>(.*?)</{name}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert policy[f"{name}-src"] == f"'sha256-{digest}'"
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "{{model}}" in text


def test_the_page_is_small_on_the_way(nginx: Any) -> None:
    answer = nginx.dashboards.ask("/", headers=logged_in(**{"Accept-Encoding": "gzip"}))
    assert answer.header("content-encoding") == "gzip"
    assert len(answer.body) < 60_000 < len(gzip.decompress(answer.body))


def test_questions_arrive_with_a_bound_and_without_what_is_no_part_of_them(nginx: Any) -> None:
    headers = logged_in(Cookie="a=b")
    answer = nginx.dashboards.ask(f"{QUERY}&time=7&timeout=9h&lookback_delta=9d&x=%0d%0a", headers=headers)
    assert answer.json["path"] == "/api/v1/query?timeout=10s&query=up%7Bmodel%3D~%22.%2A%22%7D&time=7"
    passed = dict(answer.json["headers"])
    assert "Authorization" not in passed
    assert "Cookie" not in passed
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]
    path = "/api/v1/query_range?step=15&end=2&start=1&query=up&timeout=9h"
    answer = nginx.dashboards.ask(path, headers=headers)
    assert answer.json["path"] == "/api/v1/query_range?timeout=10s&query=up&start=1&end=2&step=15"


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/graph",
        "/api/v1/labels",
        "/api/v1/status/config",
        "/api/v1/admin/tsdb/snapshot",
        "/api/v1/query/../status/config",
        "/api/v1/query%2f..%2fstatus/config",
        "/api/v1/query/",
        "/-/quit",
        "/federate",
        "/dashboards.login",
        "/dashboards.html",
        "/nginx.conf",
        "/tls.pem",
    ],
)
def test_nothing_else_of_prometheus_and_of_the_host_is_there(nginx: Any, stubs: Any, path: str) -> None:
    answer = nginx.dashboards.ask(path, headers=logged_in())
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert path not in stubs["application"].seen()["paths"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", QUERY])
def test_nothing_can_be_written(nginx: Any, stubs: Any, method: str, path: str) -> None:
    before = stubs["application"].seen()["requests"]
    assert nginx.dashboards.ask(path, b"query=up", method=method, headers=logged_in()).status == 405
    assert stubs["application"].seen()["requests"] == before


def test_guesses_and_questions_are_limited(running: Any) -> None:
    door = running("tight").dashboards
    statuses = [door.ask("/", headers=logged_in(password=str(number))).status for number in range(9)]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_an_unreachable_prometheus_is_told(nginx: Any, rendered: Any) -> None:
    text = rendered["main"].config.read_text()
    assert re.search(
        r"upstream door-dashboards \{\n\s+zone [^;]+;\n\s+#.*\n\s+server \S+ max_fails=3 fail_timeout=5s;", text
    )
    assert "limit_conn dashboards_queries 8;" in text


def test_the_password_is_nowhere_and_a_fleet_without_dashboards_has_no_door(rendered: Any, nginx: Any) -> None:
    nginx.dashboards.ask(QUERY, headers=logged_in())
    time.sleep(1.2)
    files = [path for path in nginx.config.parent.iterdir() if path.name != "rendered.json"]
    secret = base64.b64encode(f"operator:{PASSWORD}".encode()).decode()
    for text in (nginx.written(), *(path.read_text() for path in files)):
        assert PASSWORD not in text
        assert secret not in text
    assert "canary" not in (nginx.config.parent / "dashboards.login").read_text()
    assert "dashboards.login" not in rendered["south"].config.read_text()
    # Each worker writes its lines a moment later, so their order is not that of the requests.
    paths = {line["path"] for line in nginx.logged() if line["door"] == "dashboards"}
    assert "/api/v1/query" in paths
    assert not [path for path in paths if "?" in path or "up{" in path]
