# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plain engine with only a name and paths: it runs on CPUs, and its memory is not planned.

What an engine from outside starts from: it changes what is different.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.digits import whole
from ansible_collections.llmfleet.serving.plugins.module_utils.engines.base import Gpu, Layout
from ansible_collections.llmfleet.serving.plugins.module_utils.estimate import Estimate
from ansible_collections.llmfleet.serving.plugins.module_utils.layout import LayoutError


class PlainEngine:
    """The minimal engine."""

    litellm_provider = "hosted_vllm"
    health_path = "/health"
    metrics_path = "/metrics"
    busy_metrics: Mapping[str, str] = {}
    progress_metrics: Sequence[str] = ()
    traffic_metrics: Mapping[str, str] = {}
    devices: Sequence[str] = ("cpu",)
    least_capability = (0, 0)
    # Every program on a GPU has a CUDA context. This is what vLLM takes, and no other engine was measured.
    context_share = 0.02
    shared_memory_mib = 0
    cpu_least_mib = 256
    cpu_planned_mib = 256
    cpu_batched_tokens = 2048
    cpu_cache_variable = ""
    default_sequences = 256
    reserved_args: Mapping[str, str] = {}
    auto_context: Mapping[str, Any] = {}
    has_torch = False
    can_be_asked = False
    loads = False

    def __init__(self, name: str, title: str = "") -> None:
        self.name = name
        self.title = title or name

    def field_flags(self, device: str) -> Sequence[str]:
        """Return nothing: all args reach the engine."""
        return ()

    def pinned(self, args: Mapping[str, Any], flag: str) -> int | None:
        """Return a whole number as it stands in args."""
        return whole(args.get(flag))

    def stretched(self, args: Mapping[str, Any], env: Mapping[str, Any]) -> bool:
        """Return false: positions hold."""
        return False

    def serve_defaults(self, device: Gpu) -> tuple[int, int]:
        """Return a modest step."""
        return self.cpu_batched_tokens, self.default_sequences

    def frugal(self) -> tuple[int, int]:
        """Return the same modest step."""
        return self.cpu_batched_tokens, self.default_sequences

    def least_tokens(self, facts: Mapping[str, Any], args: Mapping[str, Any]) -> int:
        """Return one: no rules are known."""
        return 1

    def dtype(self, args: Mapping[str, Any], facts: Mapping[str, Any], device: Gpu) -> tuple[str, str]:
        """Return the model's own type."""
        return str(facts.get("dtype") or "float16"), ""

    def kv_dtype(self, args: Mapping[str, Any], facts: Mapping[str, Any], device: Gpu) -> tuple[str, str]:
        """Return the model's own type."""
        return "auto", ""

    def fp8_kv_cache(self, facts: Mapping[str, Any], device: Gpu) -> bool:
        """Return false: nothing is known of it."""
        return False

    def layout(self, facts: Mapping[str, Any], **sizes: Any) -> Layout:
        """Refuse: nothing is known of its KV cache."""
        raise LayoutError(f"The KV cache of engine {self.name} is not planned.")

    def refusal(self, facts: Mapping[str, Any], args: Mapping[str, Any], device: Gpu | None) -> tuple[str, str] | None:
        """Return nothing: no rules are known."""
        return None

    def division_refusal(
        self, facts: Mapping[str, Any], args: Mapping[str, Any], ranks: int, device: Gpu | None = None
    ) -> str:
        """Allow only one GPU."""
        return "" if ranks == 1 else f"{self.title} runs on one GPU"

    def pipeline_refusal(self, facts: Mapping[str, Any], args: Mapping[str, Any], stages: int) -> str:
        """Allow only one stage."""
        return "" if stages == 1 else f"{self.title} has no pipelines"

    def drafter(self, args: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return nothing: it has no drafters."""
        return "", None

    def rank_weight_bytes(
        self,
        facts: Mapping[str, Any],
        args: Mapping[str, Any],
        device: Gpu,
        dtype: str,
        division: tuple[int, int, int],
    ) -> int:
        """Return the weights divided by the GPUs."""
        return -(-int(facts["weight_bytes"]) // (division[0] * division[1]))

    def overheads(
        self,
        facts: Mapping[str, Any],
        args: Mapping[str, Any],
        device: Gpu,
        layout: Layout,
        tensor: int,
        tokens: int,
        sequences: int,
    ) -> Mapping[str, Estimate]:
        """Return nothing."""
        return dict.fromkeys(("activation", "cuda_graphs", "other"), Estimate(0, 0, 0))

    def sampling(self, facts: Mapping[str, Any], sequences: int) -> int:
        """Return nothing."""
        return 0

    def parse_log(self, text: str) -> dict[str, Any]:
        """Return nothing: its log is not read."""
        return {}

    def launch(self, instance: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
        """Return nothing: the plan compares its own values alone."""
        return {}

    def question(self, instance: Mapping[str, Any], args: Mapping[str, Any], env: Mapping[str, Any]) -> dict[str, Any]:
        """Return nothing: it is not asked."""
        return {}

    def answer(self, said: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return that nothing was said."""
        return {"release": "", "accepted": None, "sentence": f"{self.title} cannot be asked"}

    def load(self, limits: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return nothing: its first start is not loaded."""
        return ()

    def conformance(self, limits: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return nothing: it is checked for what every engine can."""
        return ()

    def ran_out(self, text: str) -> int | None:
        """Return nothing: its log is not read."""
        return None
