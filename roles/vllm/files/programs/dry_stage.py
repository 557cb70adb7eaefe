# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the stages of an instance as the installed vLLM would, without memory for their tensors."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import linecache
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vllm
from dry_ranks import META, join, on_meta

# What most models import while they are built, and every child would import again. None of these keeps an answer of
# the card.
NEEDED_BY_MOST = (
    "vllm.distributed.eplb.eplb_state",
    "vllm.model_executor.layers.fused_moe",
    "vllm.model_executor.models.qwen2",
    "vllm.third_party.flash_linear_attention.ops",
    "vllm.v1.attention.backends.flashinfer",
    "vllm.v1.attention.backends.flex_attention",
    "vllm.v1.attention.backends.triton_attn",
    "vllm.v1.attention.backends.turboquant_attn",
)
# An error that one of these packages raises by itself is a refusal; any other is a defect of the dry start.
JUDGES = ("vllm", "transformers", "huggingface_hub")
# In these words vLLM says that it cannot import a class of its own here, which says nothing about the host of the card.
UNSEEN = "failed to be inspected"


# At this a drafter ends that takes itself for the last stage of its own pipeline: its first step is run at the start.
WAITING = "assert intermediate_tensors is not None"


class RefusedError(Exception):
    """vLLM would not start with this; the text is its own."""


def _is_own(error: BaseException) -> bool:
    """Whether vLLM itself refused by this error, instead of failing over something that only a real card has."""
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    installed = Path(vllm.__file__).parents[1]
    by_judge = any(Path(last.filename).is_relative_to(installed / name) for name in JUDGES)
    return by_judge and line.startswith(("raise", "assert"))


def _sentence(error: BaseException) -> str:
    """Return what an error says, in one line."""
    if hasattr(error, "errors"):  # pydantic's
        found = [
            item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ") for item in error.errors()
        ]
        return "; ".join(" ".join(text.split()) for text in found)
    if not str(error):
        last = traceback.extract_tb(error.__traceback__)[-1]
        return linecache.getline(last.filename, last.lineno or 0).strip()
    return " ".join(str(error).split())


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what vLLM refuses by into a RefusedError."""
    try:
        yield
    except RefusedError:
        raise
    except (ImportError, OSError):
        # A package is missing here, which says nothing about the host of the card.
        raise
    except Exception as error:
        if not _is_own(error) or UNSEEN in str(error):
            raise
        raise RefusedError(_sentence(error)) from error


def _config(argv: list[str]) -> Any:
    """Return the VllmConfig of a command line, as the server makes it."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]
        """A parser that raises instead of ending the process."""

        def error(self, message: str) -> Any:
            raise RefusedError(message)

    args = make_arg_parser(Parser()).parse_args(argv)
    engine = AsyncEngineArgs.from_cli_args(args)
    engine.load_format, engine.skip_tokenizer_init = "dummy", True
    # It belongs to the server in front, and wants the tokenizer; the program that checks flags knows its name.
    engine.reasoning_parser = ""
    engine.structured_outputs_config.reasoning_parser = ""
    if engine.tensor_parallel_size * engine.pipeline_parallel_size > 1 and not engine.distributed_executor_backend:
        engine.distributed_executor_backend = "mp"
    return engine.create_engine_config(UsageContext.OPENAI_API_SERVER)


def _initialize_without_loading() -> None:
    """Have vLLM's loaders of drafts build their model only."""
    from vllm.model_executor import model_loader
    from vllm.model_executor.model_loader.utils import initialize_model

    def get_model(*, vllm_config: Any, model_config: Any = None, prefix: str = "", **_others: Any) -> Any:
        return initialize_model(vllm_config, model_config=model_config or vllm_config.model_config, prefix=prefix)

    model_loader.get_model = get_model


class UnknownError(BaseException):
    """A model cannot be built on this machine. vLLM catches every Exception of that kind and calls it a refusal."""


