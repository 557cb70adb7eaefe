#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what OpenAI clients read from their environment, for an inventory of one machine.

demo_env.py inventories/local     with the first of its keys
"""

from __future__ import annotations

import importlib
import shlex
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = "ansible_collections.llmfleet.serving.plugins"


def main(inventory: str) -> int:
    """Print export lines, or say what is missing."""
    secrets_file = Path(inventory) / ".llm_secrets.yml"
    variables = yaml.safe_load((Path(inventory) / "group_vars" / "all.yml").read_text(encoding="utf-8"))
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
    values = {
        "OPENAI_BASE_URL": f"https://{variables['llm_api_server_name']}:{variables['llm_api_port']}/v1",
        "OPENAI_API_KEY": secrets[keys.secret_name(variables["litellm_keys"][0]["alias"])],
        "SSL_CERT_FILE": "/etc/llmfleet/tls/ca.pem",
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
