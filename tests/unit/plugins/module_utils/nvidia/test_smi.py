# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts from what nvidia-smi printed on real machines; the values are those of recordings, the files our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import gpu as nvidia_gpu
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia import smi as nvidia_smi
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.errors import Reply
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import Node, read_xml
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = Path(__file__).parents[1] / "data" / "nvidia_smi"
NAMES = sorted(path.stem for path in DATA.glob("*.xml"))
SENTINELS = (
    "N/A",
    "[N/A]",
    "None",
    "[Not Supported]",
    "Requested functionality has been deprecated",
    "[Requested functionality has been deprecated]",
    "GPU is lost",
    "[GPU is lost]",
    "Insufficient Permissions",
    "[Insufficient Permissions]",
    "Unknown Error",
    "[Unknown Error]",
    "",
)
OPEN_MODULE = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs@U22)  Tue Sep 23 09:55 UTC 2025\n"
)
BUSES = ("53", "64", "75", "86", "97", "A8", "B9", "CA")


def text(name: str) -> str:
    return (DATA / name).read_text()


def ask(xml: str = "", **replies: Reply | str) -> dict[str, Reply]:
    return {
        name: reply if isinstance(reply, Reply) else Reply(reply) for name, reply in {"xml": xml, **replies}.items()
    }


def facts(xml: str = "", module: str = "", **replies: Reply | str) -> dict[str, Any]:
    return nvidia_smi.gpu_facts(ask(xml, **replies), source="/usr/bin/nvidia-smi", kernel_module=module)


def uuid(number: int) -> str:
    return f"GPU-0000000{number}-0000-0000-0000-00000000000{number}"


def h100_xml(count: int = 8, without: tuple[int, ...] = ()) -> str:
    """The recording of eight H100: they differ in UUID, minor number and PCI address alone."""
    one = text("h100.xml")
    head, gpu = one[: one.index("\t<gpu ")], one[one.index("\t<gpu ") : one.index("</nvidia_smi_log>")]
    gpus = [
        gpu.replace(uuid(0), uuid(number))
        .replace("<minor_number>0<", f"<minor_number>{number}<")
        .replace(":53:", f":{BUSES[number]}:")
        for number in range(count)
        if number not in without
    ]
    return head.replace("<attached_gpus>1<", f"<attached_gpus>{count}<") + "".join(gpus) + "</nvidia_smi_log>\n"


