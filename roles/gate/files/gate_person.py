# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom a request is, as the page says that people use.

The page has a key of its own, and its headers count with that key alone: whoever has another key could name anybody.
They are read here and go no further. Knows nothing of keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

# Open WebUI sends these, and besides them name, role, and the id of the chat, which nobody needs here.
HEADERS = {"id": "x-openwebui-user-id", "email": "x-openwebui-user-email"}
# What a person cannot choose so that it does something in a table, a terminal or a query.
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]{0,127}")
DIGITS = 32


def person_of(kind: str, headers: Mapping[str, str]) -> str | None:
    """The name under which a request is booked; none if its key names nobody, or the page does not.

    :param kind: `id` or `email`; empty for a key whose requests are not believed.
    :param headers: those of the request, whatever their case.

    An address with other characters, or a longer one, is booked as its digest: it stays one person.
    """
    given = headers.get(HEADERS[kind], "") if kind else ""
    if not given:
        return None
    if PLAIN.fullmatch(given):
        return given
    return "sha256:" + hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