def look_at_models_here() -> None:
    """Have vLLM look at classes of models in this process, which is thrown away, instead of in another."""
    from vllm.model_executor.models import registry

    def run(work: Any) -> Any:
        try:
            return work()
        except Exception as error:
            raise UnknownError(f"{type(error).__name__}: {error}") from error

    registry._run_in_subprocess = run


def save_time() -> None:
    """Do once for all questions what each would do again, and leave out what only reloading of weights needs."""
    from vllm.model_executor.layers.quantization import get_quantization_config
    from vllm.model_executor.model_loader import utils

    # It imports every method of quantisation, whichever is asked for.
    get_quantization_config("fp8")
    utils.record_metadata_for_reloading = lambda _model: None
    for name in NEEDED_BY_MOST:
        # Another release may lack one, which is then imported where it is needed.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


class Stage:
    """One pipeline stage of an instance, on the meta device."""

    def __init__(self, argv: list[str], number: int) -> None:
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader.utils import initialize_model
        from vllm.platforms import current_platform
        from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec

        self.config = config = _config(argv)
        if current_platform.is_cuda():
            # A worker on a GPU asks this before it does anything else.
            current_platform.check_if_supports_dtype(config.model_config.dtype)
        join(config, number)
        with on_meta(config.model_config.dtype):
            _prepare_workspace()
            self.model = initialize_model(config)
            seen: set[int] = set()
            self.weights = _tensor_bytes(self.model.parameters(), seen)
            self.draft_weights = self._build_draft(seen) if self._is_last() else 0
            self.lora = self._build_lora()
        with set_current_vllm_config(config):
            current_platform.update_block_size_for_backend(config)
            self.specs = get_kv_cache_spec(config)

    def _is_last(self) -> bool:
        """Whether it is the stage at the end of the pipeline, which alone has the drafter."""
        from vllm.distributed import get_pp_group

        return bool(get_pp_group().is_last_rank)

    def _build_draft(self, seen: set[int]) -> int:
        """Build the drafter beside the model; return the bytes of the weights that it does not share."""
        speculative = self.config.speculative_config
        if speculative is None or speculative.draft_model_config is None:
            return 0
        from vllm.config import set_current_vllm_config
        from vllm.v1.worker.gpu.spec_decode import init_speculator

        _initialize_without_loading()
        with set_current_vllm_config(self.config):
            speculator = init_speculator(self.config, META, None)
            speculator.load_model(self.model)
        if self.config.parallel_config.pipeline_parallel_size > 1 and _waits_for_a_stage(speculator.model):
            raise RefusedError(WAITING)
        return _tensor_bytes(speculator.model.parameters(), seen)

    def _build_lora(self) -> int:
        """Add what adapters need to the model; return its bytes."""
        if not self.config.lora_config:
            return 0
        from vllm.config import set_current_vllm_config
        from vllm.v1.worker.lora_model_runner_mixin import LoRAModelRunnerMixin

        before = _all_tensor_bytes(self.model)
        _choose_kernels(self.model)
        _make_no_views()
        with set_current_vllm_config(self.config):
            self.model = LoRAModelRunnerMixin().load_lora_model(self.model, self.config, META)
        return _all_tensor_bytes(self.model) - before

    def backends(self) -> list[str]:
        """Return the names of the attention backends, as vLLM's log gives them."""
        return sorted({layer.get_attn_backend().get_name() for layer in attention_layers(self.config).values()})

    def describe(self) -> dict[str, Any]:
        """Return the bytes that the stage holds on each of its ranks."""
        return {
            "weights_bytes": self.weights,
            "buffers_bytes": _tensor_bytes(self.model.buffers(), set()),
            "mla_copies_bytes": _mla_copies(self.model),
            "draft_weights_bytes": self.draft_weights,
            "lora_bytes": self.lora,
        }


