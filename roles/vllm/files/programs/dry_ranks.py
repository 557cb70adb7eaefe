# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for the ranks of an instance: one process builds the model as each stage's first rank would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

META = torch.device("meta")


class Group:
    """What vLLM asks of a group of ranks while a model is built; nothing is ever sent."""

    def __init__(self, world_size: int, rank: int, name: str) -> None:
        self.world_size = world_size
        self.rank = self.rank_in_group = self.local_rank = rank
        self.device_index = 0
        self.ranks = list(range(world_size))
        self.unique_name = f"{name}:0"
        self.cpu_group = self.device_group = _Process(world_size, rank)
        self.device_communicator = self.mq_broadcaster = None
        self.use_custom_op_call = False
        self.device = META
        self.first_rank, self.last_rank = 0, world_size - 1
        self.is_first_rank, self.is_last_rank = rank == 0, rank == world_size - 1
        self.next_rank, self.prev_rank = (rank + 1) % world_size, (rank - 1) % world_size

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def barrier(self) -> None:
        """Nobody waits."""


class _Process:
    """A process group of torch."""

    def __init__(self, size: int, rank: int) -> None:
        self._size, self._rank = size, rank

    def size(self) -> int:
        return self._size

    def rank(self) -> int:
        return self._rank


def join(config: Any, stage: int) -> None:
    """Be the first rank of a pipeline stage of the instance that a VllmConfig describes."""
    from vllm.distributed import parallel_state

    parallel = config.parallel_config
    tensor, pipeline, data = (
        parallel.tensor_parallel_size,
        parallel.pipeline_parallel_size,
        parallel.data_parallel_size,
    )
    groups = {
        "_WORLD": (tensor * pipeline, stage * tensor),
        "_TP": (tensor, 0),
        "_PP": (pipeline, stage),
        "_DP": (data, 0),
        # Experts are spread over all ranks of all replicas of a stage.
        "_EP": (tensor * data, 0),
        "_EPLB": (tensor * data, 0),
        "_DCP": (getattr(parallel, "decode_context_parallel_size", 1), 0),
        "_PCP": (getattr(parallel, "prefill_context_parallel_size", 1), 0),
        "_INNER_DP_WORLD": (1, 0),
        "_ETP": (tensor, 0),
    }
    for name, (size, rank) in groups.items():
        if hasattr(parallel_state, name):
            setattr(parallel_state, name, Group(size, rank, name.lower()))


class _ToMeta(TorchFunctionMode):
    """Puts every tensor on the meta device, wherever the code wants it: it has a shape and no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if kwargs.get("device") is not None:
            kwargs["device"] = META
        kwargs.pop("pin_memory", None)
        on_meta = bool(args) and getattr(args[0], "is_meta", False)
        if name in ("cuda", "cpu", "pin_memory") and on_meta:
            return args[0]
        if name == "item" and on_meta:
            # Only texts of the log ask for a number.
            return 0
        if name == "to":
            args = tuple(META if _is_device(value) else value for value in args)
        return func(*args, **kwargs)


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value.split(":")[0] in ("cuda", "cpu"))


@contextmanager
def on_meta(dtype: torch.dtype) -> Iterator[None]:
    """Build what is built inside on the meta device, in a dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with META, _ToMeta():
            yield
    finally:
        torch.set_default_dtype(before)
