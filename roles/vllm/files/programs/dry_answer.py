# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read off what vLLM decided for an instance, and how it lays out its KV cache."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dry_stage import Stage, attention_layers, refusals


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return what vLLM makes of a question; raise dry_stage.RefusedError if it would not start."""
    argv = question["argv"]
    with refusals():
        first = Stage(argv, 0)
        later = range(1, first.config.parallel_config.pipeline_parallel_size)
        stages = [first, *(Stage(argv, number) for number in later)]
        _resolve_layout(stages)
        return {**_decisions(stages), **_cache(stages, question)}


def _resolve_layout(stages: list[Stage]) -> None:
    """Choose the layout of the KV cache that all backends support, as the core of the engine does."""
    from vllm.config import set_current_vllm_config
    from vllm.distributed.kv_transfer.kv_connector.utils import get_current_attn_backends
    from vllm.v1.attention.backends.utils import get_supported_kv_cache_layouts, resolve_kv_cache_layout

    supported = []
    for stage in stages:
        with set_current_vllm_config(stage.config):
            layouts = get_supported_kv_cache_layouts(get_current_attn_backends(stage.config))
        supported.append([layout.name for layout in layouts])
    if specs := [spec for stage in stages for spec in stage.specs.values()]:
        resolve_kv_cache_layout(stages[0].config, supported, specs)


def _plain(dtype: Any) -> str:
    return str(dtype).replace("torch.", "")


def _decisions(stages: list[Stage]) -> dict[str, Any]:
    from vllm.model_executor.models import supports_lora, supports_pp

    config = stages[0].config
    model, cache, scheduler = config.model_config, config.cache_config, config.scheduler_config
    return {
        "architectures": model.architectures,
        "dtype": _plain(model.dtype),
        "quantization": model.quantization,
        "kv_cache_dtype": cache.cache_dtype,
        "attention_backends": sorted({name for stage in stages for name in stage.backends()}),
        "max_model_len": model.max_model_len,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "max_num_seqs": scheduler.max_num_seqs,
        "prefix_caching": cache.enable_prefix_caching,
        "mamba_cache_mode": cache.mamba_cache_mode,
        "block_size": cache.block_size,
        "stages": [stage.describe() for stage in stages],
        "pipeline_supported": bool(supports_pp(stages[0].model)),
        "lora_supported": bool(supports_lora(stages[0].model)),
    }


def _groups(stages: list[Stage]) -> tuple[list[Any], list[list[Any]]]:
    """Return the groups of layers that share blocks, of the instance and of each stage."""
    from dataclasses import replace

    from vllm.v1.core import kv_cache_utils as utils
    from vllm.v1.kv_cache_interface import SlidingWindowSpec

    config = stages[0].config
    merged = {name: spec for stage in stages for name, spec in stage.specs.items()}
    # get_kv_cache_configs does the same before it groups.
    retained = max(0, getattr(config, "num_prefill_lookahead_tokens", 0) - 1)
    for name, spec in merged.items():
        if isinstance(spec, SlidingWindowSpec) and retained:
            merged[name] = replace(spec, extra_retained_tokens=retained)
    groups = utils.get_kv_cache_groups(config, merged)
    return groups, [utils._project_kv_cache_groups_to_worker(groups, stage.specs) for stage in stages]


def _cache(stages: list[Stage], question: dict[str, Any]) -> dict[str, Any]:
    """Return how the KV cache is laid out, and what fits in the sizes that were asked for."""
    from vllm.v1.core import kv_cache_utils as utils
    from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs

    config = stages[0].config
    if not any(stage.specs for stage in stages):
        return {"groups": [], "bytes_per_block": [], "requests": [], "caches": []}
    register_all_kvcache_specs(config)
    groups, per_stage = _groups(stages)
    return {
        "groups": [
            {
                "kind": type(group.kv_cache_spec).__name__,
                "layers": len(group.layer_names),
                "block_size": group.kv_cache_spec.block_size,
                "page_bytes": group.kv_cache_spec.page_size_bytes,
            }
            for group in groups
        ],
        "kernel_block_sizes": _kernel_block_sizes(stages[0], groups),
        "bytes_per_block": [utils._pool_bytes_per_block(config, own) for own in per_stage],
        "requests": [_request(config, groups, per_stage, length) for length in question["lengths"]],
        "caches": [_capacity(stages, size) for size in question["kv_cache_bytes"]],
    }


def _kernel_block_sizes(stage: Stage, groups: list[Any]) -> list[int]:
    """Return the tokens that the kernels of each group read as one block."""
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.worker.utils import AttentionGroup, prepare_kernel_block_sizes

    layers = attention_layers(stage.config)
    attention: list[list[Any]] = []
    for number, group in enumerate(groups):
        by_backend: dict[str, Any] = {}
        for name in group.layer_names:
            if name in layers:
                backend = layers[name].get_attn_backend()
                key = backend.get_name()
                if key not in by_backend:
                    spec = getattr(group.kv_cache_spec, "kv_cache_specs", {}).get(name, group.kv_cache_spec)
                    by_backend[key] = AttentionGroup(backend, [name], spec, number)
        attention.append(list(by_backend.values()))
    layout = KVCacheConfig(num_blocks=0, kv_cache_tensors=[], kv_cache_groups=groups)
    return [int(size) for size in prepare_kernel_block_sizes(layout, attention)]


def _with_length(config: Any, length: int, original: int) -> Any:
    """Have a configuration speak of another longest request, for a while."""
    model, cache = config.model_config, config.cache_config
    before = model.max_model_len, getattr(model, "original_max_model_len", None), cache.block_size

    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        model.max_model_len, model.original_max_model_len = length, original
        try:
            yield
        finally:
            model.max_model_len, model.original_max_model_len, cache.block_size = before

    return changed()


def _request(config: Any, groups: list[Any], per_stage: list[list[Any]], length: int) -> dict[str, Any]:
    """Return the blocks of one request, and the bytes with which an instance for it alone starts."""
    from vllm.v1.core import kv_cache_utils as utils

    with _with_length(config, length, length):
        need = [utils._max_memory_usage_bytes_from_groups(config, own) for own in per_stage]
        blocks = [-(-g.kv_cache_spec.max_memory_usage_bytes(config) // g.kv_cache_spec.page_size_bytes) for g in groups]
    # One block of the pool is never given to a request.
    spare = [utils._pool_bytes_per_block(config, own) for own in per_stage]
    return {"length": length, "blocks": blocks, "bytes_to_start": [n + s for n, s in zip(need, spare)]}


def _capacity(stages: list[Stage], size: int) -> dict[str, Any]:
    """Return what fits in a KV cache of a size, with the longest context that does and with the one that is set."""
    config = stages[0].config
    derived = config.model_config.max_model_len
    return {
        "kv_cache_bytes": size,
        "longest": _planned(stages, size, derived, -1),
        "as_set": _planned(stages, size, derived, derived),
    }


def _planned(stages: list[Stage], size: int, length: int, original: int) -> dict[str, Any]:
    from vllm.v1.core import kv_cache_utils as utils

    config = stages[0].config
    with _with_length(config, length, original):
        try:
            configs = utils.get_kv_cache_configs(config, [dict(stage.specs) for stage in stages], [size] * len(stages))
            layout = utils.generate_scheduler_kv_cache_config(configs)
            tokens, concurrency = utils.get_kv_cache_capacity(config, layout)
        except ValueError as error:
            return {"refusal": " ".join(str(error).split())}
        return {
            "max_model_len": config.model_config.max_model_len,
            "blocks": layout.num_blocks,
            "tokens": tokens,
            "concurrency": round(concurrency, 4),
        }
