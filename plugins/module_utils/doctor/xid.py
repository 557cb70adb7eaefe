# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meanings and remedies of Xid and SXid messages in the kernel's log.

The meanings follow NVIDIA's catalogue (docs.nvidia.com/deploy/xid-errors, "Analyzing Xid Errors"), its guide to memory
errors of the A100 for 48, 63, 64, 94 and 95, and the Fabric Manager guide for SXid. Pure functions over texts.
"""

from __future__ import annotations

import re
from typing import Iterable, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.doctor.finding import ERROR, OK, WARNING, Finding, fine
from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.smi_xml import pci_bus_id

CHECK = "xid"
# "NVRM: Xid (PCI:0000:3b:00): 79, pid=...", with MIG "(PCI:0000:01:00 GPU-I:05)", of old drivers without "PCI:".
XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2})[^)]*\): (\d{1,4})\b,? ?([^\n]*)", re.I)
# "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 28 ..."
SXID = re.compile(r"\bSXid \(PCI:([0-9a-f:.]+)\): (\d{1,6}), (Fatal|Non-fatal),? ?([^\n]*)", re.I)
# NVLink 5's codes say themselves how grave they are: "145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 12 (0x04...)", and some
# drivers put the process before it, whose name may be any word.
GRAVITY = re.compile(r"\b(Nonfatal|Non-fatal|Fatal)\b")
PROCESS = re.compile(r"pid=\S+,? ?name=[^,]*,? ?")
# "154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"
NO_RECOVERY = re.compile(r"recovery action changed from .* to 0x0+ \(None\)", re.I)
# Prefix of lines of journalctl -o short-unix and dmesg: seconds since 1970, or since the boot in brackets.
STAMP = re.compile(r"^\s*\[?\s*(\d+(?:\.\d+)?)\]?\s")
# Seconds after which an Xid of a GPU that works again is ignored.
RECENT = 24 * 3600
EXCERPT = 160
# The code with which the driver says what it asks for.
RECOVERY = 154


class Meaning(NamedTuple):
    """The meaning of a code."""

    severity: str
    name: str
    cause: str
    remedy: str


_APPLICATION = "a fault of a program rather than of the card, as long as only one program has it"
_RESTART = "see the engine's log; if it comes back with other programs too, run NVIDIA's diagnostics (dcgmi diag -r 3)"
_RESET = "stop the engines of this GPU and reset it (nvidia-smi --gpu-reset -i UUID), or reboot"
_REPLACE = "; if it comes back, have the card replaced"
_GSP = "the GPU's own firmware stopped answering the driver"
_GSP_REMEDY = f"{_RESET}; if it comes back, install the newest driver of the branch"
_LINK = "a link between GPUs, or to an NVSwitch, has errors: connector, bridge, switch or fabric manager"
_LINK_REMEDY = (
    "see nvidia-smi nvlink -e and the fabric manager's log, reset the GPUs or reboot, then reseat bridge or board"
)

CODES: Mapping[int, Meaning] = {
    13: Meaning(WARNING, "graphics engine exception", _APPLICATION, _RESTART),
    31: Meaning(WARNING, "GPU memory page fault", f"an access to memory that is not mapped: {_APPLICATION}", _RESTART),
    32: Meaning(
        WARNING, "corrupted push buffer", "the driver was handed broken commands, or PCIe corrupts data", _RESTART
    ),
    43: Meaning(WARNING, "a channel stopped", f"a program's work ended in an error: {_APPLICATION}", _RESTART),
    45: Meaning(
        WARNING,
        "preemptive cleanup",
        "what a program had on the GPU was cleared, after it was killed or failed",
        "nothing, if it was stopped on purpose; else look at the Xid before it",
    ),
    46: Meaning(ERROR, "GPU stopped processing", "the GPU hangs", _RESET),
    48: Meaning(
        ERROR, "double bit ECC error", "memory of the card lost data that ECC could not mend", _RESET + _REPLACE
    ),
    61: Meaning(ERROR, "internal micro-controller breakpoint", "the GPU's firmware stopped", _RESET + _REPLACE),
    62: Meaning(
        ERROR,
        "internal micro-controller halt",
        "the GPU's firmware halted: heat, power, or a defect",
        _RESET + _REPLACE,
    ),
    63: Meaning(
        WARNING,
        "row remapping or page retirement recorded",
        "a defective place in the card's memory will be replaced by a spare one",
        "reset the GPU when it is idle",
    ),
    64: Meaning(
        ERROR,
        "row remapping or page retirement failed",
        "a defective place in memory cannot be replaced",
        "take the GPU out of llm_gpus and have the card replaced",
    ),
    68: Meaning(WARNING, "video processor exception", _APPLICATION, _RESTART),
    69: Meaning(WARNING, "graphics engine class error", _APPLICATION, _RESTART),
    74: Meaning(ERROR, "NVLink error", _LINK, _LINK_REMEDY),
    79: Meaning(
        ERROR,
        "GPU has fallen off the bus",
        "the card does not answer on PCIe: power, heat, seat, riser or a defect",
        "reboot; if that does not bring it back, turn the machine off and on, reseat the card and look at its power",
    ),
    92: Meaning(
        WARNING,
        "high rate of single bit ECC errors",
        "memory of the card wears out, or it is too hot",
        "see nvidia-smi -q -d ECC,ROW_REMAPPER; watch it, and have the card replaced if double bit errors follow",
    ),
    94: Meaning(
        WARNING,
        "contained ECC error",
        "memory lost data; only the program that used it was ended",
        f"restart the engine if it did not by itself; {_RESET} when convenient{_REPLACE}",
    ),
    95: Meaning(
        ERROR,
        "uncontained ECC error",
        "memory lost data, and any program on the GPU may have wrong values",
        _RESET + _REPLACE,
    ),
    109: Meaning(ERROR, "context switch timeout", "the GPU did not leave a program's work in time", _RESET),
    110: Meaning(ERROR, "security fault", "a hardware fault of the GPU", _RESET + _REPLACE),
    119: Meaning(ERROR, "GSP RPC timeout", _GSP, _GSP_REMEDY),
    120: Meaning(ERROR, "GSP error", _GSP, _GSP_REMEDY),
    121: Meaning(
        WARNING, "corrected C2C link error", "the link between CPU and GPU corrected errors", "reset when convenient"
    ),
    136: Meaning(ERROR, "link training failed", _LINK, _LINK_REMEDY),
    137: Meaning(
        WARNING,
        "NVLink remote access fault",
        f"another GPU was asked for memory that is not mapped: {_APPLICATION}",
        _RESTART,
    ),
    140: Meaning(ERROR, "ECC error that was not recovered", "memory of the card lost data", _RESET + _REPLACE),
    143: Meaning(
        ERROR, "GPU initialization failed", "the driver could not start the card", f"{_RESET}; then read dmesg"
    ),
    144: Meaning(ERROR, "NVLink error (SAW)", _LINK, _LINK_REMEDY),
    145: Meaning(ERROR, "NVLink error (RLW)", _LINK, _LINK_REMEDY),
    146: Meaning(ERROR, "NVLink error (TLW)", _LINK, _LINK_REMEDY),
    147: Meaning(ERROR, "NVLink error (TREX)", _LINK, _LINK_REMEDY),
    148: Meaning(ERROR, "NVLink error (NVLPW)", _LINK, _LINK_REMEDY),
    149: Meaning(ERROR, "NVLink error (NETIR)", _LINK, _LINK_REMEDY),
    150: Meaning(ERROR, "NVLink error (MSE)", _LINK, _LINK_REMEDY),
    154: Meaning(
        ERROR,
        "recovery action changed",
        "the driver asks for a reset or a reboot after another error",
        "do what the message asks for: reset the GPU or reboot; the Xid before it tells the cause",
    ),
    171: Meaning(WARNING, "more on an ECC error, in DRAM", "belongs to Xid 48", "see Xid 48"),
    172: Meaning(WARNING, "more on an ECC error, in SRAM", "belongs to Xid 48", "see Xid 48"),
}
_SURVIVED = (
    "an NVLink had an error that the driver and the GPU survived",
    "nothing while engines work; if it comes often, see nvidia-smi nvlink -e and the fabric manager's log",
)
_RECOVERED = (
    "the driver asked for a reset or a reboot before, and asks for nothing any more",
    "nothing, if the GPU was reset; else the Xid before it tells the cause",
)
UNKNOWN = Meaning(
    WARNING,
    "not in the doctor's table",
    "see NVIDIA's catalogue of Xid errors",
    "look the number up at https://docs.nvidia.com/deploy/xid-errors",
)
_SWITCH_FATAL = Meaning(
    ERROR,
    "fatal NVSwitch error",
    "an NVSwitch or a link to it failed: traffic between GPUs stands still",
    "restart the fabric manager after a reset of all GPUs, or reboot; if it comes back, have the board replaced",
)
_SWITCH = Meaning(
    WARNING,
    "NVSwitch error",
    "an NVSwitch or a link to it had an error that it survived",
    "see the fabric manager's log; if it comes often, reseat or replace what it names",
)


class Event(NamedTuple):
    """All messages of one code on one device."""

    device: str
    """PCI address, as sysfs writes it."""
    code: int
    kind: str
    """``Xid`` or ``SXid``, with a space and its gravity (``fatal``, ``non-fatal``) if the message says one."""
    times: int
    last: float | None
    """Seconds of the calendar; None where the log does not tell."""
    text: str
    """The text of the last one."""


def parse(log: str, booted: float | None = None) -> list[Event]:
    """Return the Xid and SXid events of a kernel log, in the order in which each was first seen.

    :param booted: when the machine was booted, in seconds of the calendar; for times that count from there.
    """
    found: dict[tuple[str, int, str], Event] = {}
    for line in log.splitlines():
        match, kind = XID.search(line), "Xid"
        if match:
            place, code, text = match.groups()
            place += ".0"
            said = GRAVITY.search(PROCESS.sub("", text))
            kind += f" {'fatal' if said[1] == 'Fatal' else 'non-fatal'}" if said else ""
        else:
            match = SXID.search(line)
            if not match:
                continue
            place, code, gravity, text = match.groups()
            kind = f"SXid {gravity.lower()}"
        device = pci_bus_id(place) or place.lower()
        stamp = STAMP.match(line)
        seconds = float(stamp[1]) if stamp else None
        # Smaller values count from the boot, because no machine has been up for thirty years.
        if seconds is not None and seconds < 10**9:
            seconds = None if booted is None else booted + seconds
        key = (device, int(code), kind)
        count = found[key].times + 1 if key in found else 1
        found[key] = Event(device, int(code), kind, count, seconds, " ".join(text.split())[:EXCERPT])
    return list(found.values())


def meaning(event: Event) -> Meaning:
    """Return what an event means."""
    kind, _space, gravity = event.kind.partition(" ")
    if kind == "Xid":
        known = CODES.get(event.code, UNKNOWN)
        if event.code == RECOVERY and NO_RECOVERY.search(event.text):
            return Meaning(WARNING, known.name, *_RECOVERED)
        if gravity == "non-fatal":
            return Meaning(WARNING, known.name, *(_SURVIVED if known.cause == _LINK else known[2:]))
        return known._replace(severity=ERROR) if gravity else known
    return _SWITCH_FATAL if event.kind == "SXid fatal" else _SWITCH


def findings(events: Iterable[Event], names: Mapping[str, str], sound: Iterable[str], now: float) -> list[Finding]:
    """Return a finding for each kind of event on each device, or one without a problem if there is none.

    :param names: what people call the device at a PCI address.
    :param sound: PCI addresses of GPUs that nvidia-smi says are well now: what is old there is history.
    """
    well, judged = set(sound), []
    for event in events:
        means = meaning(event)
        times = "once" if event.times == 1 else f"{event.times} times"
        age = None if event.last is None else max(0.0, now - event.last)
        when = "" if age is None else f", last {_ago(age)} ago"
        number = f"{event.kind.partition(' ')[0]} {event.code}"
        found = f"{number} ({means.name}) {times}{when}: {event.text or 'no more is said'}"
        severity = means.severity
        if age is not None and age > RECENT and event.device in well:
            severity = WARNING if severity == ERROR else OK
        cause, remedy = ("", "") if severity == OK else (means.cause, means.remedy)
        judged.append(Finding(CHECK, severity, names.get(event.device, event.device), found, cause, remedy))
    return judged or [fine(CHECK, "kernel log", "no Xid since the boot")]


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"
