# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state
from ansible_collections.llmfleet.serving.plugins.module_utils.service.managers import Supervisor, Systemd

SHOW = """Id=llm-a.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=llm-b.service
LoadState=not-found
ActiveState=inactive

Id=llm-c.service
LoadState=loaded
ActiveState=failed
UnitFileState=enabled
NeedDaemonReload=yes
"""
STATUS = """llm-a                            RUNNING   pid 12, uptime 0:01:00
llm-b                            FATAL     Exited too quickly
llm-c                            BACKOFF   Exited too quickly
unix:///run/x.sock no such file
"""
SAME = {"restart": "1", "reload": "1"}


class Recorder:
    """Answers commands from a table and remembers them."""

    def __init__(self, answers):
        self.answers = answers
        self.commands = []

    def __call__(self, argv, check=True):
        self.commands.append(argv)
        return next((answer for word, answer in self.answers.items() if word in argv), "")

    def verbs(self):
        return [" ".join(argv) for argv in self.commands]


def systemd(answers=None):
    run = Recorder({"show": SHOW} if answers is None else answers)
    return Systemd("llm-", "/etc/llmfleet", "/var/log/llmfleet", None, run), run


def supervisor(answers):
    run = Recorder(answers)
    return Supervisor("llm-", "/etc/llmfleet", "/var/log/llmfleet", "/opt/tools/bin/supervisorctl", run), run


@pytest.mark.parametrize(
    ("state", "wanted", "started", "can_reload", "action"),
    [
        (service_state.UNKNOWN, SAME, {}, True, "start"),
        (service_state.DEAD, SAME, SAME, True, "start"),
        (service_state.RUNNING, SAME, SAME, True, "none"),
        (service_state.RUNNING, SAME, {}, True, "restart"),
        (service_state.STARTING, SAME, SAME, True, "none"),
        (service_state.RUNNING, {"restart": "2", "reload": "2"}, SAME, True, "restart"),
        (service_state.RUNNING, {"restart": "1", "reload": "2"}, SAME, True, "reload"),
        (service_state.RUNNING, {"restart": "1", "reload": "2"}, SAME, False, "restart"),
        # An earlier version recorded the digest with the order of starts.
        (service_state.RUNNING, {"restart": "2", "whole": "1", "reload": "1"}, SAME, True, "none"),
        (service_state.RUNNING, {"restart": "2", "whole": "3", "reload": "1"}, SAME, True, "restart"),
        (service_state.RUNNING, {"restart": "2", "whole": "3", "reload": "1"}, {}, True, "restart"),
    ],
)
def test_the_least_that_is_needed(state, wanted, started, can_reload, action):
    assert service_state.decide(state, wanted, started, can_reload) == action


def test_systemd_states_come_from_one_command():
    manager, run = systemd()
    assert manager.states(["a", "b", "c", "d"]) == {"a": "running", "b": "unknown", "c": "dead", "d": "unknown"}
    assert len(run.commands) == 1
    assert manager.states([]) == {}


def test_systemd_is_reloaded_once_and_only_where_needed():
    manager, run = systemd()
    manager.prepare(["a"])
    assert "systemctl daemon-reload" not in run.verbs()
    manager.prepare(["a", "b", "c"])
    assert run.verbs().count("systemctl daemon-reload") == 1
    assert "systemctl enable --quiet -- llm-b.service" in run.verbs()


def test_systemd_verbs():
    manager, run = systemd()
    manager.act("a", "start", "")
    manager.act("a", "reload", "HUP")
    manager.stop(["a"])
    manager.disable(["a"])
    manager.forget(["a"])
    assert "systemctl reset-failed -- llm-a.service" in run.verbs()
    assert "systemctl start -- llm-a.service" in run.verbs()
    assert "systemctl reload -- llm-a.service" in run.verbs()
    assert "systemctl stop -- llm-a.service" in run.verbs()
    assert "systemctl disable --now --quiet -- llm-a.service" in run.verbs()
    assert "systemctl reset-failed -- llm-a.service" in run.verbs()[-1:]
    assert manager.leftovers(["a"])[0] == "/etc/systemd/system/llm-a.service"
    assert manager.pattern() == "/etc/systemd/system/llm-*.service"
    assert manager.log_command("a") == "journalctl -u llm-a.service"
    manager.log_tail("a", 5)
    assert run.commands[-1][:4] == ["journalctl", "-u", "llm-a.service", "-n"]


