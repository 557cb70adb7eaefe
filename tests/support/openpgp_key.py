# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A public key for tests of what reads keys."""

from __future__ import annotations

# A key that gpg made; its secret part was thrown away.
FINGERPRINT = "D1A514297AD6B9CA3012C6D6DEE7E2854697127E"
ARMORED = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: made for this test

mDMEawihaBYJKwYBBAHaRw8BAQdAq8rGSzffQ5l+8LaWwtqPUGEc3ASVfv9zAqd/
dZQwF1y0JGxsbWZsZWV0IHRlc3QgPHRlc3RAZXhhbXBsZS5pbnZhbGlkPoiQBBMW
CAA4FiEE0aUUKXrWucowEsbW3ufihUaXEn4FAmsIoWgCGwMFCwkIBwIGFQoJCAsC
BBYCAwECHgECF4AACgkQ3ufihUaXEn5dAwD/dT7m7vihYvUD2PlGLTnyZY2wJtZ7
GTCKd9jwprh/CvEA/R0nw8ajWLLaNqY0oM/llkqdKLAbL11Hk1p5ED+ms8sC
=oiq/
-----END PGP PUBLIC KEY BLOCK-----
"""


def packet(body: bytes, first: int = 0xC6) -> bytes:
    """Return a packet of OpenPGP, a public key unless another first byte is given."""
    return bytes([first, 0xFF]) + len(body).to_bytes(4, "big") + body
