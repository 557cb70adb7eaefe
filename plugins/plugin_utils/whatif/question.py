# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked: a model with its facts, and how it is to be served.

Pure functions over the variables of the playbook; no Ansible, no files, no network.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.inventory import models as inventory_models
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError, plain
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import planning

# Variables of the playbook that are flags of the engine, and those that are keys of a model under another name.
FLAGS = {
    "kv_cache_dtype": "kv-cache-dtype",
    "quantization": "quantization",
    "dtype": "dtype",
}
KEYS = {"users": "concurrency", "context": "context", "replicas": "replicas", "weights_gib": "weights_gib"}
NUMBERS = ("users", "replicas")


class Question(NamedTuple):
    """A model as the inventory would ask for it, with its facts and the layers under it."""

    raw: dict[str, Any]
    facts: dict[str, Any]
    layers: tuple[Any, Any, Any] = (None, None, None)
    """The catalogue, the user's own catalogue, and the defaults of all models."""
    releases: Mapping[str, str] = {}
    """Release of each engine that can be asked."""

    def model(self, **more: Any) -> dict[str, Any]:
        """Return the model with every key, and with its facts.

        :param more: keys that differ from what was asked.
        :raises ProblemsError: a value is wrong; messages name the variables of the playbook.
        """
        catalog, extra, defaults = self.layers
        try:
            (model,) = inventory_models.resolve([{**self.raw, **more}], catalog, extra, defaults)
        except ProblemsError as error:
            raise ProblemsError([_asked(problem) for problem in error.problems]) from error
        return {**model, "facts": self.facts}

    def plan(self, model: dict[str, Any], hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return the plan of the model on hosts."""
        return planning.plan([model], hosts, self.releases)


def _asked(problem: Problem) -> Problem:
    """Return a problem of a model as one of the variable that was given."""
    inside = re.sub(r"^llm_models\[[^]]*\][.]?", "", problem.variable)
    if inside.startswith("args[") or inside == "args":
        return problem._replace(variable="settings.args")
    known = {key: name for name, key in KEYS.items()} | {"source": "model"}
    return problem._replace(variable=known.get(inside, f"settings.{inside}"))


def name_of(source: str) -> str:
    """Return the name under which a model of that source is served: its last part, as clients may write it."""
    last = source.rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9.-]+", "-", last)[:48].strip("-.") or "model"


def changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the variables of the playbook ask of a model, as keys of `llm_models`.

    :param values: variables by name; empty ones ask for nothing.
    :raises ProblemsError: a value cannot be read.
    """
    found: dict[str, Any] = {}
    problems = []
    for name, key in KEYS.items():
        value = values.get(name)
        if value in (None, ""):
            continue
        number = whole(value)
        if name in NUMBERS and number is None:
            problems.append(Problem(name, value, "it is no whole number above 0", f"write {name}=8 or another number"))
        found[key] = number or value
        if name == "weights_gib" and number is None:
            found[key] = _float(name, value, problems)
    args = {flag: values[name] for name, flag in FLAGS.items() if values.get(name) not in (None, "")}
    settings = plain(values.get("settings") or {})
    if not isinstance(settings, dict):
        remedy = 'write it as JSON, e.g. -e \'{"settings": {"args": {"max-num-seqs": 8}}}\''
        problems.append(Problem("settings", settings, "a dictionary with keys of llm_models is needed", remedy))
        settings = {}
    own = settings.pop("args", None) or {}
    if isinstance(own, dict):
        own = {**own, **args}
    if problems:
        raise ProblemsError(problems)
    return {**settings, **found, **({"args": own} if own else {})}


def number_above(values: Mapping[str, Any], name: str) -> float | None:
    """Return a number above 0 of the playbook's variables; null where it is not given.

    :raises ProblemsError: it is none.
    """
    if values.get(name) in (None, ""):
        return None
    problems: list[Problem] = []
    found = _float(name, values[name], problems)
    if problems:
        raise ProblemsError(problems)
    return found


def _float(name: str, value: Any, problems: list[Problem]) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found < 1e12:
        problems.append(Problem(name, value, "it is no number above 0", f"write {name}=1.5 or another number"))
        return None
    return found


def repository(text: str) -> str:
    """Return the repository of a model that is written with or without `hf://`; empty for a path."""
    name = text[len(sources.HUB) :] if text.startswith(sources.HUB) else text
    return name if sources.is_repository(name) and not text.startswith((".", "/", sources.PATH)) else ""


def unknown(text: str, known: Mapping[str, Any]) -> ProblemsError:
    """Return the error for a model whose facts are neither shipped nor to be read: the nearest that are shipped."""
    own = text[len(sources.HUB) :] if text.startswith(sources.HUB) else text
    tails = {name.rpartition("/")[2].lower(): name for name in known} | {name.lower(): name for name in known}
    close = dict.fromkeys(tails[one] for one in difflib.get_close_matches(own.lower(), tails, n=4, cutoff=0.5))
    nearest = f"did you mean {' or '.join(list(close)[:3])}; or " if close else ""
    remedy = f"{nearest}give hf://ORGANISATION/MODEL, the folder of the model, or its config.json"
    return ProblemsError([Problem("model", text, "it is no model of the catalogue and no file", remedy)])
