# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fingerprints of the public keys in a file, as RFC 9580 defines them.

A host need not have GnuPG: apt comes with a verifier that shows no fingerprints. Pure functions over bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Iterator

PUBLIC_KEY = 6
BLOCK = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
# A fingerprint of version 4, or of 5 and 6.
FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


class KeyFileError(ValueError):
    """The content is no file of public keys; the text says why."""


def normal(fingerprint: str) -> str:
    """Return a fingerprint without spaces, in upper case; empty if it is none."""
    text = re.sub(r"\s", "", fingerprint).upper()
    text = text[2:] if text.startswith("0X") else text
    return text if FINGERPRINT.fullmatch(text) else ""


def _binary(content: bytes) -> bytes:
    """Return packets without their armor, in which a file may have several blocks."""
    if b"-----BEGIN" not in content:
        return content
    found = b""
    for block in BLOCK.findall(content.replace(b"\r\n", b"\n")):
        # Headers end with an empty line, and the checksum begins with an equals sign.
        _headers, _blank, body = (b"\n" + block).partition(b"\n\n")
        lines = [line.strip() for line in body.split(b"\n") if not line.startswith(b"=")]
        try:
            found += base64.b64decode(b"".join(lines), validate=True)
        except binascii.Error as error:
            raise KeyFileError("its armor is damaged") from error
    return found


def _length(data: bytes, at: int, octets: int) -> tuple[int, int]:
    if at + octets > len(data):
        raise KeyFileError("it is cut off")
    return int.from_bytes(data[at : at + octets], "big"), at + octets


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each packet."""
    at = 0
    while at < len(data):
        first = data[at]
        at += 1
        if not first & 0x80:
            raise KeyFileError("it has no public key of OpenPGP")
        if first & 0x40:
            kind = first & 0x3F
            size, at = _length(data, at, 1)
            if 192 <= size < 224:
                more, at = _length(data, at, 1)
                size = ((size - 192) << 8) + more + 192
            elif size == 255:
                size, at = _length(data, at, 4)
            elif size >= 224:
                raise KeyFileError("it has a packet in parts, which no key has")
        else:
            kind = (first >> 2) & 0x0F
            if first & 0x03 == 3:
                raise KeyFileError("it has a packet without a length, which no key has")
            size, at = _length(data, at, 1 << (first & 0x03))
        if at + size > len(data):
            raise KeyFileError("it is cut off")
        yield kind, data[at : at + size]
        at += size


def _fingerprint(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 4:
        # RFC 9580 prescribes SHA-1 for this version.
        content = b"\x99" + len(body).to_bytes(2, "big") + body
        return hashlib.sha1(content).hexdigest().upper()  # noqa: S324 # nosec B324
    if version in (5, 6):
        prefix = bytes([0x9A if version == 5 else 0x9B])
        return hashlib.sha256(prefix + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise KeyFileError(f"it has a key of version {version}, which is no longer safe")


def fingerprints(content: bytes) -> list[str]:
    """Return the fingerprints of all primary keys of a file, armored or not.

    A package manager accepts the signature of any of them, so a caller compares all.

    :raises KeyFileError: for a content that is no file of public keys.
    """
    found = [_fingerprint(body) for kind, body in _packets(_binary(content)) if kind == PUBLIC_KEY]
    if not found:
        raise KeyFileError("it has no public key of OpenPGP")
    return found