def _waits_for_a_stage(model: Any) -> bool:
    """Whether a part of a drafter reads what an earlier stage would have sent, which nobody sends to a drafter."""
    for kind in {type(module) for module in model.modules()}:
        # Modules of torch itself are compiled, and have no source.
        with contextlib.suppress(OSError, TypeError):
            if WAITING in inspect.getsource(kind.forward):
                return True
    return False


def _prepare_workspace() -> None:
    """Give attention backends the scratch space that a worker has when it builds a model."""
    with contextlib.suppress(ImportError):
        from vllm.v1.worker.workspace import init_workspace_manager

        init_workspace_manager(META)


def attention_layers(config: Any) -> dict[str, Any]:
    from vllm.config import get_layers_from_vllm_config
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase

    return dict(get_layers_from_vllm_config(config, AttentionLayerBase))


def _tensor_bytes(tensors: Any, seen: set[int]) -> int:
    """Return the bytes of tensors, each counted once."""
    total = 0
    for tensor in tensors:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            total += tensor.numel() * tensor.element_size()
    return total


def _all_tensor_bytes(model: Any) -> int:
    """Return the bytes of all tensors that the modules of a model hold, also in lists; views hold none of their own."""
    import torch

    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        for value in vars(module).values():
            items = value if isinstance(value, (list, tuple)) else [value]
            tensors += [item for item in items if isinstance(item, torch.Tensor)]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def _make_no_views() -> None:
    """Have experts make matrices of adapters only, and not a view of each expert's, which takes the most time."""
    import torch
    from vllm.lora.layers.fused_moe import FusedMoEWithLoRA

    def create(self: Any, max_loras: int, lora_config: Any, _model_config: Any = None) -> None:
        self._verify_ep_fs(lora_config)
        self.max_loras, self.fully_sharded = max_loras, lora_config.fully_sharded_loras
        self.enable_moe_shared_loras = lora_config.enable_moe_shared_loras
        self.adapter_enabled = torch.zeros(max_loras + 1, dtype=torch.int)
        self._create_lora_a_weights(max_loras, lora_config)
        self._create_lora_b_weights(max_loras, lora_config)

    FusedMoEWithLoRA.create_lora_weights = create


def _choose_kernels(model: Any) -> None:
    """Give experts the kernel that vLLM has chosen for them, which it makes once weights are loaded: adapters ask it
    whether it takes them."""
    from vllm.model_executor.layers.fused_moe import modular_kernel
    from vllm.model_executor.layers.fused_moe.config import FUSED_MOE_UNQUANTIZED_CONFIG
    from vllm.model_executor.layers.fused_moe.prepare_finalize.no_dp_ep import MoEPrepareAndFinalizeNoDPEPModular

    for module in model.modules():
        method = getattr(module, "quant_method", None)
        chosen = getattr(method, "experts_cls", None)
        if chosen is None or method.moe_kernel is not None or chosen.is_monolithic():
            continue
        kernel = object.__new__(modular_kernel.FusedMoEKernel)
        kernel.impl = object.__new__(modular_kernel.FusedMoEKernelModularImpl)
        kernel.impl.fused_experts = object.__new__(chosen)
        kernel.impl.fused_experts.moe_config = method.moe
        kernel.impl.prepare_finalize = MoEPrepareAndFinalizeNoDPEPModular()
        method.moe_kernel = kernel
        method.moe_quant_config = method.moe_quant_config or FUSED_MOE_UNQUANTIZED_CONFIG


def _mla_copies(model: Any) -> int:
    """Return the bytes of the matrices that MLA unpacks from a quantised `kv_b_proj` after loading.

    They are two of `num_heads x kv_lora_rank x head_dim` in bfloat16 (MLAAttention.process_weights_after_loading).
    """
    total = 0
    for module in model.modules():
        if type(module).__name__ != "MLAAttention" or not hasattr(module, "kv_b_proj"):
            continue
        if type(module.kv_b_proj.quant_method).__name__ != "UnquantizedLinearMethod":
            total += 2 * module.num_heads * module.kv_lora_rank * (module.qk_nope_head_dim + module.v_head_dim)
    return total
