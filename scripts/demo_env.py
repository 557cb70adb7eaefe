#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what OpenAI clients read from their environment, for an inventory of one machine.

demo_env.py inventories/local     with the first of its keys

Most programs take one file of CA certificates instead of those that they had, not in addition. The one beside the
inventory therefore has both: the certificates that this shell trusted before, and the fleet's CA.
"""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import uv_env
import yaml

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "ansible_collections.llmfleet.serving.plugins"
FLEET_CA = "/etc/llmfleet/tls/ca.pem"
BUNDLE = ".llm_ca.pem"
# The variable of Python's requests, of curl, of uv and Python's ssl, and of Node.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
# Those that replace what a program trusts, the one of uv first, and not Node's, which adds to it.
REPLACING = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Of Debian, RHEL, and others.
SYSTEM = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
BASE = "# Trusted before: "


def trusted_before(fleet: Path, environment: Mapping[str, str], of_pip: str) -> str:
    """Return the file that programs of this shell trusted before its variables named a bundle, if there is one."""
    found = []
    for name in filter(None, (environment.get(variable, "") for variable in REPLACING)):
        path = Path(name)
        if path.name == BUNDLE and path.is_file():
            found.append(path.read_text(encoding="utf-8").partition("\n")[0].removeprefix(BASE))
        elif path.name != BUNDLE and path != fleet:
            found.append(name)
    return next((name for name in (*found, of_pip, *SYSTEM) if name and Path(name).is_file()), "")


def pip_certificates() -> str:
    """Return the file that pip's configuration names, which uv_env.py would give uv."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    )
    return uv_env.uv_environment(uv_env.pip_options(listing.stdout)).get("SSL_CERT_FILE", "")


def write_bundle(bundle: Path, base: str, fleet: Path) -> None:
    """Write what is trusted if it differs from what is there, as a whole."""
    parts = [Path(name).read_text(encoding="utf-8").rstrip("\n") for name in (base, str(fleet)) if Path(name).is_file()]
    text = "\n".join([f"{BASE}{base}", *parts]) + "\n"
    if bundle.exists() and bundle.read_text(encoding="utf-8") == text:
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=bundle.parent, prefix=BUNDLE, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, bundle)


def main(inventory: str) -> int:
    """Print export lines, or say what is missing."""
    folder = Path(inventory).resolve()
    secrets_file = Path(inventory) / ".llm_secrets.yml"
    variables = yaml.safe_load((folder / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    if not secrets_file.exists():
        print(
            f"{secrets_file} is not there: this machine was not set up with {inventory}. Run `make demo` first.",
            file=sys.stderr,
        )
        return 1
    secrets = yaml.safe_load(secrets_file.read_text(encoding="utf-8"))["secrets"]
    # Names of secrets follow one rule, which is part of the collection in this checkout.
    sys.path.insert(0, str(ROOT / "collections"))
    keys = importlib.import_module(f"{COLLECTION}.module_utils.inventory.client_keys")
    bundle = folder / BUNDLE
    fleet = Path(variables.get("nginx_tls_ca_file", FLEET_CA))
    write_bundle(bundle, trusted_before(fleet, os.environ, pip_certificates()), fleet)
    values = {
        "OPENAI_BASE_URL": f"https://{variables['llm_api_server_name']}:{variables['llm_api_port']}/v1",
        "OPENAI_API_KEY": secrets[keys.secret_name(variables["litellm_keys"][0]["alias"])],
        **dict.fromkeys(VARIABLES, str(bundle)),
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
