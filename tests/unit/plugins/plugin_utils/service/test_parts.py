# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a service is ready and prepared: what is refused, what becomes of commands, and which of them run again."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import container_command
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec

PROGRAMS = {
    "/opt/i/db-1/db": {"image": "db:1", "program": "db"},
    "/opt/i/db-1/initdb": {"image": "db:1", "program": "/usr/lib/db/initdb"},
    "/opt/i/other-1/tool": {"image": "other:1", "program": "tool"},
}


def normalised(command: str = "/usr/bin/db", **more: Any) -> dict[str, Any]:
    raw = {"name": "db", "command": [command], **more}
    (full,) = service_spec.normalise([raw], "/etc/llmfleet", "/var/lib/llmfleet", PROGRAMS)
    return full


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"ready": {"url": "http://x/", "tcp": {"port": 1}}},
            'ready is ["url", "tcp"]: a service is ready in one way; keep one of them',
        ),
        ({"ready": {"tcp": {"port": 1}, "command": ["/bin/x"]}}, '["tcp", "command"]: a service is ready in one way'),
        (
            {"ready": {"tcp": {"port": 1}, "body": "x"}},
            'ready.body is "x": there is no URL whose answer could contain it',
        ),
        ({"ready": {"tcp": {"port": "x"}}}, 'ready.tcp.port is "x": this is no port; give a number from 1 to 65535'),
        ({"ready": {"tcp": {"port": 65536}}}, "from 1 to 65535"),
        ({"ready": {"tcp": {"address": "::1"}}}, "ready.tcp.port is missing"),
        ({"ready": {"tcp": {"port": 1, "host": "a"}}}, '"(hidden)": there is no such key; known are address, port'),
        ({"ready": {"tcp": 6379}}, "ready.tcp is 6379: it is no dictionary; give one of port, address"),
        ({"ready": {"seconds": 3}}, 'ready.seconds is "(hidden)": there is no such key'),
        ({"ready": {"command": "valkey-cli ping"}}, 'ready.command is "valkey-cli ping": this is no command'),
        ({"ready": {"command": ["valkey-cli"]}}, "absolute path"),
        ({"ready": {"command": ["/opt/i/db-1/db"]}}, "comes from db:1, and the service runs on the host"),
        ({"stop": {"signals": "INT"}}, 'stop.signals is "(hidden)": there is no such key; did you mean signal'),
        ({"limits": {"memory": 1}}, 'limits.memory is "(hidden)": there is no such key; did you mean memory_max'),
        ({"prepare": "/bin/x"}, 'prepare is "/bin/x": this is no list; give a list of commands'),
        ({"prepare": ["/bin/x"]}, 'prepare is "/bin/x": this is no command; give a list whose first item'),
        ({"prepare": [["x"]]}, "absolute path"),
        ({"prepare": [{"command": ["/x"], "once": True}]}, 'prepare.once is "(hidden)": there is no such key'),
        ({"prepare": [{"command": ["/x"], "timeout": "long"}]}, 'prepare.timeout is "long": this is no number'),
        ({"prepare": [["/x", "1"], ["/x", "1"]]}, "a command is listed twice"),
    ],
)
def test_what_cannot_be_run_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ProblemsError) as error:
        normalised(**more)
    assert words in str(error.value)
    assert str(error.value).startswith("service_specs[db].")


def test_ready_has_every_key() -> None:
    full = normalised(ready={"tcp": {"port": "6379"}})["ready"]
    assert full["tcp"] == {"port": 6379, "address": "127.0.0.1"}
    assert (full["url"], full["command"], full["deadline"]) == ("", [], 120)
    assert normalised()["ready"]["tcp"] == {}
    assert normalised(ready={"url": "http://x", "body": "abc"})["ready"]["body"] == "abc"


