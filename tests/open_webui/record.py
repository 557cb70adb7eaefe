# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the addresses and switches that a release of Open WebUI reads from its environment, with their defaults.

Run it with the Python of the release's own environment; the unit tests compare the role with what it printed:

    /opt/llmfleet/venvs/open-webui-*/bin/python tests/open_webui/record.py > tests/unit/roles/open_webui/release.json
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from typing import Any

ADDRESS = re.compile(r"^[a-z+]+://")
ADDRESS_NAME = re.compile(r"_(URLS?|URI|ENDPOINT|(?<!PER_)HOSTS?)$")
SWITCH = ("true", "false")
# Without these it does not start; nothing is kept.
NEEDED = {
    "WEBUI_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "FROM_INIT_PY": "true",
    "OFFLINE_MODE": "true",
    # It would ask two ports of this host for Ollama.
    "OLLAMA_BASE_URLS": "http://127.0.0.1:9",
}


class Reader:
    """Stands in for `os.getenv` and `os.environ.get`, and remembers what Open WebUI asked for."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.inner = os.environ.get

    def __call__(self, name: str, default: Any = None) -> Any:
        if str(sys._getframe(1).f_globals.get("__name__", "")).startswith("open_webui"):
            # A variable that is read in two places keeps the default of its configuration, which is read first.
            self.asked.setdefault(name, "" if default is None else str(default))
        return self.inner(name, default)


def asked(folder: str) -> dict[str, str]:
    os.environ.clear()
    os.environ.update(NEEDED, PATH="/usr/bin:/bin", HOME=folder, DATA_DIR=folder, STATIC_DIR=f"{folder}/static")
    reader = Reader()
    system: Any = os
    system.environ.get = system.getenv = reader
    importlib.import_module("open_webui.main")
    return {name: default for name, default in reader.asked.items() if folder not in default}


def is_address(name: str, default: str) -> bool:
    return bool(ADDRESS.match(default) or ADDRESS_NAME.search(name)) and default.lower() not in SWITCH


def main(write: Callable[[str], Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        found = dict(sorted(asked(folder).items()))
    addresses = {name: text for name, text in found.items() if is_address(name, text)}
    switches = {name: text.lower() == "true" for name, text in found.items() if text.lower() in SWITCH}
    record = {"version": importlib.metadata.version("open-webui"), "addresses": addresses, "switches": switches}
    write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.stdout.write)
