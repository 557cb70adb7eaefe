# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec

ROOTS = ("/etc/llmfleet", "/var/lib/llmfleet")


def spec(**more):
    return {"name": "web", "command": ["/usr/bin/web"], **more}


def normalised(*specs):
    return service_spec.normalise(list(specs), *ROOTS)


def test_defaults_are_filled():
    (full,) = normalised(spec(secrets={"TOKEN": "x"}, files=[{"src": "a.j2", "dest": "/etc/a"}]))
    assert full["user"] == "llm-web"
    assert full["config_dir"] == "/etc/llmfleet/web"
    assert full["ready"]["status"] == [200]
    assert full["files"][0]["group"] == "llm-web"
    assert full["files"][0]["on_change"] == "restart"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "Web"}, "lower-case"),
        ({"command": ["web"]}, "absolute path"),
        ({"command": []}, "absolute path"),
        ({"colour": "red"}, "no such key"),
        ({"environment": {"A-B": 1}}, "name of an environment variable"),
        ({"secrets": {"A": "x\ny"}}, "single line"),
        ({"files": [{"src": "a"}]}, "src"),
        ({"files": [{"src": "a", "dest": "/a", "on_change": "never"}]}, "restart"),
    ],
)
def test_a_wrong_spec_is_refused_by_name(wrong, words):
    with pytest.raises(ProblemsError) as error:
        normalised(spec(**wrong))
    assert words in str(error.value)


def test_a_secret_is_not_shown_in_the_refusal():
    with pytest.raises(ProblemsError) as error:
        normalised(spec(secrets={"A": "cat\nvalue"}))
    assert "cat" not in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": {"A": "cat"}},
        {"password": "cat"},
        {"ready": {"header": {"Authorization": "cat"}}},
        {"ready": {"url": "http://x", "headers": {"Authorization": "cat"}, "command": ["/x"]}},
        {"prepare": [{"command": ["/x"], "env": {"PGPASSWORD": "cat"}}]},
        {"container": {"env": {"A": "cat"}}},
    ],
)
def test_what_may_be_a_secret_under_a_wrong_key_is_not_shown(wrong):
    with pytest.raises(ProblemsError) as error:
        normalised(spec(**wrong))
    assert "cat" not in str(error.value)
    (problem,) = error.value.problems
    assert problem.variable.startswith("service_specs[")
    assert all((problem.value, problem.problem, problem.remedy))


def test_two_services_of_one_name_are_refused():
    with pytest.raises(ProblemsError):
        normalised(spec(), spec())


def test_after_keeps_only_services_of_this_call():
    one, _two = normalised(spec(after=["db", "elsewhere"]), spec(name="db"))
    assert one["after"] == ["db"]


def test_each_service_has_a_user_with_its_groups():
    specs = normalised(spec(groups=["video", "render", "video"]), spec(name="b", user="own"))
    assert service_spec.users(specs) == [
        {"name": "llm-web", "groups": ["video", "render"]},
        {"name": "own", "groups": []},
    ]


@pytest.mark.parametrize("user", ["llm-web", "shared"])
def test_two_services_of_one_user_are_refused(user):
    with pytest.raises(ProblemsError) as error:
        normalised(spec(**({} if user == "llm-web" else {"user": user})), spec(name="b", user=user))
    (problem,) = error.value.problems
    assert (problem.variable, problem.value) == ("service_specs[b].user", user)
    assert "the service web runs as this user" in problem.problem


PASSWD = ["x", "990", "990", "", "/state", "/nologin"]


@pytest.mark.parametrize(
    ("passwd", "group", "created"),
    [
        ({}, {}, True),
        ({"llm-a": PASSWD}, {"video": ["x", "44", "somebody,llm-a"]}, False),
        ({"llm-a": PASSWD}, {"video": ["x", "44", "llm-ab"]}, True),
        ({"llm-a": PASSWD}, {"video": ["x", "44", ""]}, True),
        ({"llm-a": PASSWD}, {}, True),
        ({"llm-a": [*PASSWD[:4], "/elsewhere", "/nologin"]}, {"video": ["x", "44", "llm-a"]}, True),
        ({"llm-a": [*PASSWD[:4], "/state", "/bin/bash"]}, {"video": ["x", "44", "llm-a"]}, True),
    ],
)
def test_users_are_created_where_they_differ(passwd, group, created):
    specs = normalised(spec(user="llm-a", groups=["video"]))
    wanted = [{"name": "llm-a", "groups": ["video"]}]
    assert service_spec.users_to_create(specs, passwd, group, "/state", "/nologin") == (wanted if created else [])


def test_directories_are_listed_once():
    specs = normalised(
        spec(directories=[{"path": "/srv/x", "mode": "0755"}]), spec(name="b", directories=[{"path": "/srv/x"}])
    )
    paths = [entry["path"] for entry in service_spec.directories(specs)]
    assert paths.count("/srv/x") == 1
    assert "/etc/llmfleet/b" in paths


def test_state_alone_is_handed_over_by_the_manager():
    specs = normalised(spec(directories=[{"path": "/srv/x"}]))
    found = {entry["path"]: entry.get("handed_over", False) for entry in service_spec.directories(specs)}
    assert found == {"/etc/llmfleet/web": False, "/var/lib/llmfleet/web": True, "/srv/x": False}
    (service,) = service_spec.manager_services(specs)
    assert (service["state_dir"], service["user"]) == ("/var/lib/llmfleet/web", "llm-web")


