# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages of docs/clients, copied and run against the demo: each client finishes a loop with a tool.

A page runs in an empty directory, with a home of its own; its packages come from the registries that npm and pip are
set up with.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import markdown_commands
import pytest
import uv_env

GROUPS = markdown_commands.groups(clients=True)
DEADLINE = 600
# What a tool's result says, and what the demo model says of nginx and of itself.
LOOP, NGINX, SELF = "heron", "Nginx is the front door", "I am the demo model"
# What the output of each block of a page has, where that is not the result of a tool alone.
EXPECTED = {
    "openai.md": [(LOOP,), (SELF,)],
    "langchain.md": [(NGINX, LOOP, "mood="), (SELF, LOOP), (NGINX, LOOP, "mood:")],
    "llamaindex.md": [(NGINX, LOOP, "mood=")],
    "ai-sdk.md": [(NGINX, " tokens", LOOP, "mood:")],
}


def pip_environment() -> dict[str, str]:
    """The index of the machine's pip, whose configuration a home of its own does not have."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True, timeout=60
    )
    options = uv_env.pip_options(listing.stdout)
    return {f"PIP_{name.upper().replace('-', '_')}": value for name, value in options.items()}


def environment(folder: Path) -> dict[str, str]:
    """No settings of the person who runs the test; registries of npm and pip are those of the machine."""
    home, packages = folder / "home", folder / "packages"
    home.mkdir()
    kept = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "LANG")
    registry = subprocess.run(
        ["npm", "config", "get", "registry"], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    )
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **pip_environment(),
        "PIP_CACHE_DIR": str(folder.parent / "pip-cache"),
        "HOME": str(home),
        "PATH": f"{packages}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "npm_config_prefix": str(packages),
        "npm_config_registry": registry.stdout.strip(),
        "npm_config_cache": str(folder.parent / "npm-cache"),
        "npm_config_audit": "false",
        "npm_config_fund": "false",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A directory that no process runs from at the end: Cline leaves a program behind that waits for more."""
    yield tmp_path
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "exe").readlink().is_relative_to(tmp_path):
                os.kill(int(process.name), signal.SIGTERM)


@pytest.mark.parametrize("key", GROUPS, ids=lambda key: key[0].stem)
def test_a_client_works_as_its_page_says(key: tuple[Path, str], folder: Path) -> None:
    script = "".join(f"echo '# {block.where}'\n{block.text}" for block in GROUPS[key])
    work = folder / "work"
    work.mkdir()
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=work,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    shown = result.stdout[-6000:]
    assert result.returncode == 0, f"exit status {result.returncode} of\n{script}\nafter\n{shown}"
    outputs = re.split(r"^# docs/clients/.*:\d+$", result.stdout, flags=re.M)[1:]
    for output, words in zip(outputs, EXPECTED.get(key[0].name, [(LOOP,)]), strict=True):
        for word in words:
            assert word in output, f"no {word!r} in\n{output[-6000:]}"
    assert os.environ["OPENAI_API_KEY"] not in result.stdout
