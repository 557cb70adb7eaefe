# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Xid and SXid messages of kernel logs, as journalctl and dmesg print them."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import xid as doctor_xid
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import ERROR, OK, WARNING

NOW = 1_763_741_000.0
GPU = "0000:3b:00.0"


def line(
    code: int, text: str = "pid='<unknown>', name=<unknown>", ago: float = 60, place: str = "PCI:0000:3b:00"
) -> str:
    return f"{NOW - ago:.6f} gpu1 kernel: NVRM: Xid ({place}): {code}, {text}"


def judge(log: str, well: bool = True) -> list[tuple[str, str]]:
    events = doctor_xid.parse(log)
    found = doctor_xid.findings(events, {GPU: "GPU 0 (NVIDIA L4)"}, [GPU] if well else [], NOW)
    return [(one.severity, one.found) for one in found]


@pytest.mark.parametrize("code", sorted(doctor_xid.CODES))
def test_every_code_has_a_name_cause_and_remedy(code: int) -> None:
    means = doctor_xid.CODES[code]
    assert means.severity in (WARNING, ERROR)
    assert means.name
    assert means.cause
    assert means.remedy
    ((severity, found),) = judge(line(code))
    assert severity == means.severity
    assert f"Xid {code} ({means.name}) once, last 60 seconds ago" in found


@pytest.mark.parametrize(
    ("severity", "codes"),
    [
        (WARNING, (13, 31, 43, 45, 63, 92, 94)),
        (ERROR, (48, 64, 74, 79, 95, 119, 120, 154)),
    ],
)
def test_what_ends_a_start_and_what_does_not(severity: str, codes: tuple[int, ...]) -> None:
    assert {doctor_xid.CODES[code].severity for code in codes} == {severity}


def test_forms_of_the_message() -> None:
    log = "\n".join(
        (
            "[  102.000001] NVRM: Xid (0000:03:00): 14, Channel 00000001",
            f"{NOW} gpu1 kernel: NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, Contained: CE User Channel (0x9)",
            f"{NOW} gpu1 kernel: NVRM: Xid (PCI:0008:06:00): 79, GPU has fallen off the bus.",
            "NVRM: Xid (PCI:0000:3b:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
            "[  103.5] nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 28 LTSSM Fault Up",
            "[  104.5] nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress PRIV error",
            "[  105.5] usb 1-1: new high-speed USB device; nothing of ours: Xid",
        )
    )
    events = doctor_xid.parse(log, booted=NOW - 200)
    assert [(one.device, one.code, one.kind) for one in events] == [
        ("0000:03:00.0", 14, "Xid"),
        ("0000:01:00.0", 94, "Xid"),
        ("0008:06:00.0", 79, "Xid"),
        (GPU, 154, "Xid"),
        ("0000:c1:00.0", 20034, "SXid fatal"),
        ("0000:c1:00.0", 12028, "SXid non-fatal"),
    ]
    assert events[0].last == pytest.approx(NOW - 98)
    assert (events[2].last, events[2].text) == (NOW, "GPU has fallen off the bus.")
    assert events[3].last is None
    found = doctor_xid.findings(events, {}, [], NOW)
    assert [one.severity for one in found] == [WARNING, WARNING, ERROR, ERROR, ERROR, WARNING]
    assert "not in the doctor's table" in found[0].found
    assert "SXid 20034 (fatal NVSwitch error)" in found[4].found


def test_a_time_since_the_boot_of_which_nothing_is_known() -> None:
    (event,) = doctor_xid.parse("[ 102.5] NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.")
    assert event.last is None


def test_repeated_messages_are_one_finding() -> None:
    ((severity, found),) = judge("\n".join([line(31, "Ch 1", ago=7200), line(31, "Ch 2", ago=3 * 3600)]))
    assert severity == WARNING
    assert "2 times, last 3 hours ago: Ch 2" in found


@pytest.mark.parametrize(
    ("code", "ago", "well", "severity"),
    [
        (79, 3600, True, ERROR),
        # An old one on a card that works again is history.
        (79, 3 * 86400, True, WARNING),
        (31, 3 * 86400, True, OK),
        (79, 3 * 86400, False, ERROR),
    ],
)
def test_history(code: int, ago: float, well: bool, severity: str) -> None:
    assert judge(line(code, ago=ago), well)[0][0] == severity


