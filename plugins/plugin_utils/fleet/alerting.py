# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told of alerts: Alertmanager's configuration, and what is wrong with the receivers that the inventory names.

Pure functions; no Ansible, no files, no network. The keys are those of Alertmanager 0.25 to 0.28
(prometheus.io/docs/alerting/latest/configuration).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

VARIABLE = "alertmanager_receivers"
SEVERITIES = ("critical", "warning")
# What no receiver asked for goes to this one, which has nothing to send to.
NOBODY = "nobody"
OURS = ("name", "severities", "models")
COMMON = frozenset(("send_resolved", "http_config"))
# Keys of the ways to tell somebody. The others are left to amtool, which knows those of the release that is installed.
KEYS: Mapping[str, frozenset[str]] = {
    "webhook_configs": COMMON | {"url", "url_file", "max_alerts", "timeout"},
    "email_configs": COMMON - {"http_config"}
    | {"to", "from", "smarthost", "hello", "auth_username", "auth_password", "auth_password_file", "auth_secret"}
    | {"auth_identity", "require_tls", "tls_config", "html", "text", "headers"},
    "slack_configs": COMMON
    | {"api_url", "api_url_file", "channel", "username", "color", "fields", "title", "title_link", "text", "pretext"}
    | {"short_fields", "footer", "fallback", "callback_id", "icon_emoji", "icon_url", "image_url", "thumb_url"}
    | {"link_names", "mrkdwn_in", "actions", "message_text", "app_token", "app_url"},
    "pagerduty_configs": COMMON
    | {"routing_key", "routing_key_file", "service_key", "service_key_file", "url", "client", "client_url", "source"}
    | {"description", "severity", "details", "images", "links", "class", "component", "group", "timeout"},
}
OTHER_WAYS = frozenset(
    ("discord_configs", "jira_configs", "msteams_configs", "msteamsv2_configs", "opsgenie_configs", "pushover_configs")
) | {"rocketchat_configs", "sns_configs", "telegram_configs", "victorops_configs", "webex_configs", "wechat_configs"}
# One of the keys that a way needs, or one of `alertmanager_global` in their place.
NEEDED: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "webhook_configs": ((("url", "url_file"), ()),),
    "email_configs": (
        (("to",), ()),
        (("from",), ("smtp_from",)),
        (("smarthost",), ("smtp_smarthost",)),
    ),
    "slack_configs": ((("api_url", "api_url_file", "app_token"), ("slack_api_url", "slack_api_url_file")),),
    "pagerduty_configs": ((("routing_key", "routing_key_file", "service_key", "service_key_file"), ()),),
}
# Values that only the service may know, in every place where they can be.
SECRET = re.compile(r"(^|_)(url|password|secrets?|key|token|credentials)$")


def problems(
    receivers: Any, routes: Any, settings: Mapping[str, Any], models: Iterable[str], hosts: Iterable[str]
) -> list[Problem]:
    """Return what keeps alerts from being sent as the inventory asks for.

    :param receivers: ``alertmanager_receivers``.
    :param routes: ``alertmanager_routes``.
    :param settings: ``alertmanager_global``.
    :param models: names of the fleet's models.
    :param hosts: hosts of the group ``llm_monitoring``.
    """
    if not isinstance(receivers, list):
        return [Problem(VARIABLE, HIDDEN, "it is no list", "write a list of receivers, each with its name")]
    found: list[Problem] = []
    if receivers and not list(hosts):
        text = "no host runs Prometheus, so nothing is told to anybody"
        found.append(Problem(VARIABLE, HIDDEN, text, "put a host into llm_monitoring, or leave the receivers out"))
    known = sorted(models)
    names: list[str] = []
    for number, receiver in enumerate(receivers):
        name = receiver.get("name") if isinstance(receiver, Mapping) else None
        where = f"{VARIABLE}[{name if isinstance(name, str) and name else number}]"
        if not isinstance(name, str) or not name:
            found.append(Problem(where, HIDDEN, "it has no name", "give each receiver a name"))
            continue
        if name in names or name == NOBODY:
            text = "another receiver has this name" if name in names else "the collection has a receiver of this name"
            found.append(Problem(f"{where}.name", name, text, "give each receiver a name of its own"))
        names.append(name)
        found += _receiver_problems(where, receiver, settings, known)
    found += _route_problems(routes, names)
    return found


def _receiver_problems(
    where: str, receiver: Mapping[str, Any], settings: Mapping[str, Any], models: list[str]
) -> list[Problem]:
    found: list[Problem] = []
    for key, allowed in (("severities", list(SEVERITIES)), ("models", models)):
        values = receiver.get(key, [])
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            found.append(Problem(f"{where}.{key}", values, "it is no list of names", f"write [{allowed[0]}]"))
            continue
        for value in values:
            if value not in allowed:
                text = f"no alert has it; known are {', '.join(allowed)}"
                found.append(Problem(f"{where}.{key}", value, text, "correct it, or leave it out"))
    ways = [key for key in receiver if key in KEYS or key in OTHER_WAYS]
    for key in sorted(set(receiver) - set(OURS) - set(ways)):
        text = f"Alertmanager has no such way; known are {', '.join([*OURS, *KEYS])}"
        found.append(Problem(f"{where}.{key}", HIDDEN, text, "correct the key"))
    if not ways:
        text = "nothing says how to tell it"
        found.append(Problem(where, list(receiver), text, f"give it one of {', '.join(KEYS)}"))
    for way in ways:
        entries = receiver[way]
        if not isinstance(entries, list) or not entries or not all(isinstance(one, Mapping) for one in entries):
            text = "it is no list of dictionaries"
            found.append(Problem(f"{where}.{way}", HIDDEN, text, f"write {way}: [{{...}}]"))
            continue
        for number, entry in enumerate(entries):
            found += _way_problems(f"{where}.{way}[{number}]", way, entry, settings)
    return found


