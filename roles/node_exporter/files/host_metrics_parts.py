# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What texts and files say that this host's metrics are made of: certificates, keys, dumps, the kernel's log.

Pure functions; no files, no network. Moments are seconds since 1970.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

# More keys than these do not become series: those that end next are told.
MOST_KEYS = 100
# More kinds of errors of cards than these do not either: those that were seen last are told.
MOST_ERRORS = 50

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s(.*?)-----END CERTIFICATE-----", re.DOTALL)
# Tags of ASN.1 (X.690, 8.1.2, and RFC 5280, 4.1): a version is there from the second version of certificates on.
VERSION, UTC_TIME = 0xA0, 0x17

# The time in the name of a dump, which roles/postgresql/files/postgresql_backup.py gives it.
DUMP = re.compile(r"(?P<database>.+)-(?P<time>\d{8}T\d{6}Z)\.dump")

# "NVRM: Xid (PCI:0000:3b:00): 79, pid=..." and "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 28 ..."
XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-f:]{7,16})[^)]*\): (\d{1,4})\b,? ?([^\n]*)", re.IGNORECASE)
SXID = re.compile(r"\bSXid \(PCI:([0-9a-f:.]+)\): (\d{1,6}), (Fatal|Non-fatal)", re.IGNORECASE)
# Seconds at the begin of a line: of the calendar (journalctl -o short-unix), or since the boot in brackets (dmesg).
STAMP = re.compile(r"^\s*\[?\s*(\d+(?:\.\d+)?)\]?\s")
PROCESS = re.compile(r"pid=\S+,? ?name=[^,]*,? ?")
GRAVITY = re.compile(r"\b(Nonfatal|Non-fatal|Fatal)\b")
RECOVERED = re.compile(r"recovery action changed from .* to 0x0+ \(None\)", re.IGNORECASE)
# Codes after which a card needs a reset, a reboot or a replacement; plugins/module_utils/doctor/xid.py says what each
# means, and a test compares both.
FATAL = frozenset(
    (46, 48, 61, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143, 144, 145, 146, 147, 148, 149, 150, 154)
)

KERNEL_MODULE = re.compile(r"Kernel Module(?: +for +\S+)? +([0-9]{1,5}(?:\.[0-9]{1,5}){1,3})\b")
LIBRARY = re.compile(r"libcuda\.so\.(\d+\.[\d.]*\d)")

# Seconds without a renewal after which nobody holds the lock of a run any more; a test compares it with the lock.
RUN_STALE_SECONDS = 600

# Parts of an instance's memory that are planned and measured, in bytes.
PARTS = ("weights", "activation", "cuda_graphs", "other", "kv_cache")


@dataclass(frozen=True)
class Sample:
    """A value of a metric."""

    name: str
    value: float
    labels: Mapping[str, str]


def exposition(samples: Iterable[Sample]) -> str:
    """Return samples in Prometheus' text format, those of a name together."""
    lines: dict[str, list[str]] = {}
    for one in samples:
        pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in one.labels.items())
        value = repr(one.value) if one.value % 1 else str(int(one.value))
        # Ansible renders this file, and would take two braces for an expression of its own.
        labels = "{" + pairs + "}" if pairs else ""
        lines.setdefault(one.name, []).append(f"{one.name}{labels} {value}")
    return "".join(f"# TYPE {name} gauge\n" + "\n".join(rows) + "\n" for name, rows in lines.items())


