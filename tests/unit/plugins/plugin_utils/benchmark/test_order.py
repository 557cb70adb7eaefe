# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark sends: its words, its points, from where to where, and why nothing is sent."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.benchmark import order, points, words


def instance(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "model": name.rpartition("-")[0],
        "engine": "vllm",
        "listen": "127.0.0.1",
        "port": 8100,
        "max_model_len": 2048,
        "max_num_seqs": 8,
        "kv_cache_tokens": 32768,
        "max_concurrency": 16.0,
        "args": {},
        "env": {"TOKEN": "secret-of-a-model"},
        **more,
    }


def host(*instances: dict[str, Any], **more: Any) -> dict[str, Any]:
    command = ["/venv/bin/python", "/share/vllm/0/dry_start.py"]
    return {
        "instances": list(instances),
        "busy": [],
        "programs": {"vllm": {"command": command}},
        "address": "10.0.0.1",
        "door": {},
        **more,
    }


def door(listen: str = "0.0.0.0", reachable: str = "127.0.0.1") -> dict[str, str]:
    return {"url": "https://llm.example", "listen": listen, "reachable": reachable}


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({}, "model"),
        ({"model": "chat", "seconds": 601}, "seconds"),
        ({"model": "chat", "seconds": "soon"}, "seconds"),
        ({"model": "chat", "requests": 3}, "requests"),
        ({"model": "chat", "rates": "1,fast"}, "rates"),
        ({"model": "chat", "rates": "nan"}, "rates"),
        ({"model": "chat", "rates": "0"}, "rates"),
        ({"model": "chat", "rates": "1,2,3,4,5,6,7,8,9"}, "rates"),
        ({"model": "chat", "format": "csv"}, "format"),
    ],
)
def test_words_that_cannot_be_used_are_refused(given: dict[str, Any], variable: str) -> None:
    assert [problem.variable for problem in words.read(given)[1]] == [variable]


def test_words_have_defaults() -> None:
    found, problems = words.read({"model": "chat", "rates": "4, 1"})
    assert not problems
    assert (found["seconds"], found["requests"], found["rates"], found["input_len"]) == (30, 1000, [1.0, 4.0], None)


@pytest.mark.parametrize(
    ("context", "given", "expected"),
    [
        (131072, (None, None), (1024, 128)),
        (2048, (None, None), (1024, 128)),
        (512, (None, None), (256, 64)),
        (2048, (100, 8), (100, 8)),
    ],
)
def test_lengths_follow_the_context(context: int, given: tuple[Any, Any], expected: tuple[int, int]) -> None:
    assert points.lengths(context, *given) == expected


@pytest.mark.parametrize(
    ("instances", "tokens", "expected"),
    [
        ([instance("chat-0")], 1152, 8),
        ([instance("chat-0", max_num_seqs=1024)], 1152, 28),
        ([instance("chat-0"), instance("chat-1")], 1152, 16),
        ([instance("chat-0", kv_cache_tokens=100)], 1152, 1),
        ([instance("chat-0", kv_cache_tokens=None)], 1152, 8),
    ],
)
def test_full_load_is_what_the_plan_has_room_for(instances: list[Any], tokens: int, expected: int) -> None:
    assert points.at_once(instances, tokens) == expected


def test_a_sweep_is_full_load_then_shares_of_it_and_the_whole_context() -> None:
    wanted = {"seconds": 10, "requests": 1000, "rates": [], "input_len": 1024, "output_len": 128}
    found = points.points(wanted, [instance("chat-0")], 2048)
    assert [one["name"] for one in found] == ["one", "full", "25%", "50%", "75%", "90%", "125%", "context"]
    assert found[1] == {"name": "full", "at_once": 8, "requests": 1000, "seconds": 10}
    # One that the plan promises 16 times, of which it computes 8 at once.
    assert found[-1] == {"name": "context", "at_once": 8, "requests": 8, "input_len": 2048 - 128 - 40}
    assert points.seconds(found, 10) == 60 + 5 * 20 + 3 * 40


