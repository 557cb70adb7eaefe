# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write boxes.json: what three machines as inventories/gpu-box would have told of themselves and of their models.

A stand-in for machines that do not exist, as record.py is for a fleet. Cards of 24 GB are a recorded card of the same
generation with the name and the memory that nvidia-smi tells of them; models are their public config.json and the
bytes of their tensors. Run it after either changes:

    PYTHONPATH=collections python3 tests/prod/record_boxes.py
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import cards
from ansible_collections.llmfleet.serving.tests.prod import record

HOST = "box"
BOXES = record.FOLDER / "boxes.json"
# Source of a model: revision, config.json, bytes of all tensors.
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "hf://openai/gpt-oss-20b": ("6cee5e81ee83917806bbde320786a8fb61efebee", record.GPT_OSS, 13761264768),
    # 64 layers of 487587840 weights in FP8 with a scale for each block of 128 x 128, their norms, and both embeddings
    # in 16 bits.
    "hf://Qwen/Qwen3-32B-FP8": (
        "aa55da1ecc13d006e8b8e4f54579b1ea8c3db2df",
        record.CONFIGS["Qwen3-32B-FP8"],
        34322434048,
    ),
    "hf://openai/gpt-oss-120b": record.MODELS["chat"][1:],
}


def ada(index: int, name: str, reserved: int, bus: str) -> str:
    """A card of 24 GB: the recorded L40S with another name and less memory, as the table of cards has it."""
    kind = cards.find(name)
    assert kind is not None
    total = kind.memory_mib
    element = record.card(HOST, index, "l40s", bus)
    element = re.sub(r"(<product_name>).*?(</product_name>)", rf"\g<1>{kind.product_name}\g<2>", element)
    memory = f"<total>{total} MiB</total><reserved>{reserved} MiB</reserved><used>0 MiB</used>"
    memory = f"<fb_memory_usage>{memory}<free>{total - reserved} MiB</free></fb_memory_usage>"
    return re.sub(r"<fb_memory_usage>.*?</fb_memory_usage>", memory, element, flags=re.DOTALL)


def boxes() -> dict[str, Any]:
    """What earlier runs would have remembered of three machines, and of the models that the inventory names."""
    l4 = record.facts(HOST, [ada(0, "L4", 448, "17")], "8.9", "SYS")
    pair = [ada(index, "RTX 4090", 492, bus) for index, bus in enumerate(("01", "41"))]
    rtx = record.facts(HOST, pair, "8.9", "PHB")
    h100 = record.facts(HOST, [record.card(HOST, 0, "h100", "1b")], "9.0", "SYS")
    hosts = {
        "24 GB": record.host("127.0.0.1", 16, 64, l4),
        "2 x 24 GB": record.host("127.0.0.1", 32, 128, rtx),
        "80 GB": record.host("127.0.0.1", 32, 256, h100),
    }
    return {"hosts": hosts, "models": {source: model(source) for source in MODELS}}


def model(source: str) -> dict[str, Any]:
    """What an earlier run would have remembered of a model."""
    revision, config, size = MODELS[source]
    facts = {**describe(config), "source": source, "revision": revision, "weight_bytes": size}
    return {"asked": [source, revision], "facts": facts}


if __name__ == "__main__":
    BOXES.write_text(json.dumps(boxes(), indent=1) + "\n")
