# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs of the servers that flags and environment variables of engines name, by the variable of the inventory.

Unlike other services, an engine has no address of its own among them and shows no pages, so every URL counts. Its
connectors name other hosts by address and port, too; such a host becomes a URL with the scheme ``tcp``. Pure functions;
no Ansible, no files, no network.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, Mapping

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet.contacts import proxy

# Flags and fields with these names hold no server: origins of browsers, texts, and names of models.
OTHERS = re.compile(r"(?i)(^|[._])(allowed_origins|chat_template|model|served_model_name|tokenizer|no_proxy)$")
# Names that hold a host, and names that hold one if it has a dot or a port.
HOSTS = re.compile(r"(?i)((^|_)(ips?|addr(ess(es)?)?|hosts?)|_hostnames?|_nodes)$")
MAYBE_HOSTS = re.compile(r"(?i)(^|_)(servers?|endpoints?|urls?|uris?|master|comm_id)$")
HOST = re.compile(
    r"(?:\*|\[[0-9a-fA-F:.]+\]|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*|[\w-]+(?:\.[\w-]+)*)(?::\d{1,5})?"
)
NUMBER = re.compile(r"\d+")
# Where an engine publishes what is in its cache if nothing else is said: every address of its host.
EVENTS, EVENTS_ENDPOINT, PUBLISHED = "enable_kv_cache_events", "endpoint", "tcp://*"
ALL_ADDRESSES = re.compile(r"tcp://(?:0\.0\.0\.0|\[::\])(?=:|$)")
SEPARATORS = re.compile(r"[,\s]+")


def _name(key: Any) -> str:
    """Return the last part of a flag or of a field, as fields are written."""
    return str(key).replace("-", "_").rpartition(".")[2]


def _url(host: str) -> str:
    return f"tcp://[{host}]" if host.count(":") > 1 and not host.startswith("[") else f"tcp://{host}"


def _is_host(name: str, text: str) -> bool:
    if not HOST.fullmatch(text) or NUMBER.fullmatch(text):
        return False
    return bool(HOSTS.search(name) or (MAYBE_HOSTS.search(name) and ("." in text or ":" in text)))


def _of_text(name: str, text: str) -> Iterator[str]:
    if url := proxy(name, text):
        yield url
        return
    if text.lstrip()[:1] in ("{", "["):
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = None
        if isinstance(parsed, (dict, list)):
            yield from _of_value(name, parsed)
            return
    for one in SEPARATORS.split(text):
        if "://" in one:
            yield ALL_ADDRESSES.sub(PUBLISHED, one)
        elif _is_host(name, one):
            yield ALL_ADDRESSES.sub(PUBLISHED, _url(one))


def _of_value(name: str, value: Any) -> Iterator[str]:
    """Give the URLs of the servers in a value and in what it contains."""
    if OTHERS.search(name):
        return
    if isinstance(value, Mapping):
        if str(value.get(EVENTS)).lower() == "true" and not value.get(EVENTS_ENDPOINT):
            yield PUBLISHED
        for key, item in value.items():
            yield from _of_value(_name(key), item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _of_value(name, item)
    elif isinstance(value, str):
        yield from _of_text(name, value)


def _parsed(text: str) -> Any:
    return json.loads(text) if text else None


def _entries(variable: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give each entry of a list of models or of the catalogue, by how messages name it."""
    if isinstance(value, Mapping):
        yield from ((f"{variable}[{name}]", entry) for name, entry in value.items())
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            name = entry.get("name", number) if isinstance(entry, Mapping) else number
            yield f"{variable}[{name}]", entry


def by_variable(flags: str, environments: str, models: str, defaults: str, catalog: str) -> dict[str, str]:
    """Return the URLs of all servers that engines are told of, in one text for each variable that names one.

    All parameters are JSON, and empty if they are not known yet.

    :param flags: flags of every instance, by engine.
    :param environments: environment variables of every instance, by engine.
    :param models: ``llm_models``.
    :param defaults: ``llm_model_defaults``.
    :param catalog: ``llm_catalog_extra``.
    """
    given: dict[str, Any] = {}
    for kind, text in (("args", flags), ("env", environments)):
        values = _parsed(text)
        given.update({f"{engine}_{kind}": value for engine, value in (values or {}).items()})
    entries = [("llm_model_defaults", _parsed(defaults))]
    for variable, text in (("llm_models", models), ("llm_catalog_extra", catalog)):
        entries += _entries(variable, _parsed(text))
    for name, entry in entries:
        if isinstance(entry, Mapping):
            given.update({f"{name}.{kind}": entry.get(kind) for kind in ("args", "env")})
    found = {variable: " ".join(dict.fromkeys(_of_value("", value))) for variable, value in given.items()}
    return {variable: text for variable, text in found.items() if text}