def test_given_rates_take_the_place_of_the_sweep_and_requests_bound_all() -> None:
    wanted = {"seconds": 10, "requests": 6, "rates": [0.5, 2.0], "input_len": 1024, "output_len": 128}
    found = points.points(wanted, [instance("chat-0")], 2048)
    assert [one["name"] for one in found] == ["one", "0.5/s", "2/s", "context"]
    assert all(one["requests"] <= 6 and one.get("at_once", 0) <= 6 for one in found)


def test_a_gateway_on_a_host_of_the_model_is_asked_from_there() -> None:
    hosts = {"gw": host(door=door()), "gpu": host(instance("chat-0"), door=door("127.0.0.1"))}
    found = order.order({"model": "chat"}, hosts)
    assert not found["problems"]
    assert (found["client"], found["gateway"], found["connect"]) == ("gpu", "gpu", "127.0.0.1")
    assert (found["base_url"], found["engine_url"]) == ("https://llm.example", "http://127.0.0.1:8100")
    assert found["command"] == ["/venv/bin/python", "/share/vllm/0/bench_serve.py"]
    assert "secret-of-a-model" not in str(found)
    assert found["through"] == "gateway"


def test_a_gateway_elsewhere_is_reached_by_its_address() -> None:
    hosts = {"gw": host(door=door(), address="10.0.0.9"), "gpu": host(instance("chat-0", listen="10.0.0.1"))}
    found = order.order({"model": "chat", "through": "gw"}, hosts)
    assert not found["problems"]
    assert (found["client"], found["connect"], found["engine_url"]) == ("gpu", "10.0.0.9", "http://10.0.0.1:8100")


def test_an_instance_is_asked_straight_and_alone() -> None:
    hosts = {"a": host(instance("chat-0"), door=door()), "b": host(instance("chat-1", port=8101))}
    found = order.order({"model": "chat", "through": "chat-1"}, hosts)
    assert not found["problems"]
    assert (found["client"], found["base_url"], found["gateway"]) == ("b", "http://127.0.0.1:8101", "")
    assert len(found["instances"]) == 1


@pytest.mark.parametrize(
    ("given", "hosts", "said"),
    [
        ({"model": "chta"}, {"a": host(instance("chat-0"))}, "did you mean chat"),
        ({"model": "chat"}, {}, "run site.yml"),
        (
            {"model": "chat", "mode": "embedding", "through": "chat-0"},
            {"a": host(instance("chat-0"))},
            "its mode is embedding",
        ),
        ({"model": "chat"}, {"a": host(instance("chat-0"))}, "-e through=chat-0"),
        ({"model": "chat", "through": "chat-7"}, {"a": host(instance("chat-0"))}, "neither a gateway nor an instance"),
        (
            {"model": "chat"},
            {"gw": host(door=door("127.0.0.1")), "a": host(instance("chat-0"))},
            "listens on its own loopback",
        ),
        (
            {"model": "chat", "through": "chat-0"},
            {"a": host(instance("chat-0"), programs={})},
            "has recorded no environment of vllm",
        ),
        (
            {"model": "chat", "through": "chat-0", "input_len": 2000, "output_len": 100},
            {"a": host(instance("chat-0"))},
            "more than the context of 2048 tokens",
        ),
        (
            {"model": "chat", "through": "chat-0"},
            {"a": host(instance("chat-0"), busy=[{"name": "chat-0", "running": 2, "waiting": 1}])},
            "chat-0 (2 running, 1 waiting)",
        ),
    ],
)
def test_what_cannot_or_may_not_be_measured_is_refused(given: Any, hosts: Any, said: str) -> None:
    (problem,) = order.order(given, hosts)["problems"]
    assert said in problem.sentence()


def test_others_may_wait_if_that_is_confirmed() -> None:
    hosts = {"a": host(instance("chat-0"), busy=[{"name": "chat-0", "running": 2, "waiting": 1}])}
    assert not order.order({"model": "chat", "through": "chat-0", "confirm": True}, hosts)["problems"]
