# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts that nvidia_smi is made of: XML that nobody may be hurt by, values, tables of links."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import errors as nvidia_errors
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import smi_xml
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import topology as nvidia_topology


def test_entities_are_refused() -> None:
    laughs = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><nvidia_smi_log>&b;</nvidia_smi_log>'
    assert smi_xml.read_xml(laughs) == (None, "it declares entities")
    external = '<!DOCTYPE nvidia_smi_log [<!ENTITY x SYSTEM "file:///etc/passwd">]><nvidia_smi_log>&x;</nvidia_smi_log>'
    assert smi_xml.read_xml(external) == (None, "it declares entities")
    parameter = '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]><a/>'
    assert smi_xml.read_xml(parameter) == (None, "it declares entities")


def test_an_unknown_entity_adds_nothing() -> None:
    root = smi_xml.read_xml(
        '<!DOCTYPE a SYSTEM "nvsmi_device_v12.dtd"><nvidia_smi_log>x&unknown;y</nvidia_smi_log>'
    ).root
    assert root
    assert root.raw() == "xy"


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("<nvidia_smi_log>" + "<a>" * 100, "levels"),
        ("<nvidia_smi_log>" + "<a/>" * 200_001, "elements"),
        ("<nvidia_smi_log>" + " " * (4 * 2**20), "more than 4 MiB"),
        ("", "no XML in it"),
        ("No devices were found", "no XML in it"),
    ],
)
def test_limits(text: str, flaw: str) -> None:
    document = smi_xml.read_xml(text)
    assert document.root is None
    assert flaw in document.flaw


def test_characters_that_xml_cannot_hold() -> None:
    document = smi_xml.read_xml("<nvidia_smi_log><a>x\x00\x1b\ud800\uffffy</a></nvidia_smi_log>")
    assert document.root
    assert (document.root.value("a"), document.flaw) == ("x\ufffd\ufffd\ufffd\ufffdy", "")


def test_an_element_without_its_end_does_not_count() -> None:
    document = smi_xml.read_xml("<nvidia_smi_log><gpu><uuid>GPU-a</uuid></gpu><gpu><uuid>GPU-b</uuid>")
    assert document.root
    assert [gpu.value("uuid") for gpu in document.root.all("gpu")] == ["GPU-a"]
    assert document.flaw.startswith("no element found")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("81559 MiB", 81559),
        ("0 MiB", 0),
        ("12", 12),
        ("12.9 MiB", 12),
        ("12 KB", None),
        ("-1 MiB", None),
        ("[N/A]", None),
        ("٣ MiB", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_memory(text: str, expected: int | None) -> None:
    assert smi_xml.mib(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000:53:00.0", "0000:53:00.0"),
        ("0000:0B:00.0", "0000:0b:00.0"),
        ("0000000F:01:00.0", "000f:01:00.0"),
        ("00010000:01:00.0", "10000:01:00.0"),
        ("3b:00.0", "0000:3b:00.0"),
        ("GPU is lost", None),
        ("", None),
    ],
)
def test_pci_addresses(text: str, expected: str | None) -> None:
    assert smi_xml.pci_bus_id(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.135  Fri Jan 10 20:00:00 UTC 2025\n", ("550.135", False)),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.65.06  Release Build\n", ("580.65.06", True)),
        ("NVRM version: NVIDIA UNIX Open Kernel Module  570.86.15  Release Build\n", ("570.86.15", True)),
        ("", (None, None)),
        ("nouveau", (None, None)),
    ],
)
def test_kernel_module(text: str, expected: tuple[str | None, bool | None]) -> None:
    assert nvidia_errors.kernel_module(text) == expected


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (
            "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system",
            "GPU 0000:02:00.0",
        ),
        ("Unable to determine the device handle for GPU0000:07:00.0: Unknown Error", "GPU 0000:07:00.0"),
        ("Unable to determine the device handle for GPU3: 0000:5F:00.0: Unknown Error", "GPU 3 0000:5f:00.0"),
        ("Unable to determine the device handle for GPU2: Unknown Error", "GPU 2"),
        ("Unable to determine the device handle for gpu 0000:0B:00.0", "GPU 0000:0b:00.0"),
    ],
)
def test_a_gpu_that_cannot_be_opened(said: str, name: str) -> None:
    (sentence,) = nvidia_errors.without_handle([said, said])
    assert sentence.startswith(f"{name} is out of service (nvidia-smi cannot open it: ")


FOUR = """\
\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID
GPU0\t X \tNV4\tSYS\tSYS\tPIX\t0-15\t0\t\tN/A
GPU1\tNV4\t X \tSYS\tSYS\tSYS\t0-15\t0-1\t\tN/A
GPU2\tSYS\tSYS\t X \tNV4\tSYS\t\tN/A\t\tN/A
GPU3\tSYS\tSYS\tNV4\t X \tSYS
NIC0\tPIX\tSYS\tSYS\tSYS\t X
"""


def test_islands() -> None:
    topology = nvidia_topology.parse_topology(FOUR)
    assert topology.numa_nodes == {0: 0}
    links = nvidia_topology.matrix(topology, range(4))
    assert links == [
        ["X", "NV4", "SYS", "SYS"],
        ["NV4", "X", "SYS", "SYS"],
        ["SYS", "SYS", "X", "NV4"],
        ["SYS", "SYS", "NV4", "X"],
    ]
    assert nvidia_topology.nvlink_all_to_all(links) is False
    assert nvidia_topology.nvlink_all_to_all(nvidia_topology.matrix(topology, [0, 1])) is True
    assert nvidia_topology.nvlink_all_to_all(nvidia_topology.matrix(topology, [0, 1, 7])) is None


def test_a_table_of_an_old_driver() -> None:
    old = "\t\x1b[4mGPU0\tGPU1\tmlx4_0\tCPU Affinity\x1b[0m\n"
    old += "GPU0\t X \tPIX\tPHB\t0-9,20-29\nGPU1\tPIX\t X \tPHB\t0-9,20-29\n"
    assert nvidia_topology.parse_topology(old) == (
        {(0, 0): "X", (0, 1): "PIX", (1, 0): "PIX", (1, 1): "X"},
        {},
    )


def test_no_table() -> None:
    topology = nvidia_topology.parse_topology("Failed to initialize NVML: Unknown Error\n")
    assert topology == ({}, {})
    assert nvidia_topology.matrix(topology, [0]) is None
    assert nvidia_topology.nvlink_all_to_all(None) is None
