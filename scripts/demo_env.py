#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print what OpenAI clients read from their environment, for an inventory of one machine.

demo_env.py inventories/local     with the first of its keys
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import yaml


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
    # The name of a key's secret: module_utils/access.py.
    alias = re.sub(r"[^A-Za-z0-9]", "_", variables["litellm_keys"][0]["alias"])
    values = {
        "OPENAI_BASE_URL": f"https://{variables['llm_api_server_name']}:{variables['llm_api_port']}/v1",
        "OPENAI_API_KEY": secrets[f"litellm_key_{alias}"],
        "SSL_CERT_FILE": "/etc/llmfleet/tls/ca.pem",
    }
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
