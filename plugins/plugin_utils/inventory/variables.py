# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the kinds of all variables that users set: a number, a port, an address, a list.

The argument specs of the roles say which variables there are and their types; this file knows what a type and a name
mean for the values. Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import parts, rules, schema
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import (
    HIDDEN,
    Problem,
    plain,
    without_credentials,
)

Spec = Mapping[str, Any]
# Their whole content has a check of its own (module_utils/inventory).
CHECKED_ELSEWHERE = ("llm_models", "llm_model_defaults", "llm_catalog_extra", "litellm_keys", "llm_teams", "gate_teams")
# Values of these may hold secrets, though their argument specs do not say so.
SECRET = re.compile(r".*(_environment|_env|_config|_configs|_daemon|_tls_certificate)")
ENVIRONMENT = re.compile(r".*(_environment|_env)")
CORES = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
MEMORY = re.compile(r"[0-9]+([.][0-9]+)?[KMGT%]?|infinity")
DURATION = re.compile(r"([0-9]+(ms|[smhdwy]))+")
SIZE = re.compile(r"[0-9]+[KMGTPE]?B")
BATCH = re.compile(r"[1-9][0-9]*|([1-9][0-9]?|100)%")
# A message names so many hosts with the same problem.
MOST_HOSTS = 8
# An engine's first port leaves room for those of further instances.
LAST_FIRST_PORT = 65535 - 1024


def _pem(value: Any) -> str:
    return rules.line(value.replace("\r", "").replace("\n", " ") if isinstance(value, str) else value)


def _batches(value: Any) -> Any:
    remedy = "give a number of hosts, a share such as 25%, or a list of both"
    one = rules.matching(BATCH, "it is neither a number nor a share of hosts", remedy)
    return parts.listing(one)(value) if isinstance(value, list) else one(value)


def _names(value: Any) -> Any:
    return rules.line(value) if isinstance(value, (str, int)) else parts.listing(rules.line)(value)


def _environment_value(value: Any) -> Any:
    # A null takes a variable out of what the collection sets; Ansible writes true and false as words.
    return value if value is None or isinstance(value, bool) else rules.line(value)


def _driver_switch(value: Any) -> Any:
    return value if isinstance(value, bool) else rules.choice(["auto", "true", "false"])(value)


_HTTP = rules.url("https", "http")
_MEMORY = rules.matching(
    MEMORY, "it is not a valid size", "give a number of bytes, K, M, G or T, such as 8G, or a share such as 50%"
)
_DURATION = rules.matching(DURATION, "it is not a valid duration", "give a number and a unit, such as 15s, 5m or 15d")
_SIZE = rules.matching(SIZE, "it is not a valid size", "give a number and a unit, such as 20GB")
_CORES = rules.matching(CORES, "it is not a valid list of cores", "give numbers and ranges, such as 2-7 or 0-3,8")
_REDIS = rules.matching(
    re.compile(r"rediss?://[^\s\"'<>\\]+|unix://[^\s\"'<>\\]+"),
    "it is not a valid URL of a Redis",
    "write rediss://USER:PASSWORD@HOST:PORT/NUMBER",
)
_ORIGIN = rules.matching(
    re.compile(r"(https?://)?[A-Za-z0-9.-]+(:[0-9]+)?|[*]|(https?://)?\[[0-9A-Fa-f:]+\](:[0-9]+)?"),
    "it is not a valid registry",
    "give it as HOST:PORT",
)
_FIELD = rules.matching(
    re.compile(r"[A-Za-z0-9._-]+"), "it is not a valid name of a field", "use letters, digits and . _ -"
)
_HOST = rules.matching(
    re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"),
    "it is not a valid name of a host",
    "give it without scheme and port",
)
_GPU = rules.matching(
    re.compile(r"[A-Za-z0-9/-]+"), "it is not a valid UUID", "give it as `nvidia-smi -L` shows it, such as GPU-..."
)
# Open WebUI takes a list of keys and of URLs, with semicolons between the entries.
_WEBUI_KEY = rules.matching(
    re.compile(r"[!-:<-~]+"), "Open WebUI splits it at a semicolon", "give a key of ASCII without ;"
)


def _webui_url(value: Any) -> str:
    clean = str(_HTTP(value))
    if ";" in clean:
        raise rules.RefusedError("Open WebUI splits it at a semicolon", "give a URL without ;")
    return clean


