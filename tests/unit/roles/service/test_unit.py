# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the manager's definitions say, with values that systemd would read in its own way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.service import state as service_state
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import spec as service_spec

TEMPLATES = Path(__file__).resolve().parents[4] / "roles" / "service" / "templates"
AWKWARD = """it's "a" $HOME ${PATH} 100% %h `id` c:\\new"""
# systemd 257 was seen to give a process exactly AWKWARD for these.
VARIABLE = """it's \\"a\\" $HOME ${PATH} 100%% %%h `id` c:\\\\new"""
ARGUMENT = """it's \\"a\\" $$HOME $${PATH} 100%% %%h `id` c:\\\\new"""
CONFIG = "/etc/llmfleet"


def render(template: str, **spec: Any) -> str:
    raw = {"name": "web", "command": ["/bin/web"], **spec}
    programs = {"/opt/web": {"image": "a:1", "program": "web"}}
    (full,) = service_spec.normalise([raw], CONFIG, "/var/lib/llmfleet", programs)
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    environment.filters["regex_replace"] = lambda value, old, new="": re.sub(old, new, value)
    environment.filters["combine"] = lambda one, other: {**one, **other}
    source = (TEMPLATES / template).read_text(encoding="utf-8").partition("\n")[2]
    return environment.from_string(source).render(
        item={"spec": full},
        __service_prefix="llm-",
        service_run_root="/run/llmfleet",
        service_log_root="/var/log/llmfleet",
        service_container_engine="docker",
        service_container_program="/usr/bin/docker",
        ansible_managed="managed",
    )


def test_systemd_reads_variables_and_arguments_as_they_were_meant() -> None:
    lines = render("unit.service.j2", command=["/bin/web", AWKWARD], environment={"A": AWKWARD}).splitlines()
    assert f'Environment="A={VARIABLE}"' in lines
    assert f'ExecStart="/bin/web" "{ARGUMENT}"' in lines


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("template", ["unit.service.j2", "container.service.j2", "program.conf.j2"])
def test_removal_knows_what_the_collection_wrote_now_and_before(template: str, marked: bool) -> None:
    definition = render(template, command=["/opt/web" if template == "container.service.j2" else "/bin/web"])
    assert definition.count(service_state.MARK) == 1
    earlier = definition if marked else definition.replace(service_state.MARK, "")
    # A directory of another name proves that the mark alone is enough.
    assert service_state.is_ours(earlier, f"{CONFIG}/{'other' if marked else 'web'}")


@pytest.mark.parametrize(
    "definition",
    [
        "[Unit]\nDescription=Other\n[Service]\nExecStart=/opt/other/bin/serve\n",
        "[Service]\nEnvironmentFile=/etc/other/secrets.env\n",
        "[Unit]\nDescription=reads X-LLMFleet=1\n",
        "",
    ],
)
def test_what_others_wrote_is_not_ours(definition: str) -> None:
    assert not service_state.is_ours(definition, f"{CONFIG}/other")


def test_a_filtered_service_talks_to_loopback_and_what_it_is_given() -> None:
    lines = render("egress.conf.j2", egress=["10.0.0.1", "fd00::/64"]).splitlines()
    assert lines[lines.index("[Service]") + 1 :][:2] == [
        "IPAddressDeny=any",
        "IPAddressAllow=10.0.0.1 127.0.0.1 127.0.1.1 ::1 fd00::/64",
    ]


def test_the_unit_of_a_container_waits_for_the_rules_of_its_user() -> None:
    lines = render("egress.conf.j2", command=["/opt/web"], egress=["10.0.0.1"]).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "[Unit]",
        "Wants=llmfleet-egress.service",
        "After=llmfleet-egress.service",
    ]


def test_a_service_without_a_filter_is_limited_by_nothing() -> None:
    lines = render("egress.conf.j2", egress=["any"]).splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["[Service]"]


@pytest.mark.parametrize("manager", ["systemd", "supervisor"])
@pytest.mark.parametrize("egress", [None, [], ["10.0.0.1"], ["any"]])
def test_the_filter_is_no_part_of_what_a_service_is_started_with(manager: str, egress: Any) -> None:
    """A host that joins the fleet changes the filters of all hosts and must restart no engine."""
    raw = {"name": "web", "command": ["/bin/web"], "egress": egress}
    (full,) = service_spec.normalise([raw], CONFIG, "/var/lib/llmfleet")
    started_with = service_spec.definition_files(full, manager, "llm-", CONFIG)
    rest = [one for one in service_spec.files([full], manager, "llm-", CONFIG) if one not in started_with]
    drop_in = "/etc/systemd/system/llm-web.service.d/llmfleet-egress.conf"
    rules = "/etc/llmfleet/egress/llm-web.nft"
    written = [] if egress is None else [drop_in if manager == "systemd" else rules]
    assert [one["dest"] for one in rest] == written
    (service,) = service_spec.manager_services([full])
    assert not [path for path in service["restart_files"] + service["reload_files"] if "egress" in path]
    paths = [one["path"] for one in service_spec.directories([full], manager, "llm-")]
    assert [path for path in paths if "egress" in path or "service.d" in path] == [
        path.rpartition("/")[0] for path in written
    ]
    for one in started_with:
        template = (TEMPLATES / one["src"]).read_text(encoding="utf-8")
        # Rules are named by their file alone.
        assert "egress | join" not in template
        assert "content" not in template
