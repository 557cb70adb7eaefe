# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
import role_files
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import plain_text

DEFAULT: list[str] = role_files.defaults("fleet_defaults")["llm_private_networks"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "localhost",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.7.7",
        "169.254.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "fd00::1",
        "[fc00::1]",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
    ],
)
def test_private_addresses_may_carry_plain_text(address: str) -> None:
    assert plain_text.problems({"llm_address": address}, DEFAULT) == []


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "192.0.2.1",
        "203.0.113.7",
        "240.0.0.1",
        "2001:db8::1",
        "[2606:4700::1]",
        "2002:a00:1::1",
        "64:ff9b::a00:1",
        "::ffff:8.8.8.8",
        "::ffff:808:808",
        "::10.0.0.1",
        "ff02::1",
    ],
)
def test_all_others_are_refused_with_host_variable_value_and_remedy(address: str) -> None:
    (problem,) = plain_text.problems({"llm_address": address}, DEFAULT, "gpu1")
    assert problem.sentence().startswith(f'gpu1: llm_address is "{address.strip("[]")}": services speak plain HTTP')
    assert "llm_private_networks" in problem.remedy


@pytest.mark.parametrize("name", ["gpu1.example.com", "gpu1", "10.0.0.1.example.com", "127.1", "0x7f.1", "010.0.0.1"])
def test_a_name_is_refused_because_its_addresses_are_not_known(name: str) -> None:
    (problem,) = plain_text.problems({"llm_address": name}, DEFAULT, "gpu1")
    assert "it is a name" in problem.problem
    # No network would help.
    assert problem.remedy == "give its private address"


@pytest.mark.parametrize(
    ("networks", "refused"),
    [
        (["192.0.2.0/28"], True),
        (["192.0.2.0/24"], False),
        # As Nginx and the check of values do, a network may have bits of a host.
        (["192.0.2.17/24"], False),
        (["192.0.2.17"], False),
        (["::ffff:192.0.2.0/120"], False),
        (["::/0"], True),
        (["0.0.0.0/0"], False),
        (["any"], False),
        (["10.0.0.0/8", "any"], False),
        ([], True),
        # The check of the inventory's values names these.
        (["no network"], True),
    ],
)
def test_the_inventory_names_private_networks(networks: list[str], refused: bool) -> None:
    assert bool(plain_text.problems({"llm_address": "192.0.2.17"}, networks)) is refused
    assert plain_text.problems({"llm_address": "127.0.0.1"}, networks) == []


@pytest.mark.parametrize(
    ("listen", "own", "named"),
    [
        ("0.0.0.0", [], ""),
        ("0.0.0.0", ["10.0.0.1", "172.17.0.1"], ""),
        ("0.0.0.0", ["10.0.0.1", "2001:db8::1"], ""),
        ("0.0.0.0", ["10.0.0.1", "203.0.113.7"], "203.0.113.7"),
        ("::ffff:0.0.0.0", ["203.0.113.7"], "203.0.113.7"),
        ("::", ["10.0.0.1", "fe80::1"], ""),
        ("[::]", ["10.0.0.1", "2001:db8::1"], "2001:db8::1"),
        ("::", ["203.0.113.7"], "203.0.113.7"),
        ("", ["203.0.113.7"], "203.0.113.7"),
    ],
)
def test_a_listener_on_all_addresses_has_those_of_the_host(listen: str, own: list[str], named: str) -> None:
    found = plain_text.problems({"gate_listen": listen}, DEFAULT, "gw", own)
    assert [named in one.problem for one in found] == [True] * bool(named)


def test_one_address_is_one_problem_of_the_first_variable() -> None:
    listeners = {"llm_address": "203.0.113.7", "gate_listen": "[203.0.113.7]", "open_webui_listen": "203.0.113.8"}
    found = plain_text.problems(listeners, DEFAULT, "gw")
    assert [one.variable for one in found] == ["llm_address", "open_webui_listen"]


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("", False),
        ("unix:///run/redis.sock", False),
        ("redis://127.0.0.1:6379", False),
        ("redis://:word@localhost/0", False),
        ("redis://me:wo@rd@10.0.0.5:6379/0", False),
        ("http://[fd00::1]:4200/v1", False),
        ("rediss://cache.example.com:6379", False),
        ("https://203.0.113.7/v1", False),
        ("redis://me:secret@203.0.113.7:6379/0", True),
        ("REDIS://me:secret@203.0.113.7:6379/0", True),
        ("http://[2001:db8::1]:4200/v1", True),
        ("http://[::ffff:8.8.8.8]/v1", True),
        ("http://secret.example.com/v1", True),
        ("http://0.0.0.0:4200", False),
    ],
)
def test_what_a_host_contacts_in_plain_text(url: str, refused: bool) -> None:
    found = plain_text.problems({}, DEFAULT, "gw", urls={"litellm_redis_url": url})
    assert [one.variable for one in found] == ["litellm_redis_url"] * refused
    assert not any("me:" in one.sentence() or "secret@" in one.sentence() for one in found)


def test_every_url_of_a_text_counts_and_what_another_check_refuses_does_not() -> None:
    text = '{"A": "http://10.0.0.1/ https://203.0.113.8", "B": "redis://:w@203.0.113.9:6379 ws://[2001:db8::1]"}'
    found = plain_text.problems({}, DEFAULT, "gw", urls={"litellm_environment": text})
    assert [one.problem.split(",")[0] for one in found] == [
        "it is plain text to 203.0.113.9",
        "it is plain text to 2001:db8::1",
    ]
    listeners, urls = {"llm_address": "gw.example.com", "gate_listen": "203.0.113.7"}, {"litellm_environment": text}
    found = plain_text.problems(listeners, DEFAULT, "gw", urls=urls, told=["gate_listen", "litellm_environment"])
    assert [one.variable for one in found] == ["llm_address"]


def test_the_default_is_no_wider_than_what_python_calls_private() -> None:
    shared = "100.64.0.0/10"
    parsed: list[Any] = [ipaddress.ip_network(one) for one in DEFAULT]
    assert all(one.is_private for one in parsed if str(one) != shared)
    assert shared in DEFAULT
