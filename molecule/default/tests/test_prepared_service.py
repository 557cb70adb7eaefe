# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under systemd: commands that prepare a service run once, and a service is ready by a command or by its port.

converge.yml has the two specs. That a second run changes nothing is asserted by the stage idempotence, and that units,
accounts and files go with removal by side_effect.yml.
"""

from __future__ import annotations

from typing import Any

import pytest
import testinfra

STATE = "/var/lib/llmfleet/bench-store"
SECRET = r"""it's "quoted" $HOME 100% \n"""
STORE, DOOR = "llm-bench-store.service", "llm-bench-door.service"


@pytest.fixture(scope="module")
def machine() -> Any:
    """The one host that has both services; the fixture `host` would be every host of the scenario in turn."""
    return testinfra.get_host("docker://gw-ubuntu")


def started(host: Any, unit: str) -> int:
    """Return when the main process of a unit started, in microseconds since the boot."""
    return int(host.check_output(f"systemctl show -P ExecMainStartTimestampMonotonic {unit}"))


def test_a_command_prepares_once_with_the_services_user_and_environment(machine: Any) -> None:
    lines = machine.file(f"{STATE}/prepared").content_string.splitlines()
    assert lines == ["store of the bench", "llm-bench-store", STATE, SECRET]
    folder = machine.file(f"{STATE}/data")
    assert (folder.is_directory, folder.user) == (True, "llm-bench-store")
    assert len(machine.check_output(f"find {STATE} -name '.prepared-*'").split()) == 2


def test_the_service_itself_has_the_same_environment(machine: Any) -> None:
    assert machine.file(f"{STATE}/started").content_string == f"{SECRET}\n"


def test_both_are_active_and_listen_on_loopback_alone(machine: Any) -> None:
    for unit, port in ((STORE, 4551), (DOOR, 4552)):
        assert machine.check_output(f"systemctl is-active {unit}") == "active"
        assert machine.check_output(f"systemctl show -P NRestarts {unit}") == "0"
        assert machine.check_output(f"ss -Hltn 'sport = :{port}'").split()[3] == f"127.0.0.1:{port}"


def test_the_second_started_when_the_first_was_ready(machine: Any) -> None:
    # The first takes two seconds until its command says that it is ready.
    assert started(machine, DOOR) - started(machine, STORE) >= 2_000_000
