# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps as hosts carry them out: what each starts, leaves alone and records, and what gateways send to."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import changes


def instance(name: str, host: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": name[:-2], "host": host, "address": f"{host}:8100", "port": 8100, **more}


def recorded(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": name[:-2], "port": 8100, **more}


def step(number: int, kind: str, *places: tuple[str, str], traffic: Any = ()) -> dict[str, Any]:
    return {
        "number": number,
        "kind": kind,
        "instances": [{"name": name, "host": host} for name, host in places],
        "hosts": [host for _name, host in places],
        "traffic": [list(one) for one in traffic],
    }


# The model chat moves from h1 to h2; other takes its place, and old ends.
PLAN = {
    "instances": [instance("other-0", "h1", revision="two"), instance("chat-0", "h2", port=8101, address="h2:8101")],
    "steps": [
        step(1, "start", ("chat-0", "h2")),
        step(2, "traffic", ("chat-0", "h2"), traffic=[("chat-0", "h2"), ("old-0", "h1")]),
        step(3, "stop", ("chat-0", "h1")),
        step(4, "start", ("other-0", "h1")),
    ],
    "ending": [{"name": "old-0", "host": "h1"}],
}
H1 = [recorded("chat-0"), recorded("old-0", port=8105, engine="echo")]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in found]


def test_what_a_host_does_in_each_step() -> None:
    started = changes.engine_step_on(PLAN, 1, "h2", [])
    assert started == {
        "names": ["chat-0"],
        "engines": ["vllm"],
        "kept": [],
        "planned": [{"name": "chat-0", "model": "chat", "port": 8101}],
        "untouched": [],
    }
    stopped = changes.engine_step_on(PLAN, 3, "h1", H1)
    assert (stopped["names"], stopped["engines"], stopped["kept"]) == ([], ["vllm"], ["echo-old-0"])
    assert (names(stopped["planned"]), names(stopped["untouched"])) == ([], ["old-0"])
    after = changes.engine_step_on(PLAN, 4, "h1", H1)
    assert (after["names"], after["kept"]) == (["other-0"], ["echo-old-0"])
    assert (names(after["planned"]), names(after["untouched"])) == (["other-0"], ["old-0"])


def test_the_end_keeps_what_gateways_still_know() -> None:
    end = changes.engine_step_on(PLAN, 0, "h1", H1)
    assert end["names"] == ["other-0"]
    assert end["kept"] == ["echo-old-0"]
    assert (names(end["planned"]), names(end["untouched"])) == (["other-0"], ["old-0"])
    assert changes.engine_step_on({"instances": []}, 0, "h3", []) == {
        "names": [],
        "engines": [],
        "kept": [],
        "planned": [],
        "untouched": [],
    }


def test_an_instance_that_changes_its_engine_leaves_the_service_of_the_other() -> None:
    plan = {"instances": [instance("chat-0", "h1", engine="echo")], "steps": [step(1, "replace", ("chat-0", "h1"))]}
    found = changes.engine_step_on(plan, 1, "h1", [recorded("chat-0"), recorded("rest-0")])
    assert found["engines"] == ["echo", "vllm"], "the role of the other stops it"
    assert found["kept"] == ["vllm-rest-0"]


MACHINES = {"h1": {"address": "fd00::1"}, "h2": {"address": "10.0.0.2"}}
CURRENT = [{**one, "host": "h1"} for one in H1]


def sent(plan: dict[str, Any], current: list[dict[str, Any]] | None = None, **options: Any) -> dict[str, int]:
    """The weights of instances, by address."""
    found = changes.instances_in_traffic(plan, CURRENT if current is None else current, MACHINES, **options)
    return {one["address"]: one["weight"] for one in found}


def test_traffic_goes_to_what_is_planned_and_to_what_has_not_ended() -> None:
    found = changes.instances_in_traffic(PLAN, CURRENT, MACHINES, step=2)
    assert [(one["name"], one["host"], one["address"]) for one in found][:2] == [
        ("chat-0", "h2", "h2:8101"),
        ("old-0", "h1", "[fd00::1]:8105"),
    ]


def test_a_model_of_which_nothing_serves_keeps_its_instances() -> None:
    """Its requests are answered with 503: a model that gateways do not know is a 404."""
    assert sent(PLAN, step=2) == {"h2:8101": 1, "[fd00::1]:8105": 1, "h1:8100": 1}


def test_at_the_end_traffic_goes_to_what_is_planned() -> None:
    assert sent(PLAN) == {"h1:8100": 1, "h2:8101": 1}
    assert sent(PLAN, weights=[{"name": "chat-0", "host": "h2", "weight": 0}]) == {"h1:8100": 1, "h2:8101": 0}
    assert sent(PLAN, weights=[{"name": "chat-0", "host": "h1", "weight": "0"}]) == {"h1:8100": 1, "h2:8101": 1}
    assert sent({}, []) == {}


def test_on_hosts_that_are_not_reached_what_is_in_force_counts() -> None:
    """A run with a limit after a change of the inventory must not send to engines that do not exist."""
    assert sent({**PLAN, "unreached": ["h2"]}) == {"h1:8100": 1}
    unreached = {**PLAN, "unreached": ["h1", "h2"]}
    assert sent(unreached) == {"h1:8100": 1, "[fd00::1]:8100": 1, "[fd00::1]:8105": 1}
    assert sent(unreached, []) == {"h1:8100": 1, "h2:8101": 1}, "a fleet that nothing is recorded of yet"
    moved = [{**instance("chat-0", "h2", port=8109), "address": ""}]
    assert sent({**PLAN, "unreached": ["h2"]}, moved) == {"h1:8100": 1, "10.0.0.2:8109": 1}


def rolling(kind: str, during: int, *traffic: tuple[str, str]) -> dict[str, Any]:
    one = step(1, kind, ("chat-0", "h1"), traffic=traffic)
    numbers = {"before": during + 1, "during": during, "after": during + 1, "floor": 0}
    planned = [instance("chat-0", "h1"), instance("chat-1", "h2")]
    return {"instances": planned, "steps": [{**one, "in_service": {"chat": numbers}}]}


TWO = [{**instance("chat-0", "h1", port=8107), "address": "h1:8107"}, instance("chat-1", "h2")]


def test_what_changes_is_taken_out_and_put_in_again() -> None:
    plan = rolling("replace", 1, ("chat-0", "h1"), ("chat-1", "h2"))
    assert changes.drained(plan, 1, TWO) == ["chat"]
    assert sent(plan, TWO, step=1, during=True) == {"h1:8107": 0, "h2:8100": 1}
    assert sent(plan, TWO, step=1) == {"h1:8100": 1, "h2:8100": 1}


def test_what_ends_is_taken_out_and_stays_out() -> None:
    plan = rolling("stop", 1, ("chat-1", "h2"))
    assert sent(plan, TWO, step=1, during=True) == {"h1:8107": 0, "h2:8100": 1}
    assert sent(plan, TWO, step=1) == {"h2:8100": 1}


def test_the_last_one_of_a_model_is_not_taken_out() -> None:
    """Its clients would be refused earlier, and by nobody served."""
    plan = rolling("replace", 0, ("chat-0", "h1"))
    assert changes.drained(plan, 1, TWO[:1]) == []
    assert sent(plan, TWO[:1], step=1, during=True)["h1:8107"] == 1
    plan["instances"].append(instance("guide-0", "h1", port=8105))
    plan["steps"][0]["instances"].append({"name": "guide-0", "host": "h1"})
    plan["steps"][0]["in_service"]["guide"] = {"during": 1}
    both = [TWO[0], instance("guide-0", "h1", port=8105)]
    assert changes.drained(plan, 1, both) == ["guide"]
    found = changes.instances_in_traffic(plan, both, MACHINES, step=1, during=True)
    assert {one["name"]: one["weight"] for one in found if one["host"] == "h1"} == {"chat-0": 1, "guide-0": 0}


def test_nothing_is_taken_out_where_nothing_goes_away() -> None:
    for kind in ("start", "traffic"):
        assert changes.drained(rolling(kind, 1), 1, TWO) == []


def test_one_start_on_one_host_is_no_step_of_its_own() -> None:
    alone = step(1, "start", ("chat-0", "h1"))
    assert changes.engine_steps({"steps": [alone]}) == []
    assert changes.engine_steps({}) == []
    assert changes.engine_steps({"steps": [step(1, "replace", ("chat-0", "h1"))]}), "its requests end first"
    assert changes.engine_steps({"steps": [step(1, "stop", ("chat-0", "h1"))]})
    assert len(changes.engine_steps({"steps": [step(1, "start", ("a-0", "h1"), ("a-1", "h2"))]})) == 1
    assert len(changes.engine_steps(PLAN)) == 4
