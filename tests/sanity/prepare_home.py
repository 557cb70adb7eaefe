#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lay pip's configuration and its bootstrap script where ansible-test looks: prepare_home.py HOME."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import util
from pathlib import Path

GET_PIP = '''\
"""Stands in for get-pip.py: the pip that comes with Python installs the wanted one from the configured index."""
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
wanted = [word for word in sys.argv[1:] if not word.startswith("--no-")]
subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", *wanted])
'''


def main() -> None:
    """Write both files."""
    home = Path(sys.argv[1])
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, stdout=subprocess.PIPE, text=True
    )
    lines = ["[global]", "quiet = 2"]
    for line in listing.stdout.splitlines():
        key, _equals, value = line.partition("=")
        if key.startswith(("global.", "install.", ":env:.")) and not key.endswith("config-file"):
            lines.append(f"{key.rpartition('.')[2]} = {' '.join(ast.literal_eval(value).split())}")
    configuration = home / ".config" / "pip" / "pip.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    # Of an option that is set twice the last one counts, as in pip.
    configuration.write_text(
        "\n".join([lines[0], *{line.partition(" = ")[0]: line for line in lines[1:]}.values()]) + "\n"
    )

    spec = util.find_spec("ansible_test")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("ansible-test is not installed beside this Python")
    source = Path(spec.submodule_search_locations[0]) / "_internal" / "python_requirements.py"
    for version in set(re.findall(r"pip='([\d.]+)'", source.read_text())):
        script = home / ".ansible" / "test" / "cache" / f"get_pip_{version.replace('.', '_')}.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(GET_PIP)


if __name__ == "__main__":
    main()
