# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host tells of its certificates, keys, dumps, engines, driver and cards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.doctor import xid as doctor_xid
from ansible_collections.llmfleet.serving.plugins.module_utils.service import ledger, run_lock
from load_file import load_file

FILES = Path(__file__).resolve().parents[4] / "roles" / "node_exporter" / "files"
parts = load_file(FILES / "host_metrics_parts.py")
program = load_file(FILES / "host_metrics.py")

KERNEL = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
LOG = (
    "1700000000.5 gpu1 kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=python, GPU has fallen off the bus.\n"
    "1700000100.5 gpu1 kernel: NVRM: Xid (PCI:0000:3b:00): 31, pid=7, Ch 00000010\n"
    "1700000200.5 gpu1 kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=1, name=python, GPU has fallen off the bus.\n"
    "1700000300.5 gpu1 kernel: nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 20034, Fatal, Link 28\n"
    "1700000400.5 gpu1 kernel: NVRM: Xid (PCI:0000:5e:00): 145, pid=1, name=Fatal, RLW_SRC_TRACK Nonfatal XC1\n"
    "1700000500.5 gpu1 kernel: NVRM: Xid (PCI:0000:5e:00): 154, GPU recovery action changed from 0x1 (GPU Reset"
    " Required) to 0x0 (None)\n"
)


def made(folder: Path, days: int, *more: str) -> str:
    """Return a new certificate as text."""
    path = folder / "tls.pem"
    subject = ["-subj", "/CN=door", "-days", str(days), *more]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-keyout", "/dev/null", "-out", path, *subject], check=True, capture_output=True)
    return path.read_text()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "textfile").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "proc").mkdir()
    return {
        "metrics_file": str(tmp_path / "textfile" / "llmfleet_host.prom"),
        "interval": 60,
        "certificates": {"doors": str(tmp_path / "tls.pem"), "gone": str(tmp_path / "no.pem")},
        "keys_file": str(tmp_path / "keys.json"),
        "backup_settings": str(tmp_path / "backup.json"),
        "record": str(tmp_path / "plan.fact"),
        "generations": str(tmp_path / "generations"),
        "lock": str(tmp_path / "run.json"),
        "libraries": [str(tmp_path / "lib"), str(tmp_path / "no")],
    }


@pytest.fixture
def host(tmp_path: Path, settings: dict[str, Any]) -> Any:
    return program.Host(settings, proc=str(tmp_path / "proc"), run=str(tmp_path / "run"))


@pytest.mark.parametrize("path", sorted(FILES.glob("*.py")), ids=lambda path: path.name)
def test_programs_have_nothing_that_ansible_would_take_for_a_template(path: Path) -> None:
    assert not [mark for mark in ("{{", "{%", "{#") if mark in path.read_text()]


