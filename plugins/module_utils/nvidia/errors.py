# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Explain in one sentence why nvidia-smi failed, and the remedy.

Pure functions over texts; no Ansible, no files, no network. Nothing here raises on any text.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import pci_bus_id
from ansible_collections.llmfleet.serving.plugins.module_utils.text import excerpt as one_line

EXCERPT_CHARACTERS = 200
KERNEL_MODULE = re.compile(r"Kernel Module(?: +for +\S+)? +([0-9]{1,5}(?:\.[0-9]{1,5}){1,3})\b")
LIBRARY = re.compile(r"NVML library version: *([0-9]{1,5}(?:\.[0-9]{1,5}){1,3})\b")
# "GPU 0000:02:00.0: ..." (old), "GPU0000:02:00.0: ..." (newer), "GPU3: 0000:5F:00.0: ..." (newest).
NO_HANDLE = re.compile(
    r"Unable to determine the device handle for gpu *([0-9]{1,3}(?=:? ))?:? *"
    r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])?:? *([^\n]*)",
    re.I,
)
OUT_OF_SERVICE = "is out of service"
MISMATCH = "driver/library version mismatch"
NO_DEVICES = "no devices were found"
NOT_LOADED = "couldn't communicate with the nvidia driver"

NOT_LOADED_SENTENCE = (
    "The NVIDIA driver cannot be reached, its kernel module is not loaded: run 'modprobe nvidia', read dmesg; "
    "after an update of kernel or driver, reboot."
)
NO_DEVICES_SENTENCE = (
    "The NVIDIA driver is loaded but drives no GPU: read what it says ('dmesg | grep NVRM'); the card may need "
    "another driver branch, or power."
)
LIBRARY_SENTENCE = (
    "The driver's library libnvidia-ml.so is not found: install the driver's compute libraries, in the "
    "version of the loaded kernel module."
)
PERMISSION_SENTENCE = (
    "This user may not read the GPUs: run the task with 'become: true', or give the user access to /dev/nvidia*."
)
NVML_SENTENCE = (
    "NVML cannot be initialized, as in a container that lost its devices (after 'systemctl daemon-reload' for "
    "one): recreate the container, with CDI; on a host, read dmesg and reboot."
)
CAPABILITY_SENTENCE = (
    "This driver is too old to tell the compute capability of its GPUs: install a newer one (the last for GPUs before "
    "Turing is 580)."
)
# Words of nvidia-smi, in lower case, and what they mean; the first that it says is taken.
CAUSES = (
    (NOT_LOADED, NOT_LOADED_SENTENCE),
    ("driver not loaded", NOT_LOADED_SENTENCE),
    (NO_DEVICES, NO_DEVICES_SENTENCE),
    ("libnvidia-ml.so", LIBRARY_SENTENCE),
    ("insufficient permissions", PERMISSION_SENTENCE),
    ("failed to initialize nvml: unknown error", NVML_SENTENCE),
    ('"compute_cap" is not a valid field', CAPABILITY_SENTENCE),
)


class Reply(NamedTuple):
    """The result of one call of nvidia-smi."""

    out: str = ""
    err: str = ""
    code: int | None = 0
    """Exit status; None where it never ended by itself."""
    failure: str = ""
    """How a call ended that did not end by itself, for example ``did not answer within 30 s``; else empty."""

    @property
    def said(self) -> str:
        """The whole output."""
        return f"{self.out}\n{self.err}"


def kernel_module(text: str) -> tuple[str | None, bool | None]:
    """Return version and openness of the loaded module, from /proc/driver/nvidia/version; None where it is not there.

    Proprietary ones call themselves ``NVIDIA UNIX x86_64 Kernel Module  550.135``, open ones ``NVIDIA UNIX Open Kernel
    Module for x86_64  580.65.06``.
    """
    found = KERNEL_MODULE.search(text)
    return (found[1], "Open Kernel Module" in text) if found else (None, None)


def library_version(text: str) -> str | None:
    """Return the version of the driver's library, which nvidia-smi prints only where it does not fit the module."""
    found = LIBRARY.search(text)
    return found[1] if found else None


def excerpt(text: str) -> str:
    """Return the beginning of a program's output on one line."""
    return one_line(text, EXCERPT_CHARACTERS)


def without_program(cards: Sequence[str], wanted: str) -> str | None:
    """Return what is missing without nvidia-smi; None if there is no NVIDIA card.

    ``cards`` are PCI addresses of NVIDIA display and 3D controllers; ``wanted`` is the program that was looked for.
    """
    if not cards:
        return None
    more = f" and {len(cards) - 1} more" if len(cards) > 1 else ""
    return (
        f"There is an NVIDIA GPU at {cards[0]}{more} but no program {wanted}: install the NVIDIA driver with its "
        "utilities, or set nvidia_smi_path."
    )


def cause(command: str, reply: Reply, module_version: str | None) -> str:
    """Return in one sentence why a call failed, and the remedy."""
    said = " ".join(reply.said.split()).lower()
    if MISMATCH in said:
        return (
            f"The loaded NVIDIA kernel module ({module_version or 'unknown version'}) and the driver's library "
            f"({library_version(reply.said) or 'another version'}) do not fit together: reboot, or in a container "
            "install the version of its host."
        )
    for words, sentence in CAUSES:
        if words in said:
            return sentence
    lost = without_handle([reply.said])
    if lost:
        return lost[0]
    if reply.failure:
        return f"'{command}' {reply.failure}: run it on the host and read dmesg; a hanging driver needs a reboot."
    ending = f"ended with status {reply.code}" if reply.code else "gave no usable answer"
    return f"'{command}' {ending}, saying '{excerpt(reply.said) or 'nothing'}': run it on the host and read dmesg."


def without_handle(texts: Sequence[str]) -> list[str]:
    """Return a sentence for each GPU that nvidia-smi says it cannot open at all; such a GPU is in no list of it."""
    sentences: dict[str, str] = {}
    for text in texts:
        for number, address, words in NO_HANDLE.findall(text):
            name = " ".join(["GPU", *filter(None, (number, pci_bus_id(address)))])
            reason = excerpt(words).rstrip(".") or "unknown error"
            sentences.setdefault(name, lost(name, f"nvidia-smi cannot open it: {reason}"))
    return list(sentences.values())


def about_one_gpu(sentence: str) -> bool:
    """Check whether a problem is that of one GPU, beside which others may work."""
    return OUT_OF_SERVICE in sentence


def lost(name: str, how: str) -> str:
    """Return the message that a GPU is lost, with the remedy."""
    remedy = "reset it ('nvidia-smi --gpu-reset') or reboot the host, and read dmesg for Xid"
    return f"{name} {OUT_OF_SERVICE} ({how}): {remedy}."
