# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write fleet.json: what the hosts of inventories/prod would have told of themselves and of their models.

A stand-in for machines that do not exist. GPUs are recorded output of real cards (tests/unit), given UUIDs and PCI
addresses of their own and read by the collection's own parser; models are their public config.json and the sizes that
their repositories name. Run it after either changes:

    PYTHONPATH=collections python3 tests/prod/record.py
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import describe
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.errors import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi import gpu_facts

FOLDER = Path(__file__).parent
RECORDED = FOLDER.parent / "unit/plugins/module_utils/data"
DRIVER = "580.105.08"
KERNEL_MODULE = (
    f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {DRIVER}  Release Build  (dvs-builder)  Wed Oct 29\n"
)
CONFIGS: dict[str, Any] = json.loads((RECORDED / "kv_cache/configs.json").read_text())
GPT_OSS, QWEN_MOE, QWEN_SMALL = (CONFIGS[name] for name in ("gpt-oss-20b", "Qwen3-30B-A3B", "Qwen3-0.6B"))

# Name in the inventory: source, revision, config.json, bytes of all tensors. Where the configuration of a sibling is
# taken, the fields say what differs.
MODELS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "chat": (
        "hf://openai/gpt-oss-120b",
        "b5c939de8f754692c1647ca79fbf85e8c1e70f8a",
        {**GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128, "layer_types": GPT_OSS["layer_types"][:2] * 18},
        65248815744,
    ),
    "large": (
        "hf://meta-llama/Llama-3.3-70B-Instruct",
        "6f6073b423013f6a7d4d9f39144961bfbfbc386b",
        CONFIGS["Llama-3.1-70B-Instruct"],
        141107412992,
    ),
    "code": (
        "hf://Qwen/Qwen3-Coder-30B-A3B-Instruct",
        "b2cff646eb4bb1d68355c01b18ae02e7cf42d120",
        {**QWEN_MOE, "intermediate_size": 5472, "max_position_embeddings": 262144, "rope_theta": 10000000},
        61064245248,
    ),
    "small": (
        "hf://meta-llama/Llama-3.1-8B-Instruct",
        "0e9e39f249a16976918f6564b8830bc894c89659",
        CONFIGS["Llama-3.1-8B-Instruct"],
        16060522496,
    ),
    "embed": (
        "hf://Qwen/Qwen3-Embedding-0.6B",
        "c54f2e6e80b2d7b7de06f51cec4959f6b3e03418",
        {**QWEN_SMALL, "max_position_embeddings": 32768, "vocab_size": 151669},
        1191553024,
    ),
}


def identity(*parts: object) -> str:
    """A UUID that is the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, ".".join([*map(str, parts), "llm.example.com"])))


def card(host: str, index: int, recording: str, bus: str, slices: bool = True) -> str:
    """The element of one GPU, recorded elsewhere, as this host's."""
    text = (RECORDED / f"nvidia_smi/{recording}.xml").read_text()
    element = text[text.index("<gpu id=") : text.index("</gpu>") + len("</gpu>")]
    element = re.sub(r"<uuid>.*?</uuid>", f"<uuid>GPU-{identity(host, index)}</uuid>", element)
    element = re.sub(r"<minor_number>.*?</minor_number>", f"<minor_number>{index}</minor_number>", element)
    element = re.sub(r"<pci_bus_id>.*?</pci_bus_id>", f"<pci_bus_id>00000000:{bus}:00.0</pci_bus_id>", element)
    if not slices:
        element = re.sub(r"<mig_devices>.*?</mig_devices>", "", element, flags=re.DOTALL)
        element = re.sub(r"(<(current|pending)_mig>)Enabled", r"\1Disabled", element)
    return element


def facts(host: str, cards: list[str], power: str, link: str, profile: str = "") -> dict[str, Any]:
    """What gpu_facts makes of these cards, each of which reaches every other over the same kind of link."""
    count = len(cards)
    driver = f"<driver_version>{DRIVER}</driver_version><cuda_version>13.0</cuda_version>"
    content = f"{driver}<attached_gpus>{count}</attached_gpus>{''.join(cards)}"
    document = f'<?xml version="1.0" ?>\n<nvidia_smi_log>{content}</nvidia_smi_log>\n'
    uuids = [f"GPU-{identity(host, index)}" for index in range(count)]
    listed = []
    for index, element in enumerate(cards):
        name = re.findall(r"<product_name>(.*?)</product_name>", element)[0]
        listed.append(f"GPU {index}: {name} (UUID: {uuids[index]})")
        listed += [
            f"  MIG {profile}     Device  {place}: (UUID: MIG-{identity(host, index, place)})"
            for place in range(element.count("<mig_device>"))
        ]
    names = "\t".join(f"GPU{index}" for index in range(count))
    rows = [[" X " if column == row else link for column in range(count)] for row in range(count)]
    table = [f"\t{names}\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID"]
    for index, row in enumerate(rows):
        cells = "\t".join(row)
        table.append(f"GPU{index}\t{cells}\t0-31\t{0 if index < max(count / 2, 1) else 1}\tN/A")
    powers = [f"{index}, {name}, {power}" for index, name in enumerate(uuids)]
    replies = {
        "xml": document,
        "list": "\n".join(listed),
        "topology": "\n".join(table),
        "capabilities": "\n".join(powers),
    }
    found = gpu_facts(
        {name: Reply(text + "\n", "", 0) for name, text in replies.items()},
        source="/usr/bin/nvidia-smi",
        kernel_module=KERNEL_MODULE,
    )
    assert found["error"] is None, found["error"]
    return found


def host(address: str, vcpus: int, gib: int, gpus: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a host tells of itself (playbooks/tasks/read_host.yml)."""
    return {
        "address": address,
        "device": "cuda",
        "gpus": [],
        "cpu": {"cores": "", "vcpus": vcpus, "memory_mib": gib * 1024},
        "gpu_facts": gpus,
        "own_pids": [],
        "instances": [],
        "measured": [],
    }


def fleet() -> dict[str, Any]:
    """Everything that an earlier run would have remembered."""
    buses = ("1b", "29", "45", "4e", "9b", "ab", "bb", "cb")
    h100 = facts("gpu1", [card("gpu1", index, "h100", bus) for index, bus in enumerate(buses)], "9.0", "NV18")
    a100 = [card("gpu2", 0, "a100-mig", "17", slices=False), card("gpu2", 1, "a100-mig", "65")]
    hosts = {
        "gateway1": host("192.0.2.11", 16, 32),
        "gateway2": host("192.0.2.12", 16, 32),
        "gpu1": host("192.0.2.21", 224, 2048, h100),
        "gpu2": host("192.0.2.22", 64, 512, facts("gpu2", a100, "8.0", "NV12", "1g.20gb")),
        "gpu3": host("192.0.2.23", 16, 64, facts("gpu3", [card("gpu3", 0, "t4", "3b")], "7.5", "SYS")),
        "ops1": host("192.0.2.31", 8, 32),
    }
    models = {
        name: {
            "asked": [source, revision],
            "facts": {**describe(config), "source": source, "revision": revision, "weight_bytes": size},
        }
        for name, (source, revision, config, size) in MODELS.items()
    }
    return {"hosts": hosts, "models": models}


if __name__ == "__main__":
    (FOLDER / "fleet.json").write_text(json.dumps(fleet(), indent=1) + "\n")