def test_supervisor_states():
    manager, _run = supervisor({"status": STATUS})
    assert manager.states(["a", "b", "c", "d"]) == {"a": "running", "b": "dead", "c": "starting", "d": "unknown"}


def test_supervisord_starts_without_the_environment_of_the_caller():
    manager, run = supervisor({"pid": "unix:///run/x.sock no such file"})
    manager.prepare(["a"])
    started = next(argv for argv in run.commands if "/opt/tools/bin/supervisord" in argv)
    assert started[:2] == ["env", "-i"]
    assert 'umask 027; exec "$0" "$@"' in started
    manager, run = supervisor({"pid": "12\n"})
    manager.prepare(["a"])
    assert not any("/opt/tools/bin/supervisord" in argv for argv in run.commands)


@pytest.mark.parametrize(("said", "restarts"), [("llm-a: updated process group", 0), ("", 1)])
def test_supervisor_restarts_once(said, restarts):
    manager, run = supervisor({"update": said})
    manager.act("a", "restart", "")
    assert sum("restart" in argv for argv in run.commands) == restarts


def test_supervisor_verbs():
    manager, run = supervisor({"status": ""})
    manager.act("a", "reload", "HUP")
    assert run.commands[-1][-3:] == ["signal", "HUP", "llm-a"]
    manager.stop(["a"])
    assert run.commands[-1][-1] == "shutdown"
    manager.forget(["a"])
    assert run.commands[-1][-1] == "shutdown"
    assert manager.leftovers(["a"]) == ["/etc/llmfleet/supervisor.d/llm-a.conf", "/etc/llmfleet/a/run"]
    assert manager.pattern() == "/etc/llmfleet/supervisor.d/llm-*.conf"
    assert manager.log_command("a") == "tail -n 100 /var/log/llmfleet/a.log"
    manager.log_tail("a", 3)
    assert run.commands[-1] == ["tail", "-n", "3", "/var/log/llmfleet/a.log"]


def test_a_program_that_goes_restarts_no_other():
    manager, run = supervisor({"status": STATUS})
    manager.forget(["b"])
    assert [argv[-2:] for argv in run.commands if "update" in argv] == [["update", "llm-b"]]


def test_supervisord_stays_while_something_runs():
    manager, run = supervisor({"status": STATUS})
    manager.stop(["b"])
    assert "shutdown" not in run.commands[-1]


def test_waves_follow_after_and_break_circles():
    def service(name, *after):
        return {"name": name, "after": list(after)}

    names = [
        [s["name"] for s in wave]
        for wave in service_state.waves([service("b", "a"), service("a"), service("c", "elsewhere"), service("d", "b")])
    ]
    assert names == [["a", "c"], ["b"], ["d"]]
    assert len(service_state.waves([service("x", "y"), service("y", "x")])) == 2


def test_one_that_runs_is_down_at_a_time():
    def service(name, *after):
        return {"name": name, "after": list(after)}

    services = [service("a"), service("new"), service("b"), service("stays"), service("fresh"), service("c", "a")]
    actions = {"a": "restart", "b": "restart", "c": "restart", "new": "start", "fresh": "start", "stays": "none"}
    steps = [[s["name"] for s in step] for step in service_state.steps(services, actions)]
    assert steps == [["stays"], ["a"], ["b"], ["new", "fresh"], ["c"]]
    # First starts do not wait for each other, and neither do reloads, which take nobody down.
    steps = service_state.steps(services[:5], dict.fromkeys(actions, "start"))
    assert [len(step) for step in steps] == [5]
    assert len(service_state.steps(services[:5], dict.fromkeys(actions, "reload"))) == 1


def test_a_failure_names_host_unit_cause_and_log():
    text = service_state.failure_text(
        "gpu1", "llm-a", {"url": "http://x", "deadline": 5}, "it died", "line 1\nline 2", "journalctl -u llm-a"
    )
    for words in ("gpu1", "llm-a", "it died", "journalctl -u llm-a", "    line 2", "within 5 s"):
        assert words in text


def test_runs_are_told_apart_by_their_process():
    manager, _run = supervisor({"status": STATUS})
    assert manager.incarnation("a") == "12"
    assert manager.incarnation("b") == ""
    manager, _run = systemd({"show": "42\n"})
    assert manager.incarnation("a") == "42"
    manager, _run = systemd({"show": "0\n"})
    assert manager.incarnation("a") == ""