_REACHED = parts.listing(lambda value: value if value == "any" else rules.network(value))


def _vllm_args(value: Any) -> Any:
    clean = schema.args(value)
    reserved = registry.of({"engine": "vllm"}).reserved_args
    for flag in sorted(set(clean) & set(reserved)):
        raise rules.RefusedError(f"{flag} cannot be set here", reserved[flag], f"[{flag}]", HIDDEN)
    return clean


def _engine(value: Any) -> Any:
    """Check the paths of an engine's row; what else it says is checked where engines are loaded."""
    if isinstance(value, dict) and "api_paths" in value:
        parts.record({"api_paths": parts.API_PATHS})({"api_paths": value["api_paths"]})
    return value


# Rules of single variables, of variables by the end of their names, and of all others by their types.
BY_NAME: dict[str, rules.Rule] = {
    "container_engine_insecure_registries": parts.listing(_ORIGIN),
    "container_engine_registry_mirrors": parts.listing(_HTTP),
    "gate_extra_fields": parts.listing(_FIELD),
    "gate_key_share": rules.number(0.01, 1, whole=False),
    "gate_other_models": parts.listing(rules.line),
    "gate_translated_paths": parts.listing(rules.API_PATH),
    **dict.fromkeys(("gate_egress", "litellm_egress", "open_webui_egress", "vllm_egress"), _REACHED),
    **dict.fromkeys(("llm_egress_networks", "llm_private_networks"), _REACHED),
    **dict.fromkeys(("litellm_redis_url", "llm_cache_url"), _REDIS),
    "llm_address": rules.address,
    **dict.fromkeys(("llm_allow_downtime", "llm_replan", "llm_resume", "llm_rotate"), _names),
    **dict.fromkeys(("llm_canary_aborts", "llm_canary_errors"), rules.number(0, 1, whole=False)),
    "llm_canary_min_requests": rules.whole(1, None, "a number of requests"),
    "llm_canary_percent": rules.whole(1, 99, "a percentage"),
    "llm_canary_seconds": rules.whole(0, 86400, "a number of seconds"),
    "llm_canary_slower": rules.number(1, whole=False),
    "llm_cores": _CORES,
    "llm_engines_extra": parts.mapping(_engine),
    "llm_engine_port_base": rules.whole(1, LAST_FIRST_PORT, "a port"),
    "llm_gpus": parts.listing(_GPU),
    "llm_media_domains": parts.listing(_HOST),
    "llm_hf_endpoint": _HTTP,
    "llm_serial": _batches,
    "nginx_http_port": rules.whole(0, 65535, "a port"),
    "nginx_tls_certificate": _pem,
    "nginx_tls_key": _pem,
    "nvidia_driver_fabric_manager": _driver_switch,
    "nvidia_driver_user_space_only": _driver_switch,
    "open_webui_api_base_url": _webui_url,
    "open_webui_api_key": _WEBUI_KEY,
    "open_webui_file_max_count": rules.whole(1, None, "a number of files"),
    "open_webui_file_max_size": rules.whole(1, None, "a number of megabytes"),
    "open_webui_session_hours": rules.whole(1, None, "a number of hours"),
    "open_webui_trusted_proxies": parts.listing(rules.network),
    "open_webui_user_permissions": parts.mapping(rules.switch),
    "prometheus_model_targets": parts.TARGETS,
    "prometheus_retention_size": _SIZE,
    **dict.fromkeys(("llm_fleet_file", "llm_secrets_file", "service_python_archives"), rules.line),
    "vllm_api_paths": parts.API_PATHS,
    "vllm_args": _vllm_args,
}
BY_END: tuple[tuple[re.Pattern[str], rules.Rule], ...] = (
    (re.compile(r"prometheus_.*_(interval|timeout|time)"), _DURATION),
    (re.compile(r".*_port"), rules.whole(1, 65535, "a port")),
    (re.compile(r".*_listen"), rules.address),
    (re.compile(r".*_(timeout|deadline|seconds)"), rules.whole(1, None, "a number of seconds")),
    (re.compile(r".*_(repository_url|endpoint)"), _HTTP),
    (re.compile(r".*_memory_max"), _MEMORY),
    (re.compile(r"gate_(max|usage_log)_.*|.*_max_(choices|prompts)"), rules.whole(1)),
    (ENVIRONMENT, parts.mapping(_environment_value, rules.ENVIRONMENT)),
)
# Variables without a default that an empty text turns off.
MAY_BE_EMPTY = re.compile(r".*_server_name|open_webui_embedding_model")
BY_TYPE: dict[str, rules.Rule] = {
    "bool": rules.switch,
    "dict": parts.mapping(),
    "float": rules.number(0, whole=False),
    "int": rules.whole(0),
    "path": rules.path,
    "raw": rules.anything,
    "str": rules.line,
}


