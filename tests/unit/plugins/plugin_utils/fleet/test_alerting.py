# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Receivers of alerts: what is refused, and what becomes of those that are right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.filter import alerting as filters
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import alerting

ALERTS = Path(__file__).resolve().parents[5] / "roles" / "prometheus" / "templates" / "alerts.rules.yml"
URL = "https://hooks.example.org/canary-secret"
HOOK: dict[str, Any] = {"name": "ops", "webhook_configs": [{"url": URL}]}


def problems(*receivers: Any, routes: Any = (), settings: Any = None, hosts: Any = ("ops1",)) -> list[str]:
    """Return variable and problem of what is refused; none of it shows a secret."""
    routes = list(routes) if isinstance(routes, tuple) else routes
    found = filters.alertmanager_problems(list(receivers), routes, settings or {}, ["chat", "code"], list(hosts))
    assert "canary" not in " ".join(Problem(**one).sentence() for one in found)
    assert all(one["remedy"] for one in found)
    return [f"{one['variable']}: {one['problem']}" for one in found]


@pytest.mark.parametrize(
    "receiver",
    [
        HOOK,
        {**HOOK, "severities": ["critical", "warning"], "models": ["chat"]},
        {"name": "a", "webhook_configs": [{"url_file": "/run/url", "max_alerts": 5, "send_resolved": False}]},
        {
            "name": "a",
            "email_configs": [{"to": "a@b", "from": "c@b", "smarthost": "mail:25", "auth_password": "canary"}],
        },
        {"name": "a", "slack_configs": [{"api_url": URL, "channel": "#a"}]},
        {"name": "a", "pagerduty_configs": [{"routing_key": "canary"}]},
        {"name": "a", "telegram_configs": [{"bot_token": "canary", "chat_id": 1}]},
    ],
)
def test_receivers_that_are_right_are_taken(receiver: dict[str, Any]) -> None:
    assert problems(receiver) == []


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ({"webhook_configs": [{"url": URL}]}, "[0]: it has no name"),
        ("ops", "[0]: it has no name"),
        ({**HOOK, "name": "nobody"}, "[nobody].name: the collection has a receiver of this name"),
        ({**HOOK, "severities": ["page"]}, "[ops].severities: no alert has it; known are critical, warning"),
        ({**HOOK, "severities": "critical"}, "[ops].severities: it is no list of names"),
        ({**HOOK, "models": ["chta"]}, "[ops].models: no alert has it; known are chat, code"),
        ({"name": "ops"}, "[ops]: nothing says how to tell it"),
        ({**HOOK, "webhook_configs": {"url": URL}}, "[ops].webhook_configs: it is no list of dictionaries"),
        ({**HOOK, "webhook_configs": []}, "[ops].webhook_configs: it is no list of dictionaries"),
        ({**HOOK, "webhook_configs": [{}]}, "[ops].webhook_configs[0]: url or url_file is missing"),
        ({**HOOK, "webhook_configs": [{"url": "canary.example.org"}]}, "[ops].webhook_configs[0].url: it is no URL"),
        ({**HOOK, "webhook_configs": [{"url": "https://[canary"}]}, "[ops].webhook_configs[0].url: it is no URL"),
        (
            {"name": "a", "slack_configs": [{"channel": "#a"}]},
            "[a].slack_configs[0]: api_url or api_url_file or app_token",
        ),
        (
            {"name": "a", "pagerduty_configs": [{"class": "x"}]},
            "[a].pagerduty_configs[0]: routing_key or routing_key_file",
        ),
    ],
)
def test_receivers_that_are_wrong_are_refused(receiver: Any, said: str) -> None:
    found = problems(receiver)
    assert len(found) == 1
    assert found[0].startswith(f"alertmanager_receivers{said}")


def test_unknown_keys_are_refused_where_they_are() -> None:
    (way,) = problems({**HOOK, "webhok_configs": [{"url": URL}]})
    assert way.startswith("alertmanager_receivers[ops].webhok_configs: Alertmanager has no such way; known are name,")
    (key, missing) = problems({"name": "ops", "webhook_configs": [{"urll": URL}]})
    assert key.startswith("alertmanager_receivers[ops].webhook_configs[0].urll: Alertmanager does not know it there")
    assert "url or url_file is missing" in missing


