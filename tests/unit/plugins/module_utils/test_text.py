# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.parse
from typing import Callable

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils import text
from hypothesis import given, settings
from hypothesis import strategies as st

AWKWARD = """it's "a" $HOME 100% `id` c:\\new"""
# What a secret of one line may hold; a line break is refused before.
SECRETS = st.text(st.sampled_from("'\"$%\\` \t#;=!{}~*&+/aüZ0\N{SNOWMAN}"), max_size=20)


def systemd_reads(content: str) -> dict[str, str]:
    """Read a file of variables as systemd does (``parse_env_file_internal`` in src/basic/env-file.c), line by line."""
    values = {}
    for line in content.splitlines():
        key, _, rest = line.partition("=")
        value, state = "", "pre"
        for character in rest:
            if state == "escape":
                state, value = "value", value + character
            elif state == '"\\':
                state, value = '"', value + ("" if character in '"\\`$' else "\\") + character
            elif state in ("'", '"') and character == state:
                state = "pre"
            elif state == '"' and character == "\\":
                state = '"\\'
            elif state in ("'", '"'):
                value += character
            elif character == "\\":
                state = "escape"
            elif state == "pre" and character in "'\"":
                state = character
            elif state == "value" or character not in " \t":
                state, value = "value", value + character
        values[key] = value
    return values


@given(st.dictionaries(st.sampled_from("ABC"), SECRETS, max_size=3))
def test_what_is_written_is_what_systemd_and_we_read(values: dict[str, str]) -> None:
    written = text.environment_file(values)
    assert systemd_reads(written) == values
    assert text.parse_environment_file(written) == values


@settings(max_examples=25)
@given(SECRETS)
def test_what_is_written_is_what_a_shell_reads(value: str) -> None:
    script = text.environment_file({"VALUE": value}) + 'printf %s "$VALUE"'
    read = subprocess.run(["/bin/sh"], input=script.encode(), check=True, stdout=subprocess.PIPE).stdout
    assert read.decode() == value


def test_systemd_does_not_take_the_shells_apostrophe() -> None:
    # Seen with systemd 257: this is why such a value stands in double quotes.
    assert systemd_reads("A='it'\\''s'") == {"A": "it''s'"}


def test_a_file_of_an_earlier_version_can_be_read() -> None:
    content = "# a comment\nA='it'\\''s'\nB='plain'\n\nC=bare\n"
    assert text.parse_environment_file(content) == {"A": "it's", "B": "plain", "C": "bare"}


WRITERS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "shell": shlex.quote,
    "shell, by hand": lambda value: "'" + value.replace("'", "'\\''") + "'",
    "secrets.env": lambda value: text.environment_file({"KEY": value}),
    "JSON": json.dumps,
    "JSON with letters": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON of a shell's": lambda value: json.dumps(shlex.quote(value)),
    "JSON of a representation": lambda value: json.dumps(repr(value)),
    "Python": lambda value: repr([value]),
    "URL": lambda value: urllib.parse.quote(value, safe=""),
    "URL's path": urllib.parse.quote,
    "URL's query": lambda value: urllib.parse.urlencode({"key": value}),
    "YAML": lambda value: "'" + value.replace("'", "''") + "'",
    # roles/service/templates/unit.service.j2
    "Environment=": lambda v: v.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%"),
    "ExecStart=": lambda v: v.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$"),
}


@pytest.mark.parametrize("writer", WRITERS)
@given(value=SECRETS.filter(lambda value: len(value) >= text.SHORTEST_SECRET))
def test_a_secret_is_hidden_however_it_is_quoted(writer: str, value: str) -> None:
    line = WRITERS[writer](value)
    hidden = text.redact(f"before {line} after", [value])
    assert text.HIDDEN in hidden
    assert not any(form in hidden.replace(text.HIDDEN, "") for form in (line, value) if len(form) > len(" after "))


@pytest.mark.parametrize(
    ("line", "secrets", "clean"),
    [
        ("key sk-0123456789 refused", ["sk-0123456789"], "key *** refused"),
        ("Bearer sk-0123456789", ["Bearer sk-0123456789"], "***"),
        ("got sk-0123456789, a Bearer token", ["Bearer sk-0123456789"], "got ***, a Bearer token"),
        # The longest first, or its end would stay.
        ("0123456789abcdef", ["0123456", "0123456789abcdef"], "***"),
        ("nothing here, port 80", ["", "no", "80"], "nothing here, port 80"),
        (f"login with '{AWKWARD}' failed", [AWKWARD], "login with '***' failed"),
    ],
)
def test_redact(line: str, secrets: list[str], clean: str) -> None:
    assert text.redact(line, secrets) == clean


def test_the_log_of_a_service_with_an_apostrophe_in_its_password() -> None:
    content = text.environment_file({"ADMIN_PASSWORD": "it's-a-long-password", "PORT": "80"})
    values = text.parse_environment_file(content).values()
    assert text.redact("login as admin with it's-a-long-password failed at port 80", values) == (
        "login as admin with *** failed at port 80"
    )


@pytest.mark.parametrize(
    ("given", "shown"), [("", ""), (" a\n\tb ", "a b"), ("x" * 10, "x" * 10), ("x" * 11, "x" * 10 + " ...")]
)
def test_an_excerpt_is_one_line(given: str, shown: str) -> None:
    assert text.excerpt(given, 10) == shown
