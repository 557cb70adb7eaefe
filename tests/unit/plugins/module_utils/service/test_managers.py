# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When systemd is reloaded: for units and drop-ins that it has not read, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import managers

RELOAD = ["systemctl", "daemon-reload"]


class Machine:
    """A systemd that says what a test wants, and notes what it is told."""

    def __init__(self, **properties: str) -> None:
        self.properties = {"Id": "llm-web.service", "LoadState": "loaded", "UnitFileState": "enabled", **properties}
        self.told: list[list[str]] = []

    def run(self, argv: list[str], check: bool = True) -> str:
        if argv[1] == "show":
            return "".join(f"{key}={value}\n" for key, value in self.properties.items() if key in argv[3].split(","))
        self.told.append(argv)
        return ""

    def systemd(self) -> managers.Systemd:
        return managers.Systemd("llm-", "/etc/llmfleet", "/var/log/llmfleet", None, self.run)


@pytest.fixture
def drop_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(managers, "DROP_IN", f"{tmp_path}/{{}}.service.d/egress.conf")
    return tmp_path / "llm-web.service.d" / "egress.conf"


def reloaded(machine: Machine) -> bool:
    systemd = machine.systemd()
    stale = systemd.stale(["web"])
    systemd.prepare(["web"])
    assert (RELOAD in machine.told) is stale
    return stale


@pytest.mark.parametrize(
    ("properties", "written", "wanted"),
    [
        ({"NeedDaemonReload": "no"}, False, False),
        ({"NeedDaemonReload": "yes"}, False, True),
        ({"LoadState": "not-found"}, False, True),
        # systemd does not see the first file in a new directory.
        ({"NeedDaemonReload": "no", "DropInPaths": ""}, True, True),
        ({"NeedDaemonReload": "no", "DropInPaths": "/usr/lib/systemd/system/service.d/a.conf {}"}, True, False),
        ({"NeedDaemonReload": "yes", "DropInPaths": "{}"}, True, True),
        # It was deleted.
        ({"NeedDaemonReload": "no", "DropInPaths": "{}"}, False, True),
    ],
)
def test_what_systemd_has_not_read(drop_in: Path, properties: dict[str, str], written: bool, wanted: bool) -> None:
    if written:
        drop_in.parent.mkdir()
        drop_in.write_text("[Service]\n")
    assert reloaded(Machine(**{key: value.format(drop_in) for key, value in properties.items()})) is wanted


def test_no_service_is_no_question() -> None:
    machine = Machine()
    assert machine.systemd().stale([]) is False
    assert machine.told == []


def test_the_drop_in_is_no_reason_for_a_restart_and_goes_with_the_unit(drop_in: Path) -> None:
    systemd = Machine().systemd()
    assert str(drop_in) not in systemd.definition_files("web")
    assert systemd.leftovers(["web"]) == ["/etc/systemd/system/llm-web.service", str(drop_in), str(drop_in.parent)]


def test_supervisor_reads_its_files_by_itself() -> None:
    supervisor = managers.Supervisor("llm-", "/etc/llmfleet", "/var/log/llmfleet", "/bin/false", lambda *_a, **_k: "")
    assert supervisor.stale(["web"]) is False


@pytest.fixture
def timer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(managers, "UNITS", str(tmp_path))
    path = tmp_path / "llm-web.timer"
    path.write_text("[Timer]\n")
    return path


def test_of_a_service_with_a_timer_the_timer_runs(timer: Path) -> None:
    machine = Machine(Id="llm-web.timer", ActiveState="active", UnitFileState="disabled", NeedDaemonReload="no")
    systemd = machine.systemd()
    service = str(timer.with_suffix(".service"))
    assert systemd.states(["web"]) == {"web": "running"}
    assert systemd.definition_files("web") == [service, str(timer)]
    assert systemd.leftovers(["web"])[:2] == [service, str(timer)]
    systemd.prepare(["web"])
    systemd.act("web", "restart", "")
    assert ["systemctl", "enable", "--quiet", "--", "llm-web.timer"] in machine.told
    assert machine.told[-1] == ["systemctl", "restart", "--", "llm-web.timer"]


def test_a_timer_stops_before_its_service(timer: Path) -> None:
    machine = Machine()
    machine.systemd().stop(["web", "db"])
    machine.systemd().disable(["web"])
    assert machine.told == [
        ["systemctl", "stop", "--", "llm-web.timer", "llm-web.service", "llm-db.service"],
        ["systemctl", "disable", "--now", "--quiet", "--", "llm-web.timer", "llm-web.service"],
    ]


@pytest.mark.parametrize("unit", ["llm-web.timer", "llm-web.service"])
def test_a_timer_and_its_service_are_read_again_if_one_has_changed(timer: Path, unit: str) -> None:
    class Two(Machine):
        def run(self, argv: list[str], check: bool = True) -> str:
            if argv[1] != "show":
                return super().run(argv, check)
            need = {one: "yes" if one == unit else "no" for one in ("llm-web.timer", "llm-web.service")}
            return "\n".join(f"Id={one}\nLoadState=loaded\nNeedDaemonReload={said}\n" for one, said in need.items())

    assert timer.exists()
    assert Two().systemd().stale(["web"])