def _way_problems(where: str, way: str, entry: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    found: list[Problem] = []
    known = KEYS.get(way)
    for key in sorted(set(entry) - known) if known else []:
        text = f"Alertmanager does not know it there; known are {', '.join(sorted(known or ()))}"
        found.append(Problem(f"{where}.{key}", HIDDEN, text, "correct the key"))
    for keys, elsewhere in NEEDED.get(way, ()):
        if not any(entry.get(key) for key in keys) and not any(settings.get(key) for key in elsewhere):
            text = f"{' or '.join(keys)} is missing"
            remedy = f"give {keys[0]}"
            if elsewhere:
                remedy += f", or {elsewhere[0]} in alertmanager_global for all receivers"
            found.append(Problem(where, sorted(entry), text, remedy))
    for key in ("url", "api_url"):
        if entry.get(key) and not _is_url(entry[key]):
            remedy = "write it with https:// or http:// and a host"
            found.append(Problem(f"{where}.{key}", HIDDEN, "it is no URL", remedy))
    return found


def _is_url(text: Any) -> bool:
    try:
        parts = urlsplit(str(text))
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _route_problems(routes: Any, names: list[str]) -> list[Problem]:
    variable = "alertmanager_routes"
    if not isinstance(routes, list) or not all(isinstance(route, Mapping) for route in routes):
        return [Problem(variable, HIDDEN, "it is no list of dictionaries", "write routes in Alertmanager's format")]
    found = []
    for number, route in enumerate(routes):
        receiver = route.get("receiver")
        if receiver is not None and receiver not in [*names, NOBODY]:
            text = f"no receiver has this name; known are {', '.join([*names, NOBODY])}"
            place = f"{variable}[{number}].receiver"
            found.append(Problem(place, receiver, text, "name one of alertmanager_receivers"))
        more = route.get("routes", [])
        found += _route_problems(more, names) if more else []
    return found


def config(
    receivers: list[dict[str, Any]],
    routes: list[dict[str, Any]],
    inhibit_rules: list[dict[str, Any]],
    settings: Mapping[str, Any],
    grouping: Mapping[str, Any],
) -> dict[str, Any]:
    """Return Alertmanager's configuration: the user's routes first, then one for each receiver.

    :param grouping: ``group_by``, ``group_wait``, ``group_interval`` and ``repeat_interval``.
    """
    plain = [{key: value for key, value in one.items() if key not in OURS[1:]} for one in receivers]
    told = [{"receiver": one["name"], "continue": True, "matchers": _matchers(one)} for one in receivers]
    whole: dict[str, Any] = {"global": dict(settings)} if settings else {}
    whole["route"] = {"receiver": NOBODY, **grouping, "routes": [*routes, *told]}
    whole["receivers"] = [{"name": NOBODY}, *plain]
    whole["inhibit_rules"] = [*INHIBITED, *inhibit_rules]
    return whole


def _matchers(receiver: Mapping[str, Any]) -> list[str]:
    """Return what an alert must be for a receiver to be told; nothing means every alert."""
    found = []
    for label, values in (("severity", receiver.get("severities")), ("model", receiver.get("models"))):
        if values:
            # Names of models have dots, which mean every character in a regular expression.
            found.append(f'{label}=~"{"|".join(value.replace(".", "[.]") for value in values)}"')
    return found


def _inhibition(source: str, target: str, equal: str) -> dict[str, Any]:
    # Alertmanager takes a label that both do not have as equal, so the first must have it.
    return {
        "source_matchers": [f'alertname="{source}"', f'{equal}=~".+"'],
        "target_matchers": [target],
        "equal": [equal],
    }


# Of two alerts with one cause, the one that names it is told.
INHIBITED = (
    _inhibition("HostDown", 'alertname!="HostDown"', "host"),
    _inhibition("ModelDown", 'alertname=~"ReplicaDown|RequestsFail|RequestsOftenFail"', "model"),
    _inhibition("FirstTokenLate", 'alertname="FirstTokenOftenLate"', "model"),
    _inhibition("RequestsFail", 'alertname="RequestsOftenFail"', "model"),
)


def shown(value: Any) -> Any:
    """Return a configuration with a stand-in for everything that only the service may know.

    A URL stays one, so that amtool says the same of both.
    """
    if isinstance(value, Mapping):
        return {key: _shown_value(str(key), one) for key, one in value.items()}
    return [shown(one) for one in value] if isinstance(value, list) else value


def _shown_value(key: str, value: Any) -> Any:
    if isinstance(value, Mapping) or not value or not SECRET.search(key):
        return shown(value)
    if isinstance(value, list):
        return ["hidden"] * len(value)
    return "https://hidden.invalid/" if key.endswith("url") else "hidden"