def values(host: Any, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of their labels."""
    return {tuple(one.labels.values()): one.value for one in host.samples() if one.name == f"llmfleet_{name}"}


@pytest.mark.parametrize("days", [1, 20000])
def test_the_end_of_a_certificate_is_that_which_openssl_wrote(tmp_path: Path, days: int) -> None:
    """Years from 2050 on are written in another way."""
    text = made(tmp_path, days)
    assert abs(parts.certificate_ends(text) - time.time() - days * 86400) < 60
    assert parts.certificate_ends(text + made(tmp_path, 10)) < parts.certificate_ends(made(tmp_path, 30))


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----", "no certificate at all"]
)
def test_what_is_no_certificate_is_a_problem(text: str) -> None:
    with pytest.raises(ValueError, match=r"no certificate|cut short"):
        parts.certificate_ends(text)


def test_keys_are_told_by_name_with_the_gates_own_idea_of_their_end() -> None:
    gate = load_file(FILES.parents[1] / "gate" / "files" / "gate_keyring.py")
    texts = ["2027-01-31", "20270131", "2027-01-31T12:00:00+02:00", "2027-01-31T12:00:00", "9999-12-31"]
    keys = [{"alias": text, "sha256": "0" * 64, "expires": text} for text in texts]
    ends = dict(parts.key_ends({"keys": [*keys, {"alias": "for ever"}, {**keys[0], "alias": "x", "blocked": True}]}))
    assert ends == {text: gate.parse_expiry(text).timestamp() for text in texts}


def test_a_thousand_keys_become_no_thousand_series() -> None:
    ends = sorted([(f"key {number}", float(number)) for number in range(1000)], key=lambda one: one[1])
    told = parts.told_keys(ends, 500.0)
    assert [told[0], len(told)] == [("key 501", 501.0), parts.MOST_KEYS]


def test_fatal_codes_are_those_of_the_doctor() -> None:
    assert {code for code, means in doctor_xid.CODES.items() if means.severity == doctor_xid.ERROR} == parts.FATAL


def test_errors_of_cards_are_counted_and_judged_as_the_doctor_does() -> None:
    found = parts.card_errors(LOG, 0.0)
    assert {key: (one.fatal, one.times, one.last) for key, one in found.items()} == {
        ("0000:3b:00", "79"): (True, 2, 1700000200.5),
        ("0000:3b:00", "31"): (False, 1, 1700000100.5),
        ("0000:c1:00.0", "S20034"): (True, 1, 1700000300.5),
        ("0000:5e:00", "145"): (False, 1, 1700000400.5),
        ("0000:5e:00", "154"): (False, 1, 1700000500.5),
    }
    judged = [doctor_xid.meaning(event).severity == doctor_xid.ERROR for event in doctor_xid.parse(LOG)]
    assert judged == [one.fatal for one in found.values()]
    since_boot = parts.card_errors(
        "[  100.5] NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.", 1700000000.0
    )
    assert since_boot["0000:3b:00", "79"].last == 1700000100.5


def test_errors_of_cards_add_up_and_are_bounded() -> None:
    first = parts.card_errors(LOG, 0.0)
    whole = parts.joined(first, parts.card_errors(LOG.replace("17000", "17001"), 0.0))
    assert whole["0000:3b:00", "79"] == parts.CardError(True, 4, 1700100200.5)
    many = {("0000:3b:00", str(number)): parts.CardError(False, 1, float(number)) for number in range(200)}
    assert len(parts.joined({}, many)) == parts.MOST_ERRORS
    assert ("0000:3b:00", "199") in parts.joined({}, many)


def test_texts_in_labels_cannot_end_them() -> None:
    text = parts.exposition([parts.Sample("a", 1.5, {"key": 'x"} 1\n\\'}), parts.Sample("a", 2.0, {})])
    assert text == '# TYPE a gauge\na{key="x\\"} 1\\n\\\\"} 1.5\na 2\n'


def test_a_bare_host_tells_of_itself_and_of_nothing_else(host: Any, settings: dict[str, Any]) -> None:
    host.write()
    path = Path(settings["metrics_file"])
    names = {line.split("{")[0].split(" ")[0] for line in path.read_text().splitlines() if line[0] != "#"}
    assert names == {
        "llmfleet_reboot_required",
        "llmfleet_run_active",
        "llmfleet_host_metrics_failed",
        "llmfleet_host_metrics_timestamp_seconds",
    }
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("seconds", [-5, 0, 599, 600, 9000])
def test_a_run_is_told_as_long_as_others_believe_its_lock(host: Any, settings: dict[str, Any], seconds: int) -> None:
    moment = datetime.now(timezone.utc)
    renewed = ledger.stamp(moment - timedelta(seconds=seconds))
    Path(settings["lock"]).write_text(json.dumps({"id": "1", "renewed": renewed}))
    believed = run_lock.seconds_since(renewed, moment) < run_lock.STALE_SECONDS
    assert values(host, "run_active") == {(): float(believed)}


@pytest.mark.parametrize("lock", ["{}", "[]", '{"renewed": "soon"}', '"text"'])
def test_a_lock_that_says_nothing_is_no_run(host: Any, settings: dict[str, Any], lock: str) -> None:
    Path(settings["lock"]).write_text(lock)
    assert values(host, "run_active") == {(): 0.0}


def test_what_a_host_has_is_told(host: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    made(tmp_path, 30)
    Path(settings["keys_file"]).write_text(
        json.dumps(
            {
                "keys": [
                    {"alias": "team-a", "sha256": "5e", "expires": "2200-01-31"},
                    {"alias": "old", "expires": "2020-01-01"},
                ]
            }
        )
    )
    (tmp_path / "run" / "reboot-required").touch()
    snapshot = tmp_path / "models" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models" / "blob").write_bytes(b"x" * 1000)
    (snapshot / "model.safetensors").symlink_to(tmp_path / "models" / "blob")
    place = tmp_path / "generations" / "vllm-chat-0"
    (place / "3").mkdir(parents=True)
    (place / "present.json").write_text('{"generation": 3}')
    about = {"generation": 3, "revision": "abc", "package": "/opt/llmfleet/venvs/vllm-1", "snapshot": str(snapshot)}
    (place / "3" / "generation.json").write_text(json.dumps(about))
    instance = {"name": "chat-0", "model": "chat", "replica": 0, "engine": "vllm", "env": {"TOKEN": "very-secret"}}
    memory = {"memory": {"weights": 100, "kv_cache": 200}, "kv_cache_tokens": 4096}
    measured = [{"instance": "chat-0", "measured": {"weights": 110, "kv_cache_tokens": 4000}}]
    Path(settings["record"]).write_text(json.dumps({"instances": [{**instance, **memory}], "measured": measured}))
    host.write()
    assert list(values(host, "certificate_expires_timestamp_seconds")) == [("doors",)]
    ends = datetime(2200, 2, 1, tzinfo=timezone.utc).timestamp()
    assert values(host, "key_expires_timestamp_seconds") == {("team-a",): ends}
    assert values(host, "reboot_required") == {(): 1.0}
    assert values(host, "instance_info") == {("chat", "0", "vllm", "abc", "/opt/llmfleet/venvs/vllm-1", "3"): 1}
    assert values(host, "instance_memory_bytes") == {
        ("chat", "0", "weights", "planned"): 100,
        ("chat", "0", "kv_cache", "planned"): 200,
        ("chat", "0", "weights", "measured"): 110,
    }
    assert values(host, "instance_kv_cache_tokens") == {("chat", "0", "planned"): 4096, ("chat", "0", "measured"): 4000}
    assert values(host, "models_largest_bytes") == {(): 1000}
    assert values(host, "models_free_bytes")[()] > 1000
    assert not [name for name, failed in values(host, "host_metrics_failed").items() if failed]
    text = Path(settings["metrics_file"]).read_text()
    assert "5e" not in text.replace("e5e", "")
    assert "very-secret" not in text


def test_the_newest_dump_of_each_database_is_told_and_since_when_there_is_none(
    host: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    dumps = tmp_path / "dumps"
    assert values(host, "backup_interval_seconds") == {}
    Path(settings["backup_settings"]).write_text(json.dumps({"hours": 24, "folder": str(dumps)}))
    assert values(host, "backup_interval_seconds") == {(): 86400}
    dumps.mkdir()
    (dumps / ".lock").touch()
    os.utime(dumps / ".lock", (5000, 5000))
    assert values(host, "backup_last_timestamp_seconds") == {("",): 5000.0}
    # The names are those that the program gives, which dumps.
    backup = load_file(FILES.parents[1] / "postgresql" / "files" / "postgresql_backup.py")
    for database, taken in (("llm fleet/ä", 1.8e9), ("llm fleet/ä", 1.7e9), ("other", 1.6e9)):
        (dumps / backup.name_of(database, taken)).touch()
        (dumps / f"{backup.name_of(database, taken)}.sha256").touch()
    assert values(host, "backup_last_timestamp_seconds") == {("llm fleet/ä",): 1.8e9, ("other",): 1.6e9}


def test_a_driver_whose_library_is_another_one_is_told(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    said = [f"{LOG}-- cursor: s=1\n", "", f"{LOG}-- cursor: s=2\n"]

    def output(command: list[str]) -> str:
        asked.append(command[-1])
        return said.pop(0)

    monkeypatch.setattr(program, "output_of", output)
    (tmp_path / "proc" / "driver" / "nvidia").mkdir(parents=True)
    (tmp_path / "proc" / "driver" / "nvidia" / "version").write_text(KERNEL)
    (tmp_path / "proc" / "stat").write_text("cpu 1\nbtime 1700000000\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libcuda.so.550.54.15").touch()
    (tmp_path / "lib" / "libcuda.so.1").touch()
    assert values(host, "driver_matches") == {("550.54.15", "550.54.15"): 1.0}
    (tmp_path / "lib" / "libcuda.so.550.54.15").rename(tmp_path / "lib" / "libcuda.so.550.90.07")
    assert values(host, "driver_matches") == {("550.54.15", "550.90.07"): 0.0}
    assert values(host, "gpu_xid_count")["0000:3b:00", "79", "yes"] == 4
    assert asked == ["--show-cursor", "--after-cursor=s=1", "--after-cursor=s=1"]


def test_without_a_journal_the_ring_of_the_kernel_is_read_whole(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "output_of", lambda command: LOG if command == ["dmesg"] else "")
    (tmp_path / "proc" / "driver" / "nvidia").mkdir(parents=True)
    (tmp_path / "proc" / "driver" / "nvidia" / "version").write_text(KERNEL)
    (tmp_path / "proc" / "stat").write_text("btime 1700000000\n")
    for _look in range(2):
        assert values(host, "gpu_xid_count")["0000:3b:00", "79", "yes"] == 2


def test_a_part_that_cannot_be_read_is_named_once_and_the_others_are_told(
    host: Any, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(settings["keys_file"]).write_text('{"keys": [{"alias": "a", "sha256": "very-secret"')
    for _look in range(2):
        failed = values(host, "host_metrics_failed")
        assert [name for (name,), value in failed.items() if value] == ["keys"]
    Path(settings["keys_file"]).write_text("{}")
    host.write()
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()] == ["keys", "keys"]
    assert "can be read again" in said
    assert "very-secret" not in said


def test_programs_that_fail_or_are_not_there_say_nothing() -> None:
    assert program.output_of([sys.executable, "-c", "print('x')"]) == "x\n"
    assert program.output_of([sys.executable, "-c", "print('x'); raise SystemExit(1)"]) == ""
    assert program.output_of(["/no/such/program"]) == ""


def test_the_program_writes_until_it_is_stopped_also_where_it_cannot(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.json"
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(program.time, "sleep", pause)
    for folder in ("textfile", "no"):
        pauses.clear()
        path.write_text(json.dumps({**settings, "metrics_file": str(tmp_path / folder / "llmfleet_host.prom")}))
        with pytest.raises(KeyboardInterrupt):
            program.main([str(path)])
        assert pauses == [60, 60]
    assert "is not written" in capsys.readouterr().out
    assert (tmp_path / "textfile" / "llmfleet_host.prom").exists()
