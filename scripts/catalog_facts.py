#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the facts of the catalogue's models that what_if.yml has without a hub.

catalog_facts.py          writes plugins/plugin_utils/whatif/facts.json from tests/catalog/configs.json
catalog_facts.py --check  writes nothing and fails where it differs
catalog_facts.py --hub URL [REPOSITORY...]
                          reads config.json and the headers of the weights of these repositories, or of all that are
                          in configs.json, from a hub first; HF_TOKEN is for repositories that need an account

Weights that no header told are estimated from the shapes (`checkpoint/estimate.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import estimate, files, layouts  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.hub import Hub  # noqa: E402
from ansible_collections.llmfleet.serving.plugins.module_utils.host.http_client import Client  # noqa: E402

CONFIGS = ROOT / "tests/catalog/configs.json"
FACTS = ROOT / "plugins/plugin_utils/whatif/facts.json"
SECONDS = 60


def facts_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what `model_info` would return of a model, less its source."""
    facts = describe(entry["config"])
    size, source = entry.get("weight_bytes"), "index"
    if not size and entry.get("published_bytes"):
        # A size that was published and that no recording of ours confirms.
        size, source = int(entry["published_bytes"]), "published"
    if not size and entry.get("published_parameters"):
        # The maker's page tells the number of parameters; they are stored in 16 bits.
        size, source = 2 * int(entry["published_parameters"]), "published"
    if not size:
        size, source = estimate.weight_bytes(facts, entry["config"]), "config"
    # Where the config names no type, model_info has it of the headers: what is not quantised is in 16 bits today.
    dtype = facts["dtype"] or (None if facts["quantization"] else "bfloat16")
    return {**facts, "dtype": dtype, "weight_bytes": size, "weight_bytes_source": source}


def read(files_of: files.Files) -> dict[str, Any]:
    """Return the configuration of a model and the bytes of its weights, as its files tell them."""
    config = layouts.read(files_of).config
    weights = files.read_weights(files_of, describe(config))
    return {"config": config, "weight_bytes": weights["weight_bytes"]}


def text(entries: dict[str, dict[str, Any]]) -> str:
    """Return entries as JSON, one line for each, so that a change of one model is a change of one line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(entries[name], sort_keys=True)}" for name in sorted(entries)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--hub", metavar="URL")
    parser.add_argument("repositories", nargs="*", metavar="REPOSITORY")
    given = parser.parse_args()
    configs: dict[str, dict[str, Any]] = json.loads(CONFIGS.read_text())
    if given.hub:
        client, token = Client("llmfleet-catalog-facts", None, {}), os.environ.get("HF_TOKEN", "")
        for name in given.repositories or sorted(configs):
            configs[name] = read(Hub(client, given.hub, token, SECONDS, name, "main"))
        CONFIGS.write_text(text(configs))
    wanted = text({name: facts_of(entry) for name, entry in configs.items()})
    if given.check:
        if FACTS.read_text() != wanted:
            print(f"{FACTS.relative_to(ROOT)} is older than its sources: run scripts/catalog_facts.py", file=sys.stderr)
            return 1
        return 0
    FACTS.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
