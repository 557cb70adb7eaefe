# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For whom a request is booked, whatever the page's headers hold."""

from __future__ import annotations

import re

import pytest
from gate_person import person_of
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

ID = "5e1f6b1c-0a9e-4b65-9e0b-3a4d1f5f6a77"
HEADERS = CIMultiDict({"X-OpenWebUI-User-Id": ID, "X-OpenWebUI-User-Email": "ann@example.org"})


@pytest.mark.parametrize(("kind", "named"), [("id", ID), ("email", "ann@example.org"), ("", None)])
def test_a_key_says_what_names_a_person(kind: str, named: str | None) -> None:
    assert person_of(kind, HEADERS) == named
    assert person_of(kind, {}) is None


@pytest.mark.parametrize(
    "text", ["=cmd()@x.org", "-1+1@x.org", "ann b@x.org", "änne@x.org", "a" * 129, "\x1b[2J", "\udc80"]
)
def test_what_could_do_something_elsewhere_is_booked_as_its_digest(text: str) -> None:
    name = person_of("email", {"x-openwebui-user-email": text})
    assert re.fullmatch(r"sha256:[0-9a-f]{32}", name)
    assert name == person_of("email", {"x-openwebui-user-email": text}), "it stays one person"


@given(st.text(min_size=1, max_size=400))
def test_every_name_is_short_and_plain(text: str) -> None:
    name = person_of("id", {"x-openwebui-user-id": text})
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]{0,127}", name)
