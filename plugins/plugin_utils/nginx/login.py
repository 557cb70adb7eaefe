# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line of the file of users with which Nginx checks a log-in.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import base64
import hashlib


def login(user: str, password: str) -> str:
    """Return the line, the same one for the same password, so that a second run changes nothing.

    Nginx reads the scheme ``{SSHA}``: Base64 of the SHA-1 of password and salt, and the salt (RFC 2307 with a salt). It
    is quick, so that a page of many questions does not hold up the doors; a generated password has 24 and more random
    characters, which nobody tries out.

    :param user: without colon.
    """
    salt = hashlib.sha256(f"{user}:{password}".encode()).digest()[:8]
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return f"{user}:{{SSHA}}{base64.b64encode(digest + salt).decode()}"
