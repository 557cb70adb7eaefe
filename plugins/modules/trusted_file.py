#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch a file that root will trust, and write it only if it is the one that was asked for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trusted_file
short_description: Fetch a key or package only if its fingerprint or checksum is known
version_added: 0.2.0
author: llmfleet contributors (@llmfleet)
description:
  - Fetches the key of a package repository, or a package that brings one, compares it, and writes it only if it is the
    one that was asked for. Nothing that differs reaches the disk.
  - A file that is there and right is not fetched again. One that is wrong is replaced.
  - Every key in a file must be known, because a package manager accepts the signature of any of them.
  - GnuPG is not needed.
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.host
attributes:
  check_mode: {support: full, details: Returns whether the file would be fetched. Nothing is fetched.}
  diff_mode: {support: none}
  idempotent: {support: full, details: A file that is right is not fetched again.}
options:
  url:
    description: Source of the file.
    type: str
    required: true
  dest:
    description: The file. Its directory must exist.
    type: path
    required: true
  checksum:
    description: Its checksum, as C(sha256:...), C(sha384:...) or C(sha512:...).
    type: str
    default: ""
  fingerprints:
    description: Fingerprints of the keys that the file may have. They are compared if there is no checksum.
    type: list
    elements: str
    default: []
  variable:
    description: Variable that holds what is compared, for messages.
    type: str
    required: true
  timeout:
    description: Seconds that the server may take.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Fetch the key of Docker's repository
  llmfleet.serving.trusted_file:
    host: "{{ inventory_hostname }}"
    url: https://download.docker.com/linux/debian/gpg
    dest: /etc/apt/keyrings/docker.asc
    fingerprints: [9DC858229FC7DD38854AE2D88D81803C0EBFCD88]
    variable: container_engine_repository_fingerprints
"""

RETURN = r"""
found:
  description: What the file was compared by, its checksum or the fingerprints of its keys.
  returned: when a file was read
  type: list
  elements: str
  sample: [9DC858229FC7DD38854AE2D88D81803C0EBFCD88]
"""

import hashlib
import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url
from ansible_collections.llmfleet.serving.plugins.module_utils.host import openpgp
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, fail, refuse
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import without_credentials

CHECKSUM = re.compile(r"(sha256|sha384|sha512):([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")
# Bytes; keys and the packages that bring them are smaller by far.
MOST = 2**24


def identity(content: bytes, checksum: str) -> list[str]:
    """Return what a content is compared by: the checksum of the kind that is wanted, else fingerprints."""
    if checksum:
        kind = checksum.partition(":")[0]
        return [f"{kind}:{hashlib.new(kind, content).hexdigest()}"]
    return openpgp.fingerprints(content)


def wanted(module: AnsibleModule) -> list[str]:
    """Return what the file may be, and refuse values that say nothing."""
    variable, checksum, given = (module.params[name] for name in ("variable", "checksum", "fingerprints"))
    source = without_credentials(module.params["url"])
    if checksum:
        if not CHECKSUM.fullmatch(checksum):
            refuse(module, variable, checksum, "it is no checksum", "write sha256: and 64 hexadecimal digits")
        return [checksum]
    if not given:
        problem = f"nothing says which file {source} is, and root would trust any"
        refuse(module, variable, "", problem, "set it to the value that the publisher of the file gives")
    known = [openpgp.normal(one) for one in given]
    for one, normal in zip(given, known):
        if not normal:
            refuse(module, variable, one, "it is no fingerprint", "write all of its 40 or 64 hexadecimal digits")
    return known


def fetch(module: AnsibleModule) -> bytes:
    """Return the content of the source."""
    source = without_credentials(module.params["url"])
    response, info = fetch_url(module, module.params["url"], timeout=module.params["timeout"])
    # A file:// URL has no status.
    if response is None or info.get("status") not in (200, None):
        said = without_credentials(str(info.get("msg", "no answer")))
        fail(module, f"{source} cannot be fetched: {said}. Give a URL that this host reaches, or let it through.")
    content: bytes = response.read(MOST + 1)
    if len(content) > MOST:
        fail(module, f"{source} has more than {MOST} bytes, so it is neither a key nor its package. Correct the URL.")
    return content


def differing(found: list[str], known: list[str]) -> list[str]:
    """Return what a file has and nobody asked for."""
    return [one for one in found if one not in known]


def here(path: str, checksum: str, known: list[str]) -> list[str]:
    """Return what the file that is there is compared by; empty if there is none or a wrong one."""
    try:
        with open(path, "rb") as handle:
            found = identity(handle.read(MOST), checksum)
    except (OSError, openpgp.KeyFileError):
        return []
    return [] if differing(found, known) else found


def write(module: AnsibleModule, path: str, content: bytes) -> None:
    """Replace the file in one step."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        fail(module, f"{path} cannot be written: there is no folder {folder}. Create it first.")
    with tempfile.NamedTemporaryFile("wb", dir=module.tmpdir, delete=False) as handle:
        handle.write(content)
    module.atomic_move(handle.name, path)


def main() -> None:
    """Run the module."""
    spec = {
        "host": OPTION,
        "url": {"type": "str", "required": True},
        "dest": {"type": "path", "required": True},
        "checksum": {"type": "str", "default": ""},
        "fingerprints": {"type": "list", "elements": "str", "default": []},
        "variable": {"type": "str", "required": True},
        "timeout": {"type": "int", "default": 60},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    path, checksum, variable = (module.params[name] for name in ("dest", "checksum", "variable"))
    known = wanted(module)
    found = here(path, checksum, known)
    changed = not found
    if changed and not module.check_mode:
        content = fetch(module)
        source = without_credentials(module.params["url"])
        try:
            found = identity(content, checksum)
        except openpgp.KeyFileError as error:
            fail(module, f"{source} is no key: {error}. Correct its URL.")
        if differing(found, known):
            problem = f"{source} has {', '.join(differing(found, known))}, so it was not written"
            remedy = f"ask its publisher; only if that is the right one, set {variable} to it"
            refuse(module, variable, checksum or known, problem, remedy)
        write(module, path, content)
    if os.path.exists(path):
        changed = module.set_mode_if_different(path, 0o644, changed)
    module.exit_json(changed=changed, found=found)


if __name__ == "__main__":
    main()