def _escaped(text: str) -> str:
    return str(text).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def holds(lock: Any, now: float) -> bool:
    """Return whether a run that is alive holds the lock of the host.

    :param lock: what the file of the lock has.
    """
    renewed = str(lock.get("renewed") or "") if isinstance(lock, dict) else ""
    try:
        moment = datetime.strptime(renewed, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return False
    return now - moment.timestamp() < RUN_STALE_SECONDS


def certificate_ends(pem: str) -> float:
    """Return when the first certificate of a chain ends to be valid.

    :raises ValueError: if there is none, or it is not one.
    """
    ends = [_not_after(binascii.a2b_base64(block)) for block in CERTIFICATE.findall(pem)]
    if not ends:
        raise ValueError("there is no certificate in it")
    return min(ends)


def _not_after(der: bytes) -> float:
    """Return the end of a certificate: ``SEQUENCE {SEQUENCE {[version], serial, algorithm, issuer, validity ...``."""
    _tag, begin, _end = _element(der, 0)
    _tag, place, _end = _element(der, begin)
    tag, _begin, after = _element(der, place)
    place = after if tag == VERSION else place
    for _field in ("serial", "algorithm", "issuer"):
        _tag, _begin, place = _element(der, place)
    _tag, begin, _end = _element(der, place)
    _tag, _begin, begin = _element(der, begin)
    tag, begin, end = _element(der, begin)
    text = der[begin:end].decode("ascii")
    if tag == UTC_TIME:
        # RFC 5280, 4.1.2.5.1: from 50 on it is the last century.
        text = f"{'19' if int(text[:2]) >= 50 else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()


def _element(der: bytes, place: int) -> tuple[int, int, int]:
    """Return the tag of the element at a place, and where its content begins and ends."""
    if len(der) < place + 2:
        raise ValueError("it is cut short")
    tag, size, begin = der[place], der[place + 1], place + 2
    if size >= 0x80:
        begin += size - 0x80
        size = int.from_bytes(der[place + 2 : begin], "big")
    if len(der) < begin + size:
        raise ValueError("it is cut short")
    return tag, begin, begin + size


def key_ends(keyring: Any) -> list[tuple[str, float]]:
    """Return the names of the gate's keys that end, with the moment from which they no longer work, the next one first.

    :param keyring: the gate's file; a time of day is told by ISO 8601, and a date is the last day of a key in UTC.
    """
    ends = {}
    for entry in keyring.get("keys") or []:
        text = str(entry.get("expires") or "")
        if text and not entry.get("blocked"):
            moment = datetime.fromisoformat(text)
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d{8}", text):
                moment = moment + timedelta(days=1) if moment.date() < date.max else datetime.max
            moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
            ends[str(entry["alias"])] = moment.timestamp()
    return sorted(ends.items(), key=lambda one: (one[1], one[0]))


def told_keys(ends: list[tuple[str, float]], now: float) -> list[tuple[str, float]]:
    """Return the keys that become series: those that work, the ones that end next."""
    return [one for one in ends if one[1] > now][:MOST_KEYS]


def newest_dumps(names: Iterable[str]) -> dict[str, float]:
    """Return when the newest dump of each database was taken."""
    found: dict[str, float] = {}
    for name in names:
        match = DUMP.fullmatch(name)
        if match:
            taken = datetime.strptime(match["time"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
            database = unquote(match["database"])
            found[database] = max(taken, found.get(database, 0.0))
    return found


@dataclass
class CardError:
    """All messages of one code of one card."""

    fatal: bool
    times: int = 0
    last: float = 0.0


def card_errors(log: str, booted: float) -> dict[tuple[str, str], CardError]:
    """Return what the kernel's log says of errors of cards, by address on the bus and code (``79``, ``S20034``)."""
    found: dict[tuple[str, str], CardError] = {}
    for line in log.splitlines():
        match = XID.search(line)
        if match:
            card, code, text = match.groups()
            said = GRAVITY.search(PROCESS.sub("", text))
            fatal = said[1] == "Fatal" if said else int(code) in FATAL and not RECOVERED.search(text)
        else:
            match = SXID.search(line)
            if not match:
                continue
            card, code, gravity = match.groups()
            code, fatal = f"S{code}", gravity.lower() == "fatal"
        one = found.setdefault((card.lower(), code), CardError(fatal))
        stamp = STAMP.match(line)
        moment = float(stamp[1]) if stamp else 0.0
        one.times += 1
        # No machine has been up for thirty years, so smaller values count from the boot.
        one.last = moment if moment >= 10**9 else booted + moment
        one.fatal = fatal
    return found


def joined(earlier: Mapping[tuple[str, str], CardError], new: Mapping[tuple[str, str], CardError]) -> dict[Any, Any]:
    """Return earlier errors with those that came since, the ones that were seen last."""
    whole = dict(earlier)
    for key, one in new.items():
        times = whole[key].times if key in whole else 0
        whole[key] = CardError(one.fatal, times + one.times, one.last)
    return dict(sorted(whole.items(), key=lambda item: item[1].last)[-MOST_ERRORS:])


def driver_versions(kernel: str, libraries: Iterable[str]) -> tuple[str, list[str]]:
    """Return the version of the driver that the kernel has loaded, and those of its libraries.

    :param kernel: the text of /proc/driver/nvidia/version.
    :param libraries: names of files.
    """
    found = KERNEL_MODULE.search(kernel)
    versions = {match[1] for match in map(LIBRARY.fullmatch, libraries) if match}
    return found[1] if found else "", sorted(versions)


def instance_samples(record: Any, present: Mapping[str, Any]) -> list[Sample]:
    """Return what is in force: the version of each instance, and its memory as planned and as measured.

    :param record: the record of the host.
    :param present: by service, the generation that runs.
    """
    samples = []
    measured = {str(one.get("instance")): one.get("measured") or {} for one in record.get("measured") or []}
    for one in record.get("instances") or []:
        labels = {"model": str(one["model"]), "replica": str(one.get("replica", ""))}
        runs = present.get(f"{one['engine']}-{one['name']}") or {}
        version = {
            "engine": str(one["engine"]),
            "revision": str(runs.get("revision") or one.get("revision") or ""),
            "package": str(runs.get("package") or ""),
            "generation": str(runs.get("generation") or ""),
        }
        samples.append(Sample("llmfleet_instance_info", 1, {**labels, **version}))
        plan, seen = one.get("memory") or {}, measured.get(str(one["name"])) or {}
        for kind, values in (("planned", plan), ("measured", seen)):
            for part in PARTS:
                if values.get(part) is not None:
                    more = {"part": part, "kind": kind}
                    samples.append(Sample("llmfleet_instance_memory_bytes", float(values[part]), {**labels, **more}))
        for kind, tokens in (("planned", one.get("kv_cache_tokens")), ("measured", seen.get("kv_cache_tokens"))):
            if tokens:
                samples.append(Sample("llmfleet_instance_kv_cache_tokens", float(tokens), {**labels, "kind": kind}))
    return samples
