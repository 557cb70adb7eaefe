# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A form with a file, as clients of audio send it: read whole, and written anew."""

from __future__ import annotations

import re

import aiohttp

MOST_FIELDS = 50
MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,64}")
# Only the ending of a name means something, as the format of a sound.
PLAIN = re.compile(r"[^A-Za-z0-9._-]")


class Form:
    """Its fields in their order: name, value, and for an upload the name of the file and its type."""

    def __init__(self) -> None:
        self.items: list[tuple[str, object, str | None, str]] = []

    def full(self) -> bool:
        """Whether it has as many fields as a form may have."""
        return len(self.items) >= MOST_FIELDS

    def add(self, name: str, content: bytes, filename: str | None, kind: str) -> None:
        """Add a field. ValueError for a text that is none."""
        self.items.append((name, content.decode() if filename is None else content, filename, kind))

    async def written(self, model: str) -> tuple[str, bytes]:
        """The type and the bytes of the form as it is sent on, for the model under its own name."""
        payload = self.rebuilt(model)()
        return payload.headers["content-type"], await payload.as_bytes()

    def rebuilt(self, model: str) -> aiohttp.FormData:
        """The form for the model under its own name."""
        form = aiohttp.FormData()
        for name, value, filename, kind in self.items:
            if filename is None:
                form.add_field(name, model if name == "model" else value)
            else:
                kind = kind if MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"
                form.add_field(name, value, filename=PLAIN.sub("_", filename)[-100:] or "file", content_type=kind)
        return form
