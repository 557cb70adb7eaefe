# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layouts of a model's files: that of transformers, Mistral's own, and what is no whole model or cannot be served.

Pure: files are read by what is handed in. vLLM finds them as `transformers_utils/config.py` (`get_config`) does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import mistral, safetensors
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.files import CONFIG, CONFIG_LIMIT, Files
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError

# ModelOpt before 0.31 keeps here how it quantised the weights.
MODELOPT = "hf_quant_config.json"
ADAPTER, GGUF = "adapter_config.json", ".gguf"
CONFIGS = (CONFIG, mistral.PARAMS)
"""Files that make a folder one of a whole model."""


class Layout(NamedTuple):
    """A model's configuration, as transformers would write it."""

    file: str
    """Where it stands."""
    config: dict[str, Any]


def read(files: Files) -> Layout:
    """Return the configuration of a model.

    :raises SourceError: there is none, or it is of something else than a whole model.
    :raises safetensors.SafetensorsError: it is not to be read.
    :raises values.ConfigError: Mistral's own says what no program serves.
    """
    config = _object(files, CONFIG)
    if config is not None:
        if config.get("quantization_config") is None:
            scheme = _object(files, MODELOPT)
            config = config if scheme is None else {**config, "quantization_config": scheme}
        return Layout(CONFIG, config)
    params = _object(files, mistral.PARAMS)
    if params is not None:
        return Layout(mistral.PARAMS, mistral.config_of(params))
    raise _other(files)


def _object(files: Files, name: str) -> dict[str, Any] | None:
    data = files.read(name, CONFIG_LIMIT)
    return None if data is None else safetensors.parse_object(data, name)


def _other(files: Files) -> SourceError:
    """Return the error of a folder or repository that is no model, which says what it is."""
    adapter = _object(files, ADAPTER)
    if adapter is not None:
        kind, base = str(adapter.get("peft_type") or "LORA")[:40], adapter.get("base_model_name_or_path")
        of = (
            base
            if isinstance(base, str) and base.isprintable() and len(base) <= 200
            else "the model that it was made for"
        )
        return SourceError(
            f"it is an adapter ({kind}) of {of}, no whole model",
            f"make {of} the source, and load the adapter with args {{enable-lora: true, lora-modules: NAME=DIRECTORY}}",
        )
    gguf = files.weights(GGUF)
    if gguf:
        return SourceError(
            f"it holds GGUF files ({gguf[0]}), for which vLLM has no loader",
            "choose the same model as safetensors, in awq, gptq or fp8 where memory is short",
        )
    return SourceError(f"it has no {CONFIG}; choose a model in the layout of transformers, or copy the whole model")