def test_commands_are_called_as_the_service_is() -> None:
    """On the host by its path; in a container by what the image calls it."""
    on_host = normalised(prepare=[["/usr/bin/initdb", "-D", "d"]], ready={"command": ["/usr/bin/ping"]})
    assert on_host["prepare"][0]["command"] == ["/usr/bin/initdb", "-D", "d"]
    inside = normalised(
        "/opt/i/db-1/db", prepare=[["/opt/i/db-1/initdb", "-D", "d"]], ready={"command": ["/opt/i/db-1/db", "ping"]}
    )
    assert inside["prepare"][0]["command"] == ["/usr/lib/db/initdb", "-D", "d"]
    assert inside["ready"]["command"] == ["db", "ping"]
    assert inside["prepare"][0]["stamp"] == on_host["prepare"][0]["stamp"]


def test_a_program_of_another_image_is_refused() -> None:
    with pytest.raises(ProblemsError, match="comes from other:1, and the service runs from db:1"):
        normalised("/opt/i/db-1/db", prepare=[["/opt/i/other-1/tool"]])


def test_a_command_runs_again_when_it_is_another_one() -> None:
    def stamp(one: Any) -> str:
        return str(normalised(prepare=[one])["prepare"][0]["stamp"])

    first = stamp(["/usr/bin/migrate", "up"])
    assert stamp(["/opt/new/bin/migrate", "up"]) == first
    assert stamp({"command": ["/usr/bin/migrate", "up"], "timeout": 5}) == first
    assert (
        len({first, stamp(["/usr/bin/migrate", "down"]), stamp({"command": ["/usr/bin/migrate", "up"], "again": "2"})})
        == 3
    )


@pytest.mark.parametrize(
    ("command", "more", "template"),
    [
        ("/usr/bin/db", {"prepare": [["/bin/x"]]}, "beside.sh.j2"),
        ("/usr/bin/db", {"ready": {"command": ["/bin/x"]}}, "beside.sh.j2"),
        ("/opt/i/db-1/db", {"ready": {"command": ["/bin/x"]}}, "beside_container.sh.j2"),
        ("/usr/bin/db", {"ready": {"tcp": {"port": 1}}}, ""),
    ],
)
def test_the_script_beside_is_there_where_it_is_used(command: str, more: dict[str, Any], template: str) -> None:
    full = normalised(command, **more)
    found = [one for one in service_spec.files([full], "systemd", "llm-", "/c") if one["dest"].endswith("/beside")]
    assert [one["src"] for one in found] == [template] * bool(template)
    assert all((one["mode"], one["owner"]) == ("0700", "root") for one in found)


def test_the_module_gets_stamps_in_the_state_of_the_service() -> None:
    (service,) = service_spec.manager_services([normalised(prepare=[["/bin/x"]])])
    assert service["beside"] == "/etc/llmfleet/db/beside"
    assert service["prepare"][0]["stamp"].startswith("/var/lib/llmfleet/db/.prepared-")
    # A change of the script is no reason to restart the service.
    assert service["beside"] not in service["restart_files"]


def test_a_command_beside_a_container_has_its_rights_and_not_its_gpus() -> None:
    full = normalised("/opt/i/db-1/db", gpus=["GPU-1"], secrets={"A": "x"}, capabilities=["CAP_NET_BIND_SERVICE"])
    options = {"engine": "docker", "prefix": "llm-", "run_dir": "/run/x", "gpu_mode": "cdi", "network": "host"}
    lines = container_command.beside(full, {**options, "log_driver": "none", "memlock": True, "forget": False})
    assert "--name llm-db-once" in lines
    assert "--rm" in lines
    assert "--env A" in lines
    assert "--read-only" in lines
    assert lines[-2:] == ['"$llmfleet_program"', '"$@"']
    assert not any("GPU" in line for line in lines)
    bare = container_command.beside(
        normalised("/opt/i/db-1/db"), {**options, "log_driver": "none", "memlock": True, "forget": False}
    )
    assert bare[-3:] == ['--entrypoint "$llmfleet_program"', "db:1", '"$@"']
