# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fingerprints of key files are those that GnuPG shows; what is no key is told from one."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import openpgp
from openpgp_key import ARMORED, FINGERPRINT, packet

BINARY = base64.b64decode("".join(ARMORED.split("\n\n")[1].split("=oiq/")[0].split()))
DEBIAN = sorted(Path("/usr/share/keyrings").glob("debian-archive-*.gpg"))


@pytest.mark.parametrize(
    "content",
    [
        ARMORED.encode(),
        ARMORED.replace("\n", "\r\n").encode(),
        ARMORED.replace("Comment: made for this test\n", "").encode(),
        b"Some words before it.\n" + ARMORED.encode() + b"and after it\n",
        BINARY,
    ],
    ids=["armored", "DOS", "no header", "words", "binary"],
)
def test_a_key_has_its_fingerprint(content: bytes) -> None:
    assert openpgp.fingerprints(content) == [FINGERPRINT]


def test_every_key_of_a_file_is_found() -> None:
    other = packet(b"\x04other")
    expected = hashlib.sha1(b"\x99\x00\x06\x04other").hexdigest().upper()
    assert openpgp.fingerprints(BINARY + other) == [FINGERPRINT, expected]
    armored = base64.encodebytes(other).decode()
    second = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{armored}-----END PGP PUBLIC KEY BLOCK-----\n"
    assert openpgp.fingerprints((ARMORED + second).encode()) == [FINGERPRINT, expected]


@pytest.mark.parametrize(("version", "prefix"), [(5, 0x9A), (6, 0x9B)])
def test_newer_versions(version: int, prefix: int) -> None:
    body = bytes([version]) + b"k" * 300
    for content in (packet(body), bytes([0xC6, 192, len(body) - 192]) + body, bytes([0x99, 1, 45]) + body):
        wanted = hashlib.sha256(bytes([prefix]) + len(body).to_bytes(4, "big") + body).hexdigest().upper()
        assert openpgp.fingerprints(content) == [wanted]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no public key"),
        (b"<html>Not found</html>", "no public key"),
        (BINARY[:40], "cut off"),
        (BINARY[:1], "cut off"),
        (b"\xc6\xe1abc", "in parts"),
        (b"\x9babc", "without a length"),
        (packet(b"\x03old"), "version 3"),
        (packet(b""), "version 0"),
        (packet(b"\x04subkey alone", 0xCE), "no public key"),
        (ARMORED.replace("mDME", "m?ME").encode(), "damaged"),
        (ARMORED.replace("PUBLIC", "PRIVATE").encode(), "no public key"),
    ],
)
def test_what_is_no_file_of_keys_is_told(content: bytes, words: str) -> None:
    with pytest.raises(openpgp.KeyFileError, match=words):
        openpgp.fingerprints(content)


@pytest.mark.skipif(not shutil.which("gpg") or not DEBIAN, reason="no gpg, or no keys of Debian")
def test_they_are_those_that_gnupg_shows(tmp_path: Path) -> None:
    for path in DEBIAN:
        command = ["gpg", "--homedir", str(tmp_path), "--with-colons", "--show-keys", str(path)]
        shown = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        # The first fingerprint after "pub:" is that of the primary key; those of its subkeys follow.
        primary = re.findall(r"^pub:(?:.*\n(?!fpr:))*.*\nfpr:+([0-9A-F]+):", shown, re.MULTILINE)
        assert openpgp.fingerprints(path.read_bytes()) == primary


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("9DC8 5822 9FC7 DD38 854A  E2D8 8D81 803C 0EBF CD88", "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"),
        ("0x9dc858229fc7dd38854ae2d88d81803c0ebfcd88", "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"),
        ("0EBFCD88", ""),
        ("", ""),
        ("9DC858229FC7DD38854AE2D88D81803C0EBFCD8G", ""),
    ],
)
def test_how_people_write_a_fingerprint(text: str, normal: str) -> None:
    assert openpgp.normal(text) == normal