def h100_topology(count: int = 8) -> str:
    names = [f"GPU{number}" for number in range(count)]
    lines = ["\t\x1b[4m" + "\t".join([*names, "NIC0", "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"]) + "\x1b[0m"]
    for row in range(count):
        cells = [" X " if row == column else "NV18" for column in range(count)]
        lines.append("\t".join([names[row], *cells, "PIX", "0-55,112-167", str(row // 4), "", "N/A"]))
    return "\n".join([*lines, "NIC0" + "\tPIX" * count + "\t X ", "", "Legend:", "", "  X    = Self", ""])


def h100_capabilities(count: int = 8) -> str:
    return "".join(f"{number}, {uuid(number)}, 9.0\n" for number in range(count))


def h100_list(count: int = 8) -> str:
    return "".join(f"GPU {number}: NVIDIA H100 80GB HBM3 (UUID: {uuid(number)})\n" for number in range(count))


def h100(count: int = 8, **more: Reply | str) -> dict[str, Any]:
    replies: dict[str, Reply | str] = {
        "list": h100_list(count),
        "topology": h100_topology(count),
        "capabilities": h100_capabilities(count),
        **more,
    }
    return facts(h100_xml(count), OPEN_MODULE.format("580.105.08"), **replies)


def test_eight_h100() -> None:
    found = h100()
    gpus = found.pop("gpus")
    assert found == {
        "source": "/usr/bin/nvidia-smi",
        "error": None,
        "degraded": False,
        "driver_version": "580.105.08",
        "cuda_driver_version": "13.0",
        "kernel_module_version": "580.105.08",
        "kernel_module_open": True,
        "reboot_required": False,
        "gpu_count": 8,
        "homogeneous": True,
        "mig_strategy": "none",
        "topology": {
            "matrix": [["X" if row == column else "NV18" for column in range(8)] for row in range(8)],
            "nvlink_all_to_all": True,
        },
    }
    assert gpus[7] == {
        "index": 7,
        "uuid": "GPU-00000007-0000-0000-0000-000000000007",
        "minor_number": 7,
        "pci_bus_id": "0000:ca:00.0",
        "product_name": "NVIDIA H100 80GB HBM3",
        "architecture": "Hopper",
        "compute_capability": "9.0",
        "memory_total_mib": 81559,
        "memory_reserved_mib": 480,
        "memory_used_mib": 0,
        "memory_is_unified": False,
        "addressing_mode": "HMM",
        "mig_mode_current": "Disabled",
        "mig_mode_pending": "Disabled",
        "mig_devices": [],
        "ecc_mode_current": "Enabled",
        "persistence_mode": "Enabled",
        "power_limit_w": 700.0,
        "numa_node": 1,
        "fabric": {
            "state": "Completed",
            "status": "Success",
            "clique_id": "0",
            "cluster_uuid": "00000000-0000-0000-0000-000000000000",
        },
        "recovery_action": None,
        "health": "ok",
        "processes": [],
    }
    assert [gpu["index"] for gpu in gpus] == list(range(8))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("t4", {"memory_total_mib": 15360, "memory_reserved_mib": 448, "memory_used_mib": 0, "power_limit_w": 70.0}),
        ("t4", {"mig_mode_current": None, "fabric": None, "recovery_action": None, "architecture": "Turing"}),
        ("t4-driver-515", {"memory_reserved_mib": 388, "memory_used_mib": 1032, "addressing_mode": None}),
        ("t4-driver-515", {"power_limit_w": 70.0, "persistence_mode": "Disabled", "pci_bus_id": "0000:00:1e.0"}),
        ("t4-driver-418", {"memory_total_mib": 15079, "memory_reserved_mib": None, "architecture": None}),
        ("t4-driver-418", {"power_limit_w": 70.0, "mig_devices": [], "memory_is_unified": False, "health": "ok"}),
        ("l40s", {"memory_total_mib": 46068, "architecture": "Ada Lovelace", "power_limit_w": 350.0, "health": "ok"}),
        ("rtx-3080", {"memory_total_mib": 10240, "memory_used_mib": 9184, "ecc_mode_current": None, "fabric": None}),
        ("gb10", {"memory_total_mib": None, "memory_used_mib": None, "memory_is_unified": True, "health": "ok"}),
        ("gb10", {"pci_bus_id": "000f:01:00.0", "power_limit_w": None, "addressing_mode": "ATS"}),
    ],
)
def test_single_gpus(name: str, expected: dict[str, Any]) -> None:
    found = facts(text(f"{name}.xml"))
    assert found["error"] is None
    assert found["gpu_count"] == 1
    assert {key: found["gpus"][0][key] for key in expected} == expected


def test_processes() -> None:
    assert facts(text("t4-driver-515.xml"))["gpus"][0]["processes"] == [
        {"pid": pid, "name": name, "used_memory_mib": used, "gpu_instance_id": None, "compute_instance_id": None}
        for pid, name, used in ((675, "/usr/lib/xorg/Xorg", 22), (5762, "python", 1005))
    ]


@pytest.mark.parametrize(
    ("used", "expected"), [(("N/A", "N/A"), None), (("0 MiB", "[N/A]"), 0), (("7 MiB", "9 MiB"), 9)]
)
def test_a_process_that_computes_and_draws_counts_once(used: tuple[str, str], expected: int | None) -> None:
    info = (
        "<process_info><pid>5</pid><process_name>[Not Found]</process_name><used_memory>{}</used_memory></process_info>"
    )
    xml = f"<gpu><processes>{''.join(info.format(amount) for amount in used)}</processes></gpu>"
    node = read_xml(f"<nvidia_smi_log>{xml}<process_info><pid>x</pid></process_info></nvidia_smi_log>").root
    assert node
    (process,) = nvidia_gpu.parse_gpu(node.all("gpu")[0], 0)["processes"]
    assert (process["name"], process["used_memory_mib"]) == (None, expected)


def test_a_process_without_a_number_is_none() -> None:
    xml = text("t4-driver-515.xml").replace("<pid>675<", "<pid>N/A<")
    assert [process["pid"] for process in facts(xml)["gpus"][0]["processes"]] == [5762]


def test_a_process_cannot_declare_its_gpu_lost() -> None:
    xml = text("t4-driver-515.xml").replace(">python<", ">GPU is lost<")
    found = facts(xml)
    assert (found["error"], found["gpus"][0]["health"]) == (None, "ok")


def test_mig_devices_of_xml_and_list() -> None:
    listed = "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-513536b6-7d19-9063-b049-1e69664bb298)\n" + "".join(
        f"  MIG 1g.20gb     Device  {number}: (UUID: MIG-{number})\n" for number in range(4)
    )
    found = facts(text("a100-mig.xml"), list=listed)
    assert (found["error"], found["mig_strategy"], found["homogeneous"]) == (None, "single", True)
    (gpu,) = found["gpus"]
    assert (gpu["memory_total_mib"], gpu["memory_reserved_mib"], gpu["addressing_mode"]) == (81920, 869, None)
    assert gpu["mig_devices"] == [
        {
            "uuid": f"MIG-{number}",
            "profile": "1g.20gb",
            "gpu_instance_id": number + 3,
            "compute_instance_id": 0,
            "memory_total_mib": 19968,
            "memory_used_mib": 12,
        }
        for number in range(4)
    ]
    without_list = facts(text("a100-mig.xml"), list=Reply("", "", 9))
    assert {device["uuid"] for device in without_list["gpus"][0]["mig_devices"]} == {None}
    assert "'nvidia-smi -L' ended with status 9" in without_list["error"]


def test_mig_devices_of_the_list_alone() -> None:
    xml = text("h100.xml").replace(">Disabled</current_mig>", ">Enabled</current_mig>")
    found = facts(xml, list=text("h100-mig-list.txt"), topology=text("h100-mig-topo.txt"))
    assert [device["profile"] for device in found["gpus"][0]["mig_devices"]] == [
        "3g.40gb",
        "2g.20gb",
        "1g.10gb",
        "1g.10gb",
    ]
    assert found["gpus"][0]["mig_devices"][1]["uuid"] == "MIG-00000001-0000-0000-0000-000000000001"
    assert found["gpus"][0]["mig_devices"][1]["memory_total_mib"] is None
    assert found["gpus"][0]["numa_node"] == 0
    assert found["mig_strategy"] == "mixed"
    assert found["topology"] == {"matrix": [["X"]], "nvlink_all_to_all": False}


def test_mig_mode_without_devices_is_not_single() -> None:
    gpu = {"mig_mode_current": "Enabled", "mig_devices": []}
    assert nvidia_smi.mig_strategy([gpu]) == "mixed"
    assert nvidia_smi.mig_strategy([]) is None


def test_a_lost_gpu_does_not_hide_its_neighbour() -> None:
    found = facts(text("gb200-lost.xml"), OPEN_MODULE.format("580.65.06"))
    one, other = found["gpus"]
    assert (one["health"], one["memory_total_mib"], one["fabric"]["state"]) == ("ok", 196608, "Completed")
    assert (other["health"], other["memory_total_mib"], other["memory_used_mib"], other["fabric"]) == (
        "lost",
        None,
        None,
        None,
    )
    assert other["memory_is_unified"] is None
    assert found["gpu_count"] == 2
    assert found["homogeneous"] is True
    assert found["error"] == (
        "GPU 1 0000:0b:00.0 GPU-b200b200-0000-0000-0000-000000000001 is out of service (nvidia-smi calls it lost): "
        "reset it ('nvidia-smi --gpu-reset') or reboot the host, and read dmesg for Xid."
    )


@pytest.mark.parametrize("code", [0, 15])
def test_a_gpu_that_cannot_be_opened_keeps_the_indices_of_the_others(code: int) -> None:
    gone = "Unable to determine the device handle for GPU3: 0000:86:00.0: Unknown Error\n"
    found = facts(
        h100_xml(8, without=(3,)),
        capabilities=Reply(
            "".join(line for line in h100_capabilities().splitlines(True) if line[0] != "3"), gone, code
        ),
        list=Reply("", gone, code),
        topology=h100_topology(),
    )
    assert [gpu["index"] for gpu in found["gpus"]] == [0, 1, 2, 4, 5, 6, 7]
    assert [gpu["numa_node"] for gpu in found["gpus"]] == [0, 0, 0, 1, 1, 1, 1]
    assert len(found["topology"]["matrix"]) == 7
    assert found["error"].startswith("GPU 3 0000:86:00.0 is out of service (nvidia-smi cannot open it: Unknown Error)")
    assert found["error"].count("out of service") == 1


def test_the_list_is_what_remains_when_the_xml_fails() -> None:
    lost = "Unable to determine the device handle for GPU 0000:64:00.0: GPU is lost.  Reboot the system to recover it\n"
    found = facts(xml=lost, list=h100_list(1) + lost, capabilities=h100_capabilities(1) + lost)
    (gpu,) = found["gpus"]
    assert (gpu["uuid"], gpu["health"], gpu["compute_capability"]) == (uuid(0), "unknown", "9.0")
    assert gpu["product_name"] == "NVIDIA H100 80GB HBM3"
    assert gpu["memory_total_mib"] is None
    assert found["error"].startswith("GPU 0000:64:00.0 is out of service")


def test_a_gpu_that_asks_for_a_reset() -> None:
    found = facts(text("h100.xml").replace(">None</gpu_recovery_action>", ">Reset</gpu_recovery_action>"))
    assert (found["gpus"][0]["recovery_action"], found["gpus"][0]["health"]) == ("Reset", "unknown")
    assert "the driver asks for: Reset" in found["error"]


def test_memory_that_may_not_be_read() -> None:
    found = facts(text("l40s.xml").replace("46068 MiB", "Insufficient Permissions"))
    assert (found["gpus"][0]["health"], found["gpus"][0]["memory_is_unified"]) == ("unknown", None)
    assert "does not tell its memory: run the task with 'become: true'" in found["error"]


def test_unified_memory_that_is_reported() -> None:
    xml = text("gb10.xml").replace("<total>N/A</total>", "<total>124610 MiB</total>", 1)
    (gpu,) = facts(xml)["gpus"]
    assert (gpu["memory_total_mib"], gpu["memory_is_unified"]) == (124610, True)


def test_memory_not_available_elsewhere() -> None:
    soc = text("gb10.xml").replace("NVIDIA GB10", "NVIDIA SoC")
    assert facts(soc)["gpus"][0]["memory_is_unified"] is True
    assert facts(soc.replace(">ATS<", ">HMM<"))["gpus"][0]["memory_is_unified"] is None


def test_different_gpus() -> None:
    two = h100_xml(2)
    assert facts(two.replace("81559 MiB", "95830 MiB", 1), topology=h100_topology(2))["homogeneous"] is False
    assert facts(two.replace("81559 MiB", "N/A", 1), topology=h100_topology(2))["homogeneous"] is True


def test_gpus_that_are_attached_and_not_told_of() -> None:
    found = facts(text("h100.xml").replace("<attached_gpus>1<", "<attached_gpus>4<"))
    assert found["error"] == "nvidia-smi tells of 1 of 4 attached GPUs: read dmesg for the others."


def test_xml_that_ends_early() -> None:
    whole = h100_xml(3)
    found = facts(whole[: whole.rindex("<fb_memory_usage>")], list=h100_list(3))
    assert [gpu["health"] for gpu in found["gpus"]] == ["ok", "ok", "unknown"]
    assert found["error"].startswith("The answer of 'nvidia-smi -q -x' is damaged (no element found")


def test_xml_that_is_refused() -> None:
    found = facts('<!DOCTYPE nvidia_smi_log [<!ENTITY a "x">]><nvidia_smi_log>&a;</nvidia_smi_log>')
    assert found["error"].startswith("The answer of 'nvidia-smi -q -x' is damaged (it declares entities): run it")
    assert found["gpu_count"] == 0


def test_words_around_the_xml() -> None:
    found = facts(
        "WARNING: infoROM is corrupted at gpu 0000:53:00.0\n" + text("h100.xml") + "WARNING: <again> & again\n"
    )
    assert (found["error"], found["gpu_count"]) == (None, 1)


NOTHING = {"gpu_count": 0, "gpus": [], "homogeneous": None, "mig_strategy": None, "driver_version": None}
COMMUNICATE = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running.\n"
)


@pytest.mark.parametrize(
    ("printed", "begins", "remedy"),
    [
        (COMMUNICATE, "The NVIDIA driver cannot be reached", "modprobe nvidia"),
        ("Failed to initialize NVML: Driver Not Loaded\n", "The NVIDIA driver cannot be reached", "reboot"),
        ("No devices were found\n", "The NVIDIA driver is loaded but drives no GPU", "dmesg"),
        ("Failed to initialize NVML: Insufficient Permissions\n", "This user may not read the GPUs", "become: true"),
        ("Failed to initialize NVML: Unknown Error\n", "NVML cannot be initialized", "recreate the container"),
        (
            "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n",
            "The driver's library libnvidia-ml.so is not found",
            "install",
        ),
        ("Segmentation fault\n", "'nvidia-smi -q -x' ended with status 9, saying 'Segmentation fault'", "dmesg"),
        ("", "'nvidia-smi -q -x' ended with status 9, saying 'nothing'", "dmesg"),
        ("x" * 1000, "'nvidia-smi -q -x' ended with status 9, saying 'xxx", "xxx ...'"),
    ],
)
def test_nothing_can_be_read(printed: str, begins: str, remedy: str) -> None:
    replies = dict.fromkeys(nvidia_smi.QUERIES, Reply(printed, "", 9))
    found = nvidia_smi.gpu_facts(replies, source="/usr/bin/nvidia-smi", cards=["0000:53:00.0"])
    assert {key: found[key] for key in NOTHING} == NOTHING
    assert found["error"].startswith(begins)
    assert remedy in found["error"]
    assert found["topology"] == {"matrix": None, "nvlink_all_to_all": None}
    assert found["reboot_required"] is None


def test_an_answer_that_is_none() -> None:
    found = facts(xml="Hello", module=OPEN_MODULE.format("580.65.06"))
    assert (
        found["error"] == "'nvidia-smi -q -x' gave no usable answer, saying 'Hello': run it on the host and read dmesg."
    )


def test_driver_and_library_of_different_versions() -> None:
    printed = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.159\n"
    replies = dict.fromkeys(nvidia_smi.QUERIES, Reply(printed, "", 18))
    found = nvidia_smi.gpu_facts(replies, source="/usr/bin/nvidia-smi", kernel_module=OPEN_MODULE.format("580.105.08"))
    assert found["reboot_required"] is True
    assert (found["driver_version"], found["kernel_module_version"]) == ("580.159", "580.105.08")
    assert found["error"] == (
        "The loaded NVIDIA kernel module (580.105.08) and the driver's library (580.159) do not fit together: "
        "reboot, or in a container install the version of its host."
    )
    unknown = nvidia_smi.gpu_facts({"xml": Reply(printed[:58], "", 18)}, source="x")
    assert "(unknown version) and the driver's library (another version)" in unknown["error"]
    assert unknown["reboot_required"] is True


@pytest.mark.parametrize(
    ("module", "expected"), [("580.105.08", False), ("580.95.05", True), ("580.105", False), ("", None)]
)
def test_a_loaded_module_of_another_version_asks_for_a_reboot(module: str, expected: bool | None) -> None:
    loaded = OPEN_MODULE.format(module) if module else ""
    assert facts(text("h100.xml"), loaded)["reboot_required"] is expected


def test_everything_hangs() -> None:
    hang = Reply("", "", None, "did not answer within 30 s")
    found = nvidia_smi.gpu_facts(dict.fromkeys(nvidia_smi.QUERIES, hang), source="/usr/bin/nvidia-smi")
    assert found["error"] == (
        "'nvidia-smi -q -x', 'nvidia-smi -L', 'nvidia-smi topo -m', 'nvidia-smi --query-gpu=index,uuid,compute_cap "
        "--format=csv,noheader' did not answer within 30 s: run it on the host and read dmesg; a hanging driver "
        "needs a reboot."
    )
    assert found["gpu_count"] == 0


def test_one_call_that_hangs_leaves_the_others() -> None:
    found = h100(2, topology=Reply("", "", None, "did not answer within 30 s"))
    assert found["gpu_count"] == 2
    assert found["topology"] == {"matrix": None, "nvlink_all_to_all": None}
    assert found["error"].startswith("'nvidia-smi topo -m' did not answer within 30 s")
    whole = h100_xml(2)
    cut = nvidia_smi.gpu_facts({"xml": Reply(whole[:-900], "", None, "hangs")}, source="x")
    assert cut["error"].startswith("'nvidia-smi -q -x' hangs")
    assert cut["gpu_count"] == 1


def test_what_one_gpu_needs_not() -> None:
    failed = Reply("Invalid combination of input arguments.\n", "", 1)
    assert h100(1, topology=failed, list=failed)["error"] is None
    assert h100(2, topology=failed)["error"] is None


def test_a_driver_that_does_not_know_compute_capabilities() -> None:
    said = 'Field "compute_cap" is not a valid field to query.\n'
    found = facts(text("t4-driver-418.xml"), capabilities=Reply(said, "", 2))
    assert found["gpus"][0]["compute_capability"] is None
    assert found["error"].startswith("This driver is too old to tell the compute capability")


@pytest.mark.parametrize("printed", [COMMUNICATE, "No devices were found\n"])
def test_utilities_on_a_machine_without_a_card_are_no_error(printed: str) -> None:
    assert facts(xml=printed, list=Reply(printed, "", 9))["error"] is None
    loaded = facts(xml=printed, module=OPEN_MODULE.format("580.65.06"))
    assert loaded["error"]


def test_no_program() -> None:
    without = nvidia_smi.gpu_facts({}, source=None)
    assert {key: without[key] for key in NOTHING} == NOTHING
    assert (without["source"], without["error"], without["reboot_required"]) == (None, None, False)
    cards = [f"0000:{bus.lower()}:00.0" for bus in BUSES]
    assert nvidia_smi.gpu_facts({}, source=None, cards=cards, wanted="/opt/nvidia-smi")["error"] == (
        "There is an NVIDIA GPU at 0000:53:00.0 and 7 more but no program /opt/nvidia-smi: install the NVIDIA "
        "driver with its utilities, or set nvidia_smi_path."
    )
    assert "at 0000:53:00.0 but no" in nvidia_smi.gpu_facts({}, source=None, cards=cards[:1])["error"]
    module = nvidia_smi.gpu_facts({}, source=None, kernel_module=OPEN_MODULE.format("580.65.06"))
    assert module["reboot_required"] is None


def test_capabilities() -> None:
    printed = "0, GPU-a, 9.0\n1, GPU-b, [N/A]\n[N/A], GPU-c, 12.1\n2, [Unknown Error], 8.6\nwords\n"
    assert nvidia_smi.parse_capabilities(printed) == {"GPU-a": (0, "9.0"), "GPU-b": (1, None), "GPU-c": (None, "12.1")}


def test_lists() -> None:
    assert nvidia_smi.parse_list("  MIG 1g.10gb     Device  0: (UUID: MIG-x)\nwords\n") == []
    old = "GPU 0: A100-SXM4-40GB (UUID: GPU-b)\n  MIG 1c.3g.20gb Device 0: (UUID: MIG-GPU-b/3/0)\n"
    assert nvidia_smi.parse_list(old)[0].migs == {0: ("1c.3g.20gb", "MIG-GPU-b/3/0")}


def values_of(document: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(document, dict):
        return [found for key, child in document.items() for found in values_of(child, f"{path}.{key}")]
    if isinstance(document, list):
        return [found for child in document for found in values_of(child, path)]
    return [(path, document)]


@pytest.mark.parametrize("sentinel", SENTINELS)
@pytest.mark.parametrize("name", NAMES)
def test_every_sentinel_is_null_and_never_a_number(name: str, sentinel: str) -> None:
    """Each leaf of the XML in turn says that it knows nothing: a value may vanish, never become another."""
    xml = text(f"{name}.xml")
    before = dict(values_of(nvidia_smi.gpu_facts(ask(xml), source="x")["gpus"][:1]))
    derived = {".health", ".memory_is_unified"}
    root = read_xml(xml).root
    assert root
    leaves = {("".join(node.texts).strip(), node.name) for node in walk(root) if not node.children}
    for old, tag in leaves:
        found = facts(xml.replace(f"<{tag}>{old}</{tag}>", f"<{tag}>{sentinel}</{tag}>"))
        for key, value in values_of(found["gpus"][:1]):
            if key in derived or not key or value is None or key.startswith((".processes", ".mig_devices")):
                continue
            assert value == before[key] or key == ".power_limit_w"
            assert value != sentinel


def walk(node: Node) -> list[Node]:
    return [node, *(found for child in node.children for found in walk(child))]


EVERYTHING = {
    "xml": [text(f"{name}.xml") for name in NAMES] + [h100_xml(2)],
    "list": [text("h100-mig-list.txt"), h100_list(2)],
    "topology": [text("h100-mig-topo.txt"), h100_topology(2)],
    "capabilities": [h100_capabilities(2)],
}


@st.composite
def mutated(draw: st.DrawFn, kind: str) -> str:
    """An output that was cut off, overwritten here and there, or had its values replaced."""
    printed = draw(st.sampled_from(EVERYTHING[kind]))
    for _ in range(draw(st.integers(0, 4))):
        begin = draw(st.integers(0, len(printed)))
        end = min(len(printed), begin + draw(st.integers(0, 40)))
        what = draw(st.sampled_from(("flip", "cut", "drop", "sentinel", "twice", "words")))
        if what == "flip":
            printed = printed[:begin] + draw(st.characters()) + printed[begin + 1 :]
        elif what == "cut":
            printed = printed[:begin]
        elif what == "drop":
            printed = printed[:begin] + printed[end:]
        elif what == "sentinel":
            start = printed.find(">", begin) + 1
            stop = printed.find("<", start)
            if start and stop >= 0:
                printed = printed[:start] + draw(st.sampled_from(SENTINELS)) + printed[stop:]
        elif what == "twice":
            printed = printed[:end] + printed[begin:]
        else:
            printed = printed[:begin] + draw(st.text(max_size=20)) + printed[begin:]
    return printed


REPLIES = st.fixed_dictionaries(
    {
        kind: st.builds(
            Reply,
            st.one_of(mutated(kind), st.text(max_size=80), st.sampled_from((COMMUNICATE, "No devices were found"))),
            st.one_of(st.just(""), st.text(max_size=40)),
            st.sampled_from((0, 0, 0, 9, None)),
            st.sampled_from(("", "", "did not answer within 30 s")),
        )
        for kind in EVERYTHING
    }
)


@given(REPLIES, st.one_of(st.just(OPEN_MODULE.format("580.65.06")), st.text(max_size=60)), st.booleans())
@settings(max_examples=400, deadline=None)
def test_no_output_whatsoever_raises(replies: dict[str, Reply], module: str, program: bool) -> None:
    found = nvidia_smi.gpu_facts(replies, source="x" if program else None, kernel_module=module, cards=["0000:53:00.0"])
    assert json.loads(json.dumps(found)) == found
    assert found["gpu_count"] == len(found["gpus"])
    assert found["error"] != ""
    assert {gpu["health"] for gpu in found["gpus"]} <= {"ok", "lost", "unknown"}
    for gpu in found["gpus"]:
        # What a planner may put something on says who it is and how large.
        if gpu["health"] == "ok":
            assert gpu["uuid"]
            assert gpu["memory_total_mib"] is not None or gpu["memory_is_unified"]
        for key in ("memory_total_mib", "memory_used_mib", "memory_reserved_mib", "minor_number", "numa_node"):
            assert gpu[key] is None or gpu[key] >= 0
    if found["topology"]["matrix"] is not None:
        assert [len(row) for row in found["topology"]["matrix"]] == [len(found["gpus"])] * len(found["gpus"])


XML = (
    "<?xml version='1.0'?><nvidia_smi_log>{versions}<attached_gpus>1</attached_gpus><gpu id='00000000:01:00.0'>"
    "<uuid>GPU-1</uuid><fb_memory_usage><total>46068 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>{after}"
)
MODULE_610 = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  610.57.04  Release Build"


@pytest.mark.parametrize(
    "versions",
    [
        "<driver_version>610.57.04</driver_version><cuda_version>13.3</cuda_version>",
        "<driver_version>610.57.04 [Deprecated]</driver_version><cuda_version>13.3 [Deprecated]</cuda_version>",
        "<kmd_version>610.57.04</kmd_version><cuda_umd_version>13.3</cuda_umd_version>",
        "<driver_version>N/A</driver_version><kmd_version>610.57.04</kmd_version><cuda_umd_version>13.3</cuda_umd_version>",
    ],
)
def test_versions_with_remarks_or_under_new_names(versions: str) -> None:
    replies = {"xml": Reply(XML.format(versions=versions, after=""))}
    facts = nvidia_smi.gpu_facts(replies, source="/usr/bin/nvidia-smi", kernel_module=MODULE_610)
    assert (facts["driver_version"], facts["cuda_driver_version"]) == ("610.57.04", "13.3")
    assert facts["reboot_required"] is False


def test_a_warning_is_no_error() -> None:
    """A card with a corrupted infoROM works; nvidia-smi ends with status 14 after a complete answer."""
    said = XML.format(versions="", after="WARNING: infoROM is corrupted at gpu 0000:01:00.0\n")
    warning = "WARNING: infoROM is corrupted at gpu 0000:01:00.0"
    replies = {
        "xml": Reply(said, "", 14),
        "list": Reply(f"GPU 0: NVIDIA L40S (UUID: GPU-1)\n{warning}\n", "", 14),
        "capabilities": Reply(f"0, GPU-1, 8.9\n{warning}\n", "", 14),
    }
    facts = nvidia_smi.gpu_facts(replies, source="/usr/bin/nvidia-smi")
    assert facts["error"] is None
    assert [gpu["health"] for gpu in facts["gpus"]] == ["ok"]
    replies["capabilities"] = Reply("", "", 9)
    assert "ended with status 9" in nvidia_smi.gpu_facts(replies, source="/usr/bin/nvidia-smi")["error"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Bytes of another process, bare signs, and the wrong tags of a driver around supported clocks.
        (
            "</processes>",
            "<process_info><pid>1</pid><process_name>a <b> & \x01</process_name></process_info></processes>",
        ),
        ("</gpu>", "<supported_mem_clock>\n9251 MHz</supported_mem_clock>\n</supported_mem_clock></gpu>"),
        ("<processes>", "<clocks_event_reasons><a>1</b></clocks_event_reasons><processes>"),
        ("<processes>", "<fan>&nothing;</fan><processes>"),
    ],
)
def test_damage_in_a_part_that_nobody_needs(old: str, new: str) -> None:
    xml = XML.format(versions="", after="").replace("</gpu>", "<processes></processes></gpu>").replace(old, new)
    found = facts(xml, capabilities="0, GPU-1, 8.9\n")
    assert (found["error"], found["gpus"][0]["health"], found["gpus"][0]["memory_total_mib"]) == (None, "ok", 46068)


@pytest.mark.parametrize("said", ["Not Supported", "Failed to get topology: Not Supported", ""])
@pytest.mark.parametrize("code", [3, 9, 255])
def test_links_that_are_not_told(said: str, code: int) -> None:
    """WSL and virtual machines do not know how GPUs are connected."""
    found = h100(2, topology=Reply(said, "", code))
    assert (found["error"], found["topology"]) == (None, {"matrix": None, "nvlink_all_to_all": None})


@pytest.mark.parametrize("words", ["[GPU is lost]", "[Unknown Error]", "ERR!", "[GPU requires reset]", "N/A"])
def test_a_gpu_that_tells_nothing_beside_one_that_works(words: str) -> None:
    xml = h100_xml(2)
    end = xml.rindex("<fb_memory_usage>")
    found = facts(
        xml[:end] + xml[end:].replace("81559 MiB", words), list=h100_list(2), capabilities=h100_capabilities(2)
    )
    one, other = found["gpus"]
    assert (one["health"], one["memory_total_mib"]) == ("ok", 81559)
    assert other["health"] != "ok"
    assert "GPU 1 0000:64:00.0" in found["error"]