@pytest.mark.parametrize(("manager", "count"), [("systemd", 1), ("supervisor", 2)])
def test_files_hold_definitions_and_no_secret(manager, count):
    specs = normalised(
        spec(secrets={"T": "hidden"}, files=[{"src": "a", "dest": "/a"}, {"src": "s", "dest": "/s", "secret": True}])
    )
    plain = service_spec.files(specs, manager, "llm-", "/etc/llmfleet")
    assert len(plain) == 1 + count
    assert "hidden" not in repr(plain)
    secret = service_spec.secret_files(specs)
    assert [entry["dest"] for entry in secret] == ["/etc/llmfleet/web/secrets.env", "/s"]
    assert secret[0]["mode"] == "0600"


def test_the_manager_learns_what_restarts_and_what_reloads():
    files = [
        {"src": "a", "dest": "/a"},
        {"src": "b", "dest": "/b", "on_change": "reload"},
        {"src": "c", "dest": "/c", "on_change": "none"},
    ]
    (service,) = service_spec.manager_services(normalised(spec(files=files)))
    assert service["restart_files"] == ["/etc/llmfleet/web/secrets.env", "/a"]
    assert service["reload_files"] == ["/b"]


PROGRAMS = {"/opt/web": {"image": "a:1", "program": "web"}}


def test_a_program_of_an_image_runs_in_a_container():
    inside = {"environment": {"A": None, "B": "inside"}, "pid": "host"}
    given = spec(command=["/opt/web"], environment={"A": "1", "B": "2", "C": "3"}, container=inside)
    (full,) = service_spec.normalise([given], *ROOTS, PROGRAMS)
    assert full["container"] == {**inside, **PROGRAMS["/opt/web"]}
    assert full["environment"] == {"B": "inside", "C": "3"}
    for manager, definition in (("systemd", "container.service.j2"), ("supervisor", "program.conf.j2")):
        files = service_spec.definition_files(full, manager, "llm-", ROOTS[0])
        assert [file["src"] for file in files] == ["run_container.sh.j2", definition]
    (service,) = service_spec.manager_services([full])
    assert "/etc/llmfleet/web/run" in service["restart_files"]


def test_a_program_of_the_host_knows_nothing_of_containers():
    given = spec(environment={"A": "1"}, container={"environment": {"A": None}})
    (full,) = service_spec.normalise([given], *ROOTS, PROGRAMS)
    assert full["container"] == {}
    assert full["environment"] == {"A": "1"}
    files = service_spec.definition_files(full, "systemd", "llm-", ROOTS[0])
    assert [file["src"] for file in files] == ["unit.service.j2"]
    assert service_spec.manager_services([full])[0]["restart_files"] == ["/etc/llmfleet/web/secrets.env"]


def test_a_wrong_word_about_containers_is_refused():
    with pytest.raises(ProblemsError) as error:
        normalised(spec(container={"privileged": True}))
    assert "container.privileged" in str(error.value)


def test_what_a_user_sets_is_a_secret_and_wins() -> None:
    user = {"TOOL_TOKEN": "canary", "A": "mine", "B": None, "LD_LIBRARY_PATH": "/x", "KEY": "mine", "C": True}
    given = spec(environment={"A": "1", "B": "2", "PATH": "/bin"}, secrets={"KEY": "real"}, user_environment=user)
    (full,) = normalised(given)
    assert full["environment"] == {"PATH": "/bin", "LD_LIBRARY_PATH": "/x"}
    assert full["secrets"] == {"TOOL_TOKEN": "canary", "A": "mine", "KEY": "real", "C": True}
    assert full["secret_names"] == ["A", "C", "KEY", "TOOL_TOKEN"]
    assert "user_environment" not in full
    assert "canary" not in json.dumps(service_spec.files([full], "systemd", "llm-", "/etc/llmfleet"))
    (secret,) = service_spec.secret_files([full])
    assert (secret["mode"], secret["owner"]) == ("0600", "root")
    assert "TOOL_TOKEN='canary'" in secret["content"]


@pytest.mark.parametrize("name", ["PATH", "HOME", "LD_PRELOAD", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "DOCKER_HOST"])
def test_what_changes_the_programs_that_start_a_service_is_in_none_of_their_files(name: str) -> None:
    (full,) = normalised(spec(user_environment={name: "x"}))
    assert (full["environment"], full["secrets"]) == ({name: "x"}, {})


@pytest.mark.parametrize("name", ["HOMEPAGE_KEY", "PATH_TOKEN", "DOCKER_PASSWORD", "AWS_SECRET_ACCESS_KEY", "X_LD_KEY"])
def test_what_only_looks_like_it_is_a_secret(name: str) -> None:
    (full,) = normalised(spec(user_environment={name: "x"}))
    assert (full["environment"], full["secrets"]) == ({}, {name: "x"})


def test_a_line_break_in_the_environment_cannot_begin_a_line_of_a_unit():
    with pytest.raises(ProblemsError) as error:
        normalised(spec(environment={"A": "b\nExecStartPre=canary"}))
    assert error.value.problems[0].variable == "service_specs[web].environment"
    assert "canary" not in str(error.value)