def rule(name: str, spec: Spec) -> rules.Rule:
    """Return the rule of a variable or of a key inside one.

    :param name: the variable; empty for a key.
    :param spec: its argument spec.
    """
    found = BY_NAME.get(name)
    if found is None and spec.get("type") in ("str", "int", "dict"):
        found = next((one for pattern, one in BY_END if pattern.fullmatch(name)), None)
    if found is None and spec.get("choices"):
        found = rules.choice(spec["choices"])
    if found is not None:
        return found
    if spec.get("options"):
        fields = {key: rule("", own) for key, own in spec["options"].items()}
        entry = parts.record(fields, tuple(key for key, own in spec["options"].items() if own.get("required")))
    else:
        entry = BY_TYPE["dict"]
    if spec.get("type") == "list":
        elements = str(spec.get("elements", "raw"))
        return parts.listing(entry if elements == "dict" else BY_TYPE[elements])
    return entry if spec.get("type") == "dict" else BY_TYPE[str(spec.get("type", "raw"))]


def _optional(spec: Spec) -> bool:
    """Whether an empty text means that the variable is not used."""
    return spec.get("default") == ""


def may_be_secret(name: str, spec: Spec) -> bool:
    """Return whether no message may show a variable's value."""
    return bool(spec.get("no_log") or SECRET.fullmatch(name))


def value_problems(name: str, value: Any, spec: Spec, host: str = "") -> list[Problem]:
    """Return the problems of a variable's value.

    :param name: the variable.
    :param value: its value, with all templates computed.
    :param spec: its argument spec.
    """
    if name in CHECKED_ELSEWHERE and value is not None:
        return []
    if value is None:
        remedy = "give it a value, or remove the line to get the default"
        return [Problem(name, None, "it has no value", remedy, host)]
    if value == "" and (_optional(spec) or MAY_BE_EMPTY.fullmatch(name)):
        return []
    if value == "":
        remedy = "give it a value, or remove the line to get the default"
        return [Problem(name, "", "it is empty", remedy, host)]
    hidden = may_be_secret(name, spec)
    return [
        Problem(
            f"{name}{refused.inside}",
            HIDDEN if hidden else without_credentials(refused.value),
            refused.problem,
            refused.remedy,
            host,
        )
        for refused in parts.refusals(rule(name, spec), plain(value)) or parts.refusals(rules.of_yaml, plain(value))
    ]


def specs(files: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the argument spec of each variable, of all entry points of all roles; the first one that has a key wins.

    :param files: contents of ``meta/argument_specs.yml``, that of ``fleet_defaults`` first.
    """
    found: dict[str, dict[str, Any]] = {}
    for content in files:
        for entry in (content.get("argument_specs") or {}).values():
            for name, spec in (entry.get("options") or {}).items():
                found[name] = {**spec, **found.get(name, {})}
    return found


def subject(variable: str) -> str:
    """Return the variable that a problem is about, without the way into it."""
    return re.split(r"[.\[]", variable, maxsplit=1)[0]


def together(kinds: list[Problem], others: Iterable[Problem]) -> list[Problem]:
    """Return all problems, each once; what a wrong kind brings about elsewhere in the same variable is left out."""
    wrong = {subject(one.variable) for one in kinds}
    found = list(kinds)
    for one in others:
        if subject(one.variable) not in wrong and one not in found:
            found.append(one)
    return found


def across_hosts(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems, each once: what is the same on several hosts is one problem that names all of them."""
    hosts: dict[str, list[str]] = {}
    first: dict[str, Problem] = {}
    for one in problems:
        sentence = one._replace(host="").sentence()
        first.setdefault(sentence, one)
        names = hosts.setdefault(sentence, [])
        if one.host not in names:
            names.append(one.host)
    return [one._replace(host=_and_more(hosts[sentence])) for sentence, one in first.items()]


def _and_more(names: list[str]) -> str:
    left = len(names) - MOST_HOSTS
    return ", ".join(names) if left < 1 else f"{', '.join(names[:MOST_HOSTS])} and {left} more"