def test_what_all_receivers_have_in_common_need_not_be_said_again() -> None:
    mail = {"name": "a", "email_configs": [{"to": "a@b"}]}
    assert [one.split(": ")[1] for one in problems(mail)] == ["from is missing", "smarthost is missing"]
    assert problems(mail, settings={"smtp_from": "c@b", "smtp_smarthost": "mail:25"}) == []


def test_receivers_need_their_own_names_a_list_and_a_host() -> None:
    assert problems(HOOK, HOOK) == ["alertmanager_receivers[ops].name: another receiver has this name"]
    assert problems(HOOK, hosts=[]) == [
        "alertmanager_receivers: no host runs Prometheus, so nothing is told to anybody"
    ]
    (problem,) = filters.alertmanager_problems({"ops": {}}, [], {}, [], ["ops1"])
    assert problem["problem"] == "it is no list"
    assert problems(hosts=[]) == []


def test_routes_lead_to_receivers_that_are_there() -> None:
    there: dict[str, Any] = {"receiver": "ops", "routes": [{"receiver": "nobody"}, {"matchers": ["a=b"]}]}
    assert problems(HOOK, routes=[there]) == []
    (nested,) = problems(HOOK, routes=[{**there, "routes": [{"receiver": "opps"}]}])
    assert nested == "alertmanager_routes[0].receiver: no receiver has this name; known are ops, nobody"
    assert problems(HOOK, routes={"receiver": "ops"}) == ["alertmanager_routes: it is no list of dictionaries"]


def test_each_receiver_has_a_route_by_what_it_asks_for_after_the_users_own() -> None:
    chat = {**HOOK, "name": "chat", "severities": ["critical"], "models": ["chat", "qwen2.5"]}
    own, rule = {"receiver": "nobody", "matchers": ['alertname="GpuHot"']}, {"equal": ["a"]}
    grouping = {"group_by": ["alertname"], "group_wait": "30s"}
    config = filters.alertmanager_config([HOOK, chat], [own], [rule], {"smtp_from": "a@b"}, grouping)
    assert config["route"] == {
        "receiver": "nobody",
        **grouping,
        "routes": [
            own,
            {"receiver": "ops", "continue": True, "matchers": []},
            {
                "receiver": "chat",
                "continue": True,
                "matchers": ['severity=~"critical"', 'model=~"chat|qwen2[.]5"'],
            },
        ],
    }
    assert config["receivers"] == [{"name": "nobody"}, HOOK, {**HOOK, "name": "chat"}]
    assert config["inhibit_rules"] == [*alerting.INHIBITED, rule]
    assert config["global"] == {"smtp_from": "a@b"}
    assert "global" not in filters.alertmanager_config([HOOK], [], [], {}, {})


def test_alerts_that_silence_others_and_severities_are_those_of_prometheus() -> None:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    alerts = {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}
    named = " ".join(" ".join(one["source_matchers"] + one["target_matchers"]) for one in alerting.INHIBITED)
    assert set(re.findall(r"\b[A-Z][A-Za-z]+\b", named)) <= set(alerts)
    assert set(alerts.values()) == set(alerting.SEVERITIES)


def test_the_copy_for_people_has_no_secret_and_the_same_form() -> None:
    secret = {
        "global": {"slack_api_url": URL, "smtp_auth_password": "canary", "smtp_smarthost": "mail:25"},
        "receivers": [
            {
                "name": "a",
                "webhook_configs": [
                    {
                        "url": URL,
                        "max_alerts": 5,
                        "http_config": {
                            "proxy_url": URL,
                            "basic_auth": {"username": "me", "password": "canary"},
                            "authorization": {"credentials": "canary"},
                            "http_headers": {"X-Token": {"secrets": ["canary", "canary"]}},
                        },
                    }
                ],
                "pagerduty_configs": [{"routing_key": "canary", "service_key_file": "/run/key"}],
            }
        ],
    }
    shown = filters.alertmanager_shown(secret)
    assert "canary" not in json.dumps(shown)
    assert shown["global"]["smtp_smarthost"] == "mail:25"
    (entry,) = shown["receivers"][0]["webhook_configs"]
    assert (entry["url"], entry["max_alerts"]) == ("https://hidden.invalid/", 5)
    assert entry["http_config"]["basic_auth"] == {"username": "me", "password": "hidden"}
    assert shown["receivers"][0]["pagerduty_configs"][0]["service_key_file"] == "/run/key"
