# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of the model that is asked about: shipped ones, those of a folder or of a config.json, else those of a hub."""

from __future__ import annotations

import posixpath
from typing import Any, Callable, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import (
    estimate,
    files,
    layouts,
    safetensors,
    sources,
)
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import ConfigError, describe
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.folder import Folder
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.safetensors import SafetensorsError
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError
from ansible_collections.llmfleet.serving.plugins.module_utils.host import files as host_files
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem, ProblemsError
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import question

SHIPPED = posixpath.join(posixpath.dirname(__file__), "facts.json")
"""Written by scripts/catalog_facts.py."""


class Reader(NamedTuple):
    """What reads models: the folder from which paths are meant, and the way to a hub."""

    directory: str
    hub: Callable[[str], Mapping[str, Any]]

    def read(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return the source of a model and its facts, as `model_info` returns them.

        :raises ProblemsError: it is no model, or cannot be read.
        """
        shipped: dict[str, dict[str, Any]] = host_files.read_json(SHIPPED) or {}
        name = question.repository(text)
        if name in shipped:
            return f"{sources.HUB}{name}", shipped[name]
        if not text.startswith(sources.HUB):
            own = text[len(sources.PATH) :] if text.startswith(sources.PATH) else text
            path = posixpath.normpath(posixpath.join(self.directory, posixpath.expanduser(own)))
            facts = _local(text, path)
            if facts is not None:
                return f"{sources.PATH}{path}", facts
        if text.startswith(sources.HUB) and name:
            return text, {**self.hub(text)}
        raise question.unknown(text, shipped)


def _local(text: str, path: str) -> dict[str, Any] | None:
    """Return the facts of a model's folder, or of its config.json alone; null where there is no such file."""
    try:
        facts, config = _described(path)
    except FileNotFoundError:
        return None
    except (ConfigError, SourceError, SafetensorsError, OSError, ValueError) as error:
        remedy = "give the folder of a model, or its config.json"
        raise ProblemsError([Problem("model", text, str(error).rstrip("."), remedy)]) from None
    if not facts["weight_bytes"]:
        facts.update(weight_bytes=estimate.weight_bytes(facts, config), weight_bytes_source="config")
    return facts


def _described(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts of a model and its configuration."""
    try:
        found = host_files.open_regular(path)
    except host_files.IrregularError:
        folder = Folder(path)
        config = layouts.read(folder).config
        return {**describe(config), **files.read_weights(folder, describe(config))}, config
    if found is None:
        raise FileNotFoundError(path)
    with found[0] as file:
        config = safetensors.parse_object(
            files.within(file.read(files.CONFIG_LIMIT + 1), files.CONFIG_LIMIT, path), path
        )
    return {**describe(config), "weight_bytes": None}, config