@pytest.mark.parametrize(("ago", "words"), [(3, "3 seconds"), (300, "5 minutes"), (200_000, "2 days")])
def test_how_long_ago(ago: float, words: str) -> None:
    assert f"last {words} ago" in judge(line(79, ago=ago))[0][1]


def test_no_message_at_all() -> None:
    assert judge("nothing\n") == [(OK, "no Xid since the boot")]


def test_a_message_without_words_on_a_device_that_is_no_pci_address() -> None:
    (event,) = doctor_xid.parse("nvidia-nvswitch0: SXid (PCI:C1): 1, Fatal")
    assert event.device == "c1"
    assert "no more is said" in doctor_xid.findings([event], {}, [], NOW)[0].found


NVLINK = (
    "[  100.0] NVRM: Xid (PCI:0000:1b:00): 149, NETIR_BER_EVENT Nonfatal XC0 i0 Link 01 (0x00082226 0x00000001)",
    "[  101.0] NVRM: Xid (PCI:0000:1b:00): 145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 12 (0x040988e2 0x00000002)",
    "[  102.0] NVRM: Xid (PCI:0000:1b:00): 144, SAW_MVB Nonfatal XC0 i0 Link 00 (0x00000001 0x00000001)",
    "[  103.0] NVRM: Xid (PCI:0000:2b:00): 145, RLW_SRC_TRACK Fatal XC0 i0 Link 00 (0x00000007 0x00000001)",
    # Messages of other drivers, machines and codes.
    "[  104.0] NVRM: Xid (PCI:0000:00:1e): 145, pid=4, name=<unknown>, RLW_REMAP Nonfatal XC0 i1 Link 00 (0x00000001)",
    "[  105.0] NVRM: Xid (PCI:0008:01:00): 150, MSE_WATCHDOG Fatal XC0 i0 Link -1 (0x00000001 0x00000001)",
    "[  106.0] NVRM: Xid (PCI:0019:01:00): 155, NVLINK_SW_DEFINED_ERROR Nonfatal XC0 i0 Link 12 (0x00000001)",
    "[  107.0] NVRM: Xid (PCI:0019:02:00): 155, NVLINK_SW_DEFINED_ERROR Fatal XC0 i0 Link 12 (0x00000001)",
    "[  108.0] NVRM: Xid (PCI:0000:8a:00): 74, pid=9, name=Nonfatal, NVLink: fatal error detected on link 2(0x10000)",
    "[  109.0] NVRM: Xid (PCI:0000:8a:00): 31, pid=9, name=Fatal, Ch 00000010, MMU Fault: ENGINE GRAPHICS",
)


def test_codes_that_say_themselves_how_grave_they_are() -> None:
    found = doctor_xid.findings(doctor_xid.parse("\n".join(NVLINK), NOW), {}, [], NOW + 200)
    assert [one.severity for one in found] == [
        *[WARNING] * 3,
        ERROR,
        WARNING,
        ERROR,
        WARNING,
        ERROR,
        ERROR,
        WARNING,
    ]
    assert "survived" in found[0].cause
    assert "survived" not in found[3].cause
    assert found[1].found.startswith("Xid 145 (NVLink error (RLW)) once")


@pytest.mark.parametrize("order", [("Fatal", "Nonfatal"), ("Nonfatal", "Fatal")])
def test_one_that_is_fatal_is_not_covered_by_one_that_is_not(order: tuple[str, str]) -> None:
    log = "\n".join(line(145, f"RLW_SRC_TRACK {word} XC0 i0 Link 00 (0x7)") for word in order)
    assert [severity for severity, _found in judge(log)].count(ERROR) == 1
    assert len(judge(log)) == 2


@pytest.mark.parametrize(
    ("texts", "severity"),
    [
        (["from 0x0 (None) to 0x1 (GPU Reset Required)"], ERROR),
        (["from 0x0 (None) to 0x2 (OS Reboot)"], ERROR),
        (["from 0x0 (None) to 0x4 (Drain and Reset)"], ERROR),
        (["from 0x0 (None) to 0x1 (GPU Reset Required)", "from 0x1 (GPU Reset Required) to 0x0 (None)"], WARNING),
        (["from 0x1 (PF FLR) to 0x0 (None)", "from 0x0 (None) to 0x2 (Node Reboot Required)"], ERROR),
    ],
)
def test_the_last_recovery_action_counts(texts: list[str], severity: str) -> None:
    log = "\n".join(line(154, f"GPU recovery action changed {text}") for text in texts)
    assert [one for one, _found in judge(log)] == [severity]
