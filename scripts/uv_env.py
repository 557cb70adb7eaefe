#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print pip's configuration as environment variables of uv: uv reads neither pip.conf nor PIP_* variables.

uv_env.py [shell|json]   with a Python that has pip; what is set in the environment for uv already is left alone.
"""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys

# Later sections win, as in pip itself.
SECTIONS = ("global", "install", ":env:")
# Options of pip that hold lists; the separator is uv's.
LISTS = {
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
VALUES = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
}
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY")


def pip_options(text: str) -> dict[str, str]:
    """Read ``pip config list``: the last section that sets an option wins, lists of all sections are joined."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        section, _dot, name = key.partition(".")
        if separator and section in found:
            found[section][name.lstrip(".").replace("_", "-")] = str(ast.literal_eval(value))
    options: dict[str, str] = {}
    for section in SECTIONS:
        options.update(found[section])
    for name in LISTS:
        joined = " ".join(found[section].get(name, "") for section in SECTIONS)
        if joined.strip():
            options[name] = " ".join(dict.fromkeys(joined.split()))
    return options


def uv_environment(options: dict[str, str]) -> dict[str, str]:
    """Translate options of pip into variables of uv."""
    environment: dict[str, str] = {}
    for name, (variable, separator) in LISTS.items():
        if options.get(name):
            environment[variable] = separator.join(options[name].split())
    for name, variable in VALUES.items():
        if options.get(name):
            environment[variable] = options[name]
    if "UV_INDEX" in environment:
        # pip takes the best version of all indexes; uv stops at the first that knows the name.
        environment["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if options.get("proxy"):
        environment.update(dict.fromkeys(PROXIES, options["proxy"]))
    return environment


def main() -> None:
    """Ask pip and print what uv has not been told yet."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, stdout=subprocess.PIPE, text=True
    )
    environment = {k: v for k, v in uv_environment(pip_options(listing.stdout)).items() if not os.environ.get(k)}
    if sys.argv[1:] == ["json"]:
        print(json.dumps(environment, indent=2, sort_keys=True))
    else:
        for key, value in sorted(environment.items()):
            print(f"export {key}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
