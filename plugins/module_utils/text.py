# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write values into environment files, read them, and hide them in messages.

Pure functions, and nothing but the standard library: the scanner of the tests loads this file by its path.
"""

from __future__ import annotations

import html
import json
import re
import shlex
import urllib.parse
from typing import Any, Iterable, Mapping

# A shorter value occurs everywhere, and hiding it would make a text unreadable; the same applies to the word "Bearer".
SHORTEST_SECRET, SHORTEST_WORD = 6, 7
HIDDEN = "***"
# Characters that a backslash escapes between double quotes, in a POSIX shell and in systemd alike.
_SPECIAL = re.compile(r'(["\\`$])')


def environment_file(values: Mapping[str, Any]) -> str:
    """Return ``KEY='value'`` lines that a POSIX shell and systemd's ``EnvironmentFile=`` read the same way.

    A value with an apostrophe stands in double quotes: systemd takes no quote for one that follows a backslash outside
    of quotes, so the shell's ``'\\''`` would become two apostrophes there.
    """
    lines = []
    for key in sorted(values):
        value = str(values[key])
        lines.append(f"{key}='{value}'\n" if "'" not in value else f'{key}="{_escaped(value)}"\n')
    return "".join(lines)


def parse_environment_file(text: str) -> dict[str, str]:
    """Return the values of a file that :func:`environment_file` wrote."""
    values = {}
    for line in text.splitlines():
        key, equals, quoted = line.partition("=")
        if not equals or line.lstrip().startswith(("#", ";")):
            continue
        if quoted[:1] == '"':
            values[key] = re.sub(r'\\(["\\`$])', r"\1", quoted[1:-1])
        else:
            # Earlier versions wrote an apostrophe like this.
            values[key] = quoted.strip().replace("'\\''", "\0").strip("'").replace("\0", "'")
    return values


def _escaped(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


def written_forms(value: str) -> set[str]:
    """Return a value as shells, JSON, Python, systemd, URLs and HTML write it, without the quotes around it."""
    systemd = value.replace("\\", "\\\\").replace('"', '\\"')
    forms = {
        value,
        shlex.quote(value),
        value.replace("'", "'\\''"),
        value.replace("'", "'\"'\"'"),
        _escaped(value),
        systemd,
        systemd.replace("%", "%%"),
        systemd.replace("%", "%%").replace("$", "$$"),
        value.replace("$", "$$"),
        value.replace("'", "''"),
        repr(value)[1:-1],
        value.replace("\\", "\\\\").replace("'", "\\'"),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote(value),
        urllib.parse.quote_plus(value),
        html.escape(value),
    }
    # Output is often JSON around a text that already contains one of these forms.
    for form in list(forms):
        forms |= {json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1]}
    return {form for form in forms if form}


def excerpt(text: str, most: int) -> str:
    """Return the beginning of a text on one line.

    :param most: characters that are kept; a longer text ends with dots.
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]} ..."


def redact(text: str, values: Iterable[str]) -> str:
    """Return a text without any of the secret values, nor any word of one (``Bearer sk-...``), however it is quoted.

    :param values: the secrets; what is shorter than :data:`SHORTEST_SECRET` stays.
    """
    values = list(values)
    words = {value for value in values if len(value) >= SHORTEST_SECRET}
    words |= {word for value in values for word in value.split() if len(word) >= SHORTEST_WORD}
    forms = {form for word in words for form in written_forms(word)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text
