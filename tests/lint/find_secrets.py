#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find secrets in what is or would be committed, with detect-secrets.

find_secrets.py [FOLDER]    prints each finding, without its value, and ends with 1 where there is one

Tests have made-up passwords, keys and addresses everywhere, so there only the detectors count that know a provider's
tokens by their form. Locks of Python packages are left out: they consist of hashes. docs/security.md explains what is
allowed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, NamedTuple

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings, get_plugins

# The two tables are written from public files, and hold short digests of these.
LEFT_OUT = re.compile(
    r"^(?:requirements/.*|roles/[^/]+/files/.*)\.txt$|\.png$|^plugins/plugin_utils/(?:fleet/answers|whatif/facts)\.json$"
)
MADE_UP = re.compile(r"^(?:tests|molecule)/")
# Detectors that know no provider's form; the last one finds addresses, which are no secrets.
BROAD = {
    "Base64 High Entropy String",
    "Basic Auth Credentials",
    "Hex High Entropy String",
    "Private Key",
    "Secret Keyword",
    "Public IP (ipv4)",
}
# By detector: what a found value may be.
ALLOWED = {
    # A revision of git, a fingerprint of OpenPGP, a SHA-256.
    "Hex High Entropy String": r"[0-9a-f]{40}|[0-9A-F]{40}|[0-9a-f]{64}",
    # A name of a variable, a name of an account of LiteLLM, and a value with which only its configuration is checked.
    "Secret Keyword": r"os\.environ/[A-Z_]+|[a-z]+(?:_[a-z]+)+|gate|master|validate .*",
    # A word of an example.
    "Basic Auth Credentials": r"PASSWORD|secret",
}
# A regular expression of this filter takes time by the square of a line's length.
SLOW = "detect_secrets.filters.heuristic.is_indirect_reference"
# A comment in a line allows nothing: what is allowed stands above.
COMMENTS = "detect_secrets.filters.allowlist.is_line_allowlisted"


class Secret(NamedTuple):
    """A finding: where it is and what found it, never its value."""

    file: str
    number: int
    kind: str


def files(root: Path) -> Iterator[str]:
    """Yield what git knows or would take: nothing that was built or installed."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, listed):
        path = root / name
        if path.is_file() and not path.is_symlink() and not LEFT_OUT.search(name):
            yield name


def secrets(root: Path) -> Iterator[Secret]:
    """Yield the secrets of a folder's files."""
    with default_settings() as settings:
        forms = [plugin for plugin in get_plugins() if plugin.secret_type not in BROAD]
        settings.disable_plugins("IPPublicDetector", *(type(form).__name__ for form in forms))
        settings.disable_filters(SLOW, COMMENTS)
        for name in files(root):
            yield from (Secret(name, *found) for found in _tokens(root / name, forms))
            for found in [] if MADE_UP.match(name) else scan_file(str(root / name)):
                allowed = ALLOWED.get(found.type)
                if not (allowed and re.fullmatch(allowed, found.secret_value or "")):
                    yield Secret(name, found.line_number, found.type)


def _tokens(path: Path, forms: list[Any]) -> Iterator[tuple[int, str]]:
    """Yield number of line and kind of a file's tokens; the file is searched as a whole first, which is faster."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for form in forms:
        if any(form.analyze_string(text)):
            for number, content in enumerate(text.splitlines(), 1):
                if any(form.analyze_string(content)):
                    yield number, form.secret_type


def main(root: Path) -> int:
    """Print the secrets of a folder and return the exit status."""
    found = sorted(secrets(root))
    for secret in found:
        print(
            f"{secret.file}:{secret.number}: {secret.kind}: take it out of the file, and rotate it if it was committed"
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if sys.argv[1:] else Path(__file__).resolve().parents[2])))
