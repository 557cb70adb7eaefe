# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters of the ``gate``, ``litellm`` and ``nginx`` roles: thin wrappers around plugin_utils."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import key_checks, rules
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import cache, keyring, keys_text, settings
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import limits_note as gate_limits_note
from ansible_collections.llmfleet.serving.plugins.plugin_utils.litellm import config
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nginx import doors, login
from ansible_collections.llmfleet.serving.plugins.plugin_utils.nginx import problems as nginx


def litellm_config(deployments: list[dict[str, Any]], settings: dict[str, Any]) -> dict[str, Any]:
    """Create LiteLLM's configuration."""
    return config.config(plain(deployments), plain(settings))


def gate_settings(models: list[dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """Create the gate's settings."""
    return settings.settings(plain(models), plain(values))


def gate_keyring(
    keys: list[dict[str, Any]], metrics_key: str, teams: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Create the gate's file of keys."""
    return keyring.keyring(plain(keys), metrics_key, plain(teams or []))


def gate_problems(
    keys: list[dict[str, Any]],
    models: list[dict[str, Any]],
    other_models: list[str],
    secrets: dict[str, Any],
    host: str = "",
    teams: list[dict[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Find all problems of the gate's keys."""
    names = settings.names(plain(models), plain(other_models))
    found = key_checks.problems(keys, names, plain(secrets), resolved=True, teams=plain(teams))
    return [problem._replace(host=str(host))._asdict() for problem in found]


def cache_problems(
    hosts: list[str], fleet: list[str], url: str, keeping: list[str] | None = None
) -> list[dict[str, Any]]:
    """Find what is wrong with the cache that gateways share."""
    return [problem._asdict() for problem in cache.problems(plain(hosts), plain(fleet), str(url), plain(keeping))]


def keys_problems(form: Any) -> list[dict[str, Any]]:
    """Return what is wrong with the form of a report of keys."""
    return [problem._asdict() for problem in keys_text.problems(form)]


def keys_as_text(results: dict[str, Any], form: Any) -> str:
    """Tell which keys and teams are in force."""
    return keys_text.text(plain(results), str(form))


def limits_note(
    keys: list[dict[str, Any]],
    models: list[dict[str, Any]],
    hosts: list[str],
    teams: list[dict[str, Any]] | None = None,
) -> str:
    """Tell what limits come to with several gateways."""
    return gate_limits_note.note(plain(keys), plain(models), plain(hosts), plain(teams or []))


def priorities_note(models: list[dict[str, Any]], policy: str) -> str:
    """Tell for which models priorities of keys mean nothing."""
    return gate_limits_note.priorities(plain(models), policy)


def nginx_doors(
    api: dict[str, Any],
    chat: dict[str, Any],
    north: Any = True,
    aliases: dict[str, list[str]] | None = None,
    own_listen: str = "",
    dashboards: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the open doors of the proxy with their names and ports."""
    return doors.doors(
        plain(api), plain(chat), not rules.off(north), plain(aliases), str(own_listen), plain(dashboards or {})
    )


def nginx_login(user: str, password: str) -> str:
    """Return a line of the file of users."""
    return login.login(str(user), str(password))


def nginx_problems(values: dict[str, Any], host: str = "", names: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Find all problems of the proxy's parameters."""
    return [problem._asdict() for problem in nginx.problems(plain(values), str(host), plain(names))]


class FilterModule:
    """Filters of the gate, litellm and nginx roles."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {
            "cache_problems": cache_problems,
            "gate_keyring": gate_keyring,
            "gate_problems": gate_problems,
            "gate_settings": gate_settings,
            "keys_problems": keys_problems,
            "keys_text": keys_as_text,
            "limits_note": limits_note,
            "priorities_note": priorities_note,
            "litellm_config": litellm_config,
            "nginx_doors": nginx_doors,
            "nginx_login": nginx_login,
            "nginx_problems": nginx_problems,
        }
