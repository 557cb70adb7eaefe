# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Rows, the table and the page of what runs where, with hosts that are down and names that nobody should trust."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import growth
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import status, status_page

WHEN = "2026-11-27T18:22:10Z"
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def engine(name: str, model: str = "chat", **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "instance": name,
        "engine": "vllm",
        "source": "hf://a/chat",
        "revision": "0e9e39f249a16976918f6564b8830bc894c89659",
        "requested_revision": "main",
        "request": "r1",
        "generation": 4,
        "state": "serving",
        "since": "2026-11-21T07:14:02Z",
        "held": {},
        "kv": {"planned": {"bytes": 2**31, "tokens": 100}, "measured": {"bytes": None, "tokens": 99}},
        "running": 3,
        "waiting": 0,
        "last": {"kind": "replace", "when": "2026-11-21T07:14:58Z", "verdict": "ready"},
        "drift": [],
        **more,
    }


def model(**more: Any) -> dict[str, Any]:
    return {"name": "chat", "source": "hf://a/chat", "revision": "main", "replicas": 1, **more}


def fleet(*engines: dict[str, Any], models: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    service = {"name": "llm-nginx", "url": "http://127.0.0.1:4101/health", "state": "serving", "since": ""}
    report = {"engines": list(engines), "services": [service], "lock": {}, **more}
    return status.fleet_status({"gpu1": report}, [model()] if models is None else models, {}, WHEN)


def test_a_row_has_what_is_known() -> None:
    (row,) = fleet(engine("chat-0"))["engines"]
    assert status.shown(row) == [
        *("chat", "chat-0", "gpu1", "vllm", "0e9e39f249a1", "4", "serving", "2026-11-21 07:14", "100/99", "2.0", "3/0"),
        "replace 2026-11-21 07:14: ready",
        "-",
    ]
    assert len(status.HEADER) == len(status_page.COLUMNS) == 13


def test_a_host_that_is_down_is_a_row_that_says_so() -> None:
    known = {"gpu2": {"instances": [{"name": "chat-1", "model": "chat", "source": "hf://a/chat", "revision": "main"}]}}
    found = status.fleet_status({"gpu2": {}, "gpu3": {}}, [model()], known, WHEN)
    rows = [(row["host"], row["instance"], row["state"], row["drift"]) for row in found["engines"]]
    assert rows == [("gpu2", "chat-1", "unreachable", []), ("gpu3", "", "unreachable", [])]
    assert status.shown(found["engines"][1])[:3] == ["-", "-", "gpu3"]


def test_a_record_that_differs_from_the_inventory_is_told() -> None:
    def drift(**more: Any) -> list[str]:
        rows: list[list[str]] = [row["drift"] for row in fleet(engine("chat-0"), models=[model(**more)])["engines"]]
        return rows[0]

    assert drift() == []
    assert drift(revision="other") == ["the inventory asks for another source or revision"]
    assert drift(name="code")[0] == "the inventory has no such model" or drift(name="code")[0].startswith(
        "the inventory"
    )
    full = model(facts={"layers": 1}, concurrency=None)
    assert fleet(engine("chat-0"), models=[full])["engines"][0]["drift"] == ["the inventory asks for other values"]
    same = engine("chat-0", request=growth.request_digest(full))
    assert fleet(same, models=[full])["engines"][0]["drift"] == []


def test_a_replica_that_is_not_there_is_told() -> None:
    found = fleet(engine("chat-0"), models=[model(replicas=2), model(name="code")])["engines"]
    assert [(row["model"], row["state"], row["drift"]) for row in found if row["state"] == "absent"] == [
        ("chat", "absent", ["the inventory asks for 2, recorded are 1"]),
        ("code", "absent", ["the inventory asks for 1, recorded are 0"]),
    ]


def test_holds_and_locks_are_told() -> None:
    held = engine("chat-0", held={"who": "ann@ops", "why": "slow"})
    lock = {"playbook": "site.yml", "user": "ann", "control_host": "ops", "began": WHEN, "id": "aa", "step": "step 2"}
    text = status.status_table(fleet(held, lock=lock))
    assert "serving, held" in text
    assert "held by ann@ops: slow" in text
    assert "gpu1 is locked by site.yml of ann on ops since 2026-11-27T18:22:10Z (run aa, step 2)" in text


def test_the_table_has_one_line_for_each_row_whatever_names_contain() -> None:
    text = status.status_table(fleet(engine("chat-0\n\x1b[31m", running=None)))
    assert "\x1b" not in text
    assert len(text.split("\n\n")[0].splitlines()) == 3
    assert "-/0" in text
    assert "nginx" in text.split("\n\n")[1]


def test_stores_have_a_table_of_their_own() -> None:
    assert "STORE" not in status.status_table(fleet(engine("chat-0")))
    rest = {"backup": None, "unbooked_bytes": None, "booked": None, "problem": ""}
    rows = [
        {**rest, "name": "postgresql", "version": "15.14", "bytes": 8 * 1024**2, "backup": "2026-11-28T06:05:01Z"},
        {
            **rest,
            "name": "usage",
            "version": None,
            "bytes": None,
            "unbooked_bytes": 0,
            "booked": "2026-11-28T07:00:09Z",
        },
        {**rest, "name": "valkey", "version": None, "bytes": 700, "problem": "odd\nend"},
    ]
    found = status.fleet_status(
        {"gpu1": {"engines": [], "services": []}}, [], {}, WHEN, stores={"gpu1": rows, "gpu2": []}
    )
    assert [status.shown_store(one) for one in found["stores"]] == [
        ["postgresql", "gpu1", "15.14", "8.0 MiB", "2026-11-28 06:05", "-", "-", "-"],
        ["usage", "gpu1", "-", "-", "-", "0 B", "2026-11-28 07:00", "-"],
        ["valkey", "gpu1", "-", "700 B", "-", "-", "-", "odd end"],
    ]
    assert "2026-11-28 06:05" in status.status_table(found).split("\n\n")[1]


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}


def test_the_page_escapes_everything_and_loads_nothing() -> None:
    hostile = engine(EVIL, EVIL, engine=EVIL, revision=EVIL, state=EVIL, held={"who": EVIL, "why": EVIL}, drift=[EVIL])
    hostile["last"] = {"kind": EVIL, "when": EVIL, "verdict": EVIL}
    lock = {"playbook": EVIL, "user": EVIL, "control_host": EVIL, "began": EVIL, "id": EVIL, "step": EVIL}
    service = {"name": EVIL, "url": EVIL, "state": EVIL, "since": EVIL}
    page = status_page.status_page(fleet(hostile, engine("chat-0"), lock=lock, services=[service]), EVIL)
    assert EVIL not in page
    seen = Seen()
    seen.feed(page)
    assert not seen.tags & {"script", "img", "link", "iframe", "a"}
    assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href")}
    assert not re.search(r"url\(|@import", page)
    assert 'class="state good"' in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_a_page_without_services() -> None:
    page = status_page.status_page(fleet(engine("chat-0"), services=[]))
    assert "1 of 1 engines" in page
    assert "Gateways" not in page
