# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open WebUI sends nothing to the outside: it runs in a network of its own, where all that leaves is written down."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from page_run import ROOT, TESTS, programs, used

RECORD = ROOT / "tests" / "unit" / "roles" / "open_webui" / "release.json"
# What users can do. Everything else is refused, to administrators only if the fleet has nothing for it.
WORKS = {"chat", "picture", "upload", "update", "voices", "speech models", "image models", "avatar"}
ADMINISTRATORS = WORKS | {"knowledge", "leaders", "quota"}
# What an embedding model brings.
REMEMBERS = {"memory", "recall"}
SEARCHES = {"search"}
# Open WebUI says only "401 Unauthorized" to a user who asks for what the page does not offer to users.
NOT_OFFERED = {"user: knowledge"}
# What nobody reads: a text file has no HTML, and no account comes from elsewhere. Tools and channels are off.
UNREADABLE = {"file: GET /content/html", "person: GET /oauth/sessions"}
OFF = ("tool: ", "channel: ")
SENTENCE = re.compile(r"\[?[A-Z][^<>{}]{8,}")


@pytest.fixture(scope="module", params=["", "embed"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page of a fleet without and with an embedding model."""
    # The second one also tells the gateway who asks.
    changes = {"open_webui_embedding_model": request.param, "open_webui_names_persons": bool(request.param)}
    found = used(tmp_path_factory.mktemp("page"), changes, "page")
    return {**found, "embeds": request.param}


def test_nothing_leaves_whatever_a_person_does(report: Any) -> None:
    assert report["control"], "nothing at all was written down: this test proves nothing here"
    deeds = {f"{who}: {name}": deed["sent"] for who in ("admin", "user") for name, deed in report[who].items()}
    assert {name: sent for name, sent in deeds.items() if sent} == {}
    assert report["sent"] == []


def test_what_the_fleet_has_works_and_everything_else_is_refused(report: Any) -> None:
    embedded = {"admin": REMEMBERS | SEARCHES, "user": REMEMBERS} if report["embeds"] else {}
    for who, works in {"admin": ADMINISTRATORS, "user": WORKS}.items():
        got = {name for name, deed in report[who].items() if deed["status"] == 200}
        assert got == works | embedded.get(who, set()), who
    assert "streamed" in report["user"]["chat"]["text"]
    assert report["ran"] is False, "an administrator ran code on the host"


def test_embeddings_come_from_the_gateway(report: Any) -> None:
    asked = {line for line in report["gateway"] if line.startswith("/v1/embeddings")}
    assert asked == ({"/v1/embeddings embed"} if report["embeds"] else set())


def test_the_gateway_is_told_who_asks_if_it_wants_to_know(report: Any) -> None:
    told = {person for _path, person in report["persons"]}
    if not report["embeds"]:
        assert told == {""}
        return
    assert told - {""} <= set(report["accounts"])
    # Open WebUI embeds the name of a knowledge base for nobody; every chat is for somebody.
    asking = [person for path, person in report["persons"] if path == "/v1/chat/completions"]
    assert asking
    assert "" not in asking


def test_every_error_is_a_sentence(report: Any) -> None:
    deeds = {f"{who}: {name}": deed for who in ("admin", "user") for name, deed in report[who].items()}
    errors = {name: json.loads(deed["text"]) for name, deed in deeds.items() if deed["status"] != 200}
    errors["down"] = json.loads(report["down"][1])
    texts = {name: error.get("detail") or error.get("error", {}).get("message") for name, error in errors.items()}
    assert {name for name, text in texts.items() if not SENTENCE.match(str(text))} == NOT_OFFERED
    assert texts["user: limited"] == "Too many requests of this key. Try again in 7 seconds."
    assert "2 MB" in texts["admin: large"]
    assert texts["user: quota"].startswith("Your files take 0 of 1 MB, and this one has 1 MB. Delete files first")


def test_buttons_that_would_only_fail_are_not_shown(report: Any) -> None:
    features, embeds = report["settings"]["features"], bool(report["embeds"])
    off = ("enable_web_search", "enable_image_generation", "enable_direct_connections", "enable_community_sharing")
    assert [name for name in (*off, "enable_plugins", "enable_version_update_check") if features[name]] == []
    assert features["enable_memories"] is embeds
    allowed = report["permissions"]
    assert [name for name in ("stt", "tts", "call", "web_upload") if allowed["chat"][name]] == []
    assert [name for name in ("web_search", "image_generation") if allowed["features"][name]] == []
    assert allowed["features"]["memories"] is embeds
    hidden = report["settings"]["ui"]["visibility"]
    assert hidden["chat.attach_webpage"] is False
    assert ("chat.attach_knowledge" in hidden) is not embeds


def test_signing_out_ends_the_sessions_of_that_account(report: Any) -> None:
    assert (report["before"], report["after"], report["later"]) == (200, {"ann": 401, "again": 401, "bob": 200}, 200)


def test_users_see_no_addresses_of_others(report: Any) -> None:
    listed = {user["name"]: user["email"] for user in report["users of user"]["users"]}
    assert listed == {"Administrator": "", "Ann": "ann@mail.example", "Bob": ""}
    assert (report["other"]["name"], report["other"]["email"]) == ("Bob", "")
    assert report["own"]["email"] == "ann@mail.example"
    assert report["users by address"] == {"users": [], "total": 0}
    assert [user["name"] for user in report["users by name"]["users"]] == ["Bob"]
    assert report["administrator"][0] == 400
    seen = {user["email"] for user in report["users of admin"]["users"]}
    assert seen == {"admin@localhost", "ann@mail.example", "bob@mail.example"}


def test_nobody_gets_what_another_person_or_the_administrator_has(report: Any) -> None:
    tried = report["attacks"]
    for who in ("user", "nobody"):
        assert {name: status for name, status in tried[who].items() if status not in (401, 403, 404)} == {}, who
    # To an administrator they are there, so the paths are those of this release.
    assert {name: status for name, status in report["readable"].items() if status != 200} == {}
    assert (tried["kept"], tried["title"]) == ([200, 200], "private")


def test_nobody_reads_or_changes_by_its_id_what_another_person_has(report: Any) -> None:
    private = report["private"]
    for who, statuses in private["statuses"].items():
        # Open WebUI refuses to change some things with 400.
        refusals = (400, 401, 403, 404) if who == "user" else (401, 403, 404)
        assert {name: status for name, status in statuses.items() if status not in refusals} == {}, who
    assert len(private["statuses"]["user"]) > 80
    assert private["seen"] == []
    unreadable = {name for name, status in private["readable"].items() if status != 200}
    assert {name for name in unreadable if not name.startswith(OFF)} == UNREADABLE
    assert {kind for kind, kept in private["kept"].items() if not kept} == set()
    assert private["remembered"]
    # Neither a file nor a collection of another person gets into a prompt.
    assert (private["sent on"], private["asked"] > 0) == ([], True)


def test_live_events_are_for_sessions_and_for_what_is_ones_own(report: Any) -> None:
    sockets = report["sockets"]
    assert sockets["polling"][0] == 400
    assert sockets["other origin"] == 403
    assert sockets["http"] == {"nobody": 401, "empty": 401, "forged": 401, "unsigned": 401, "user": 200}
    assert "privateinanote" in sockets["owner"]
    for who in ("nobody", "empty", "forged", "unsigned", "user"):
        came = sockets["came"][who] + sockets["later"][who]
        assert "privateinanote" not in came, who
        # A socket without a session is closed, and an event would begin with 42.
        assert "42[" not in came, who
        assert ("41" in came) == (who != "user"), who


def test_the_log_has_no_word_of_what_people_write(report: Any) -> None:
    # A request that is answered tries nothing.
    assert sum(status >= 400 for status in report["mistakes"]) > 200
    assert report["logged"] > 100, "nothing was logged: this test proves nothing here"
    assert report["quoted"] == []


def test_a_model_that_nobody_has_granted_is_used_by_nobody(tmp_path: Path) -> None:
    models = used(tmp_path, {"open_webui_share_models": False}, "models")["models"]
    assert models["control"] == [200, 1]
    assert (models["listed"], models["asked"]) == ([], [])
    answered = {name: text for name, (status, text) in models["tried"].items() if status < 400}
    assert [name for name, text in answered.items() if not text.endswith(' is disabled"}')] == []
    assert {name: status for name, status in models["nobody"].items() if status not in (401, 403, 404)} == {}


def test_a_picture_of_a_user_leads_nowhere(report: Any) -> None:
    assert report["picture set"][0] == 200
    assert report["picture"] == 200


def test_the_record_is_of_this_release(tmp_path: Path) -> None:
    """What the unit tests compare the role with."""
    command = [str(programs() / "python"), str(TESTS / "record.py")]
    run = subprocess.run(command, text=True, capture_output=True, cwd=tmp_path, timeout=200, check=True)
    assert json.loads(run.stdout) == json.loads(RECORD.read_text())
