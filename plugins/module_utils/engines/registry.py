# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines by name: those of the collection, and those from files outside it."""

from __future__ import annotations

import importlib.util
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines.base import Engine
from ansible_collections.llmfleet.serving.plugins.module_utils.engines.plain import PlainEngine
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import (
    HIDDEN,
    Problem,
    ProblemsError,
    nearest,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.engine import Vllm

DEFAULT = "vllm"
ROW = "write it as {NAME: {role: ROLE, file: FILE}}, see docs/contributing/add-an-engine.md"
_ENGINES: dict[str, Engine] = {DEFAULT: Vllm()}
# Every engine serves these paths (docs/contributing/add-an-engine.md).
API_PATHS = ("/v1/models", "/v1/chat/completions")


def names() -> list[str]:
    """Return the names of all engines that are known."""
    return sorted(_ENGINES)


def of(record: Mapping[str, Any]) -> Engine:
    """Return the engine of a model or an instance, or the default engine if it names none.

    An engine from outside is known on the control node alone; on a host it counts as a plain one.
    """
    name = str(record.get("engine") or DEFAULT)
    return _ENGINES.get(name) or PlainEngine(name)


def check(label: str, model: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of the engine that a model names, and of the flags that the model sets for it.

    :param label: how messages name the model.
    """
    name = str(model["engine"])
    if name not in _ENGINES:
        return [Problem(f"{label}.engine", name, "there is no such engine", nearest(name, _ENGINES))]
    reserved = _ENGINES[name].reserved_args
    flags = sorted(set(model["args"]) & set(reserved))
    # One of them is a key.
    return [Problem(f"{label}.args[{flag}]", HIDDEN, f"{flag} cannot be set here", reserved[flag]) for flag in flags]


def service(instance: Mapping[str, Any]) -> str:
    """Return the name of an instance's service, without the prefix of units."""
    return f"{instance.get('engine') or DEFAULT}-{instance['name']}"


def interface(engine: Engine) -> dict[str, Any]:
    """Return the properties of an engine that are stored with its instances, for code without access to the engine."""
    fields = ("health_path", "metrics_path", "litellm_provider", "shared_memory_mib", "default_sequences", "has_torch")
    metrics: dict[str, Any] = {field: dict(getattr(engine, field)) for field in ("busy_metrics", "traffic_metrics")}
    metrics["progress_metrics"] = list(engine.progress_metrics)
    return {**{field: getattr(engine, field) for field in fields}, **metrics}


def interface_of(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of its engine that an instance stores; those planned by an earlier version store none."""
    return {**interface(of(instance)), **(instance.get("interface") or {})}


def api_paths(instance: Mapping[str, Any], rows: Mapping[str, Any] | None) -> list[str]:
    """Return the paths of the API that an instance's engine serves: those of its row in ``llm_engines``."""
    row = (rows or {}).get(str(instance.get("engine") or DEFAULT)) or {}
    return list(row.get("api_paths") or API_PATHS)


def load(rows: Mapping[str, Any] | None) -> None:
    """Register the engines of ``llm_engines``: those with a ``file`` are loaded from its ``ENGINE``.

    :raises ProblemsError: where a row names neither a known engine nor a file that holds one.
    """
    if not isinstance(rows or {}, Mapping):
        raise ProblemsError([Problem("llm_engines_extra", rows, "a dictionary is needed", ROW)])
    problems = []
    for name, row in (rows or {}).items():
        variable = f"llm_engines[{name}]"
        if not isinstance(row or {}, Mapping):
            problems.append(Problem(variable, row, "a dictionary is needed", ROW))
            continue
        file = str((row or {}).get("file") or "")
        if not file:
            if name not in _ENGINES:
                problems.append(Problem(variable, row, "the collection has no such engine", nearest(name, _ENGINES)))
            continue
        try:
            engine = _read(name, file)
        except Exception as error:  # noqa: BLE001 (the file is a user's program, which may fail in any way)
            remedy = "name a Python file on the control node that sets ENGINE, see docs/contributing/add-an-engine.md"
            problems.append(Problem(f"{variable}.file", file, f"it cannot be read: {error}", remedy))
            continue
        called = getattr(engine, "name", None)
        if called == name and isinstance(engine, Engine):
            _ENGINES[name] = engine
        else:
            text = f"its ENGINE is named {called}" if called != name else "its ENGINE lacks members of Engine"
            problems.append(Problem(f"{variable}.file", file, text, "start from PlainEngine, and use one name"))
    if problems:
        raise ProblemsError(problems)


def _read(name: str, file: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"llmfleet_engine_{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ENGINE
