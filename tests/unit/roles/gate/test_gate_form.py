# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A form is written anew, with what is known of it."""

from __future__ import annotations

from typing import Any

import pytest
from gate_form import MOST_FIELDS, Form


def written(form: Form) -> list[tuple[dict[str, str], dict[str, str], object]]:
    """Names, headers and values of the form that is sent."""
    fields: list[Any] = form.rebuilt("chat")._fields
    return [(dict(options), dict(headers), value) for options, headers, value in fields]


def test_the_model_has_its_own_name_and_the_rest_stays() -> None:
    form = Form()
    form.add("model", b"gpt-4o", None, "")
    form.add("language", "dé".encode(), None, "text/x-evil")
    form.add("file", b"\x00\xff", "a.wav", "audio/wav")
    model, language, upload = written(form)
    assert model == ({"name": "model"}, {}, "chat")
    assert language == ({"name": "language"}, {}, "dé")
    assert upload == ({"name": "file", "filename": "a.wav"}, {"Content-Type": "audio/wav"}, b"\x00\xff")


@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        ("../../etc/passwd", "audio/wav", (".._.._etc_passwd", "audio/wav")),
        ("", "", ("file", "application/octet-stream")),
        ("a\r\nx: y.mp3", "audio/wav; charset=\u00e9", ("a__x__y.mp3", "application/octet-stream")),
        ("\udcff.ogg", "nonsense", ("_.ogg", "application/octet-stream")),
        ("x" * 500 + ".flac", "a/b", ("x" * 95 + ".flac", "a/b")),
    ],
)
def test_a_file_has_a_plain_name_and_type(name: str, kind: str, sent: tuple[str, str]) -> None:
    form = Form()
    form.add("file", b"x", name, kind)
    [(options, headers, _value)] = written(form)
    assert (options["filename"], headers["Content-Type"]) == sent


def test_a_form_has_an_end_and_its_texts_are_text() -> None:
    form = Form()
    with pytest.raises(ValueError, match="utf-8"):
        form.add("model", b"\xff", None, "")
    for _number in range(MOST_FIELDS):
        assert not form.full()
        form.add("a", b"", None, "")
    assert form.full()
