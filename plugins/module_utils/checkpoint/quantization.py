# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the weights of a checkpoint are quantised: method, groups and blocks, and which projections that concerns.

Pure. Field names are those of the tools that write checkpoints: AutoAWQ, GPTQModel, compressed-tensors, ModelOpt,
AutoRound; what an engine makes of them is not decided here.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any, Iterable, NamedTuple, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.values import MOST_WIDTH, Values

# Groups of scales along the input that formats prescribe.
_FORMAT_GROUPS = {"NVFP4": 16, "W4A16_NVFP4": 16, "MXFP8": 32, "FP8_PB_WO": 128, "FP8_BLOCK_SCALES": 128}
_MODELOPT_NAMES = {"NVFP4": "modelopt_fp4", "FP4": "modelopt_fp4", "MXFP8": "modelopt_mxfp8"}
# Patterns are untrusted: only those that match in a time that a name bounds are used. Others match nothing.
_LONGEST_PATTERN = 200
_MOST_REPEATS = 3
_MOST_PATTERNS = 100
_REPEATED_GROUP = re.compile(r"\)[*+{]|\{")


class Coded(NamedTuple):
    """How one set of weights is stored."""

    bits: int | None = None
    group: int | None = None
    """Input values that share a scale; null for whole rows, -1 for whole columns."""
    block: tuple[int, int] | None = None
    """Outputs and inputs that share a scale."""
    activations: str | None = None
    """``int8``, ``fp8`` and so on, where they are quantised too."""
    kind: str | None = None
    """``int`` or ``float``."""
    symmetric: bool | None = None
    targets: tuple[str, ...] = ()
    """Names or classes that it applies to; empty for all."""

    def facts(self) -> dict[str, Any]:
        """Return what an engine asks of it, without what is not given."""
        named = {"bits": self.bits, "kind": self.kind, "activations": self.activations, "symmetric": self.symmetric}
        return {**{key: value for key, value in named.items() if value is not None}, **self.sharing()}

    def sharing(self) -> dict[str, Any]:
        """Return the group or the block in which scales are shared; nothing for whole rows or columns."""
        found: dict[str, Any] = {}
        if self.group is not None and self.group > 0:
            found["group"] = self.group
        if self.block is not None:
            found["block"] = list(self.block)
        return found


class Scheme(NamedTuple):
    """How a checkpoint is quantised."""

    method: str | None
    kv_cache: str | None
    """``fp8`` where the checkpoint declares a KV cache of eight bits."""
    sets: tuple[Coded, ...] = ()
    skipped: frozenset[str] = frozenset()
    """Names, or runs of parts of names, of what is not quantised."""
    patterns: tuple[str, ...] = ()
    """Regular expressions of the same."""
    exact: bool = False
    """Whether `skipped` holds whole names."""

    def of(self, layers: Iterable[Sequence[str]]) -> Coded | None:
        """Return how a projection is stored, or None where each of its layers is left as it was.

        :param layers: for each layer that has it, the names that it may have, from ``layers.`` on.
        """
        if not self.sets:
            return None
        for names in layers:
            if any(self._skips(name) for name in names):
                continue
            for coded in self.sets:
                if not coded.targets or any(_targets(target, name) for target in coded.targets for name in names):
                    return coded
        return None

    def _skips(self, name: str) -> bool:
        return any(run in self.skipped for run in ([name] if self.exact else _runs(name))) or any(
            _matches(pattern, name) for pattern in self.patterns
        )


NONE = Scheme(None, None)


def _tail(name: str) -> str:
    """Return a name from ``layers.`` on, as prefixes of the same module differ between model classes."""
    place = name.find("layers.")
    return name[place:] if place > 0 else name


def _runs(name: str) -> Iterable[str]:
    """Yield the runs of parts of a dotted name."""
    parts = name.split(".")
    for first in range(len(parts)):
        for last in range(first, len(parts)):
            yield ".".join(parts[first : last + 1])


def _matches(pattern: str, name: str) -> bool:
    """Check a name against a pattern, which is written for the full name, or for the language model's."""
    return any(re.match(pattern, prefix + name) for prefix in ("model.", "language_model.model.", ""))


def _usable(pattern: str) -> bool:
    repeats = pattern.count("*") + pattern.count("+")
    if len(pattern) > _LONGEST_PATTERN or repeats > _MOST_REPEATS or _REPEATED_GROUP.search(pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _targets(target: str, name: str) -> bool:
    if target.startswith("re:"):
        return _usable(target[3:]) and _matches(target[3:], name)
    return target == "Linear" or _tail(target) == name


def scheme_of(root: Values, text: Values) -> Scheme:
    """Return how the weights are quantised, from `quantization_config` or its older name.

    Raises `ConfigError` for one that is malformed.
    """
    for values in (root, text):
        for name in ("quantization_config", "compression_config"):
            inner = values.inner(name)
            if inner is not None:
                return _scheme(inner)
    return NONE


def _scheme(given: Values) -> Scheme:
    inside = given.given.get("quantization")
    modelopt = given.inner("quantization") if isinstance(inside, dict) else None
    method, algorithm = _method(given, modelopt)
    # What names no method is no scheme: vLLM then takes the weights and the cache as they are.
    kv_cache = _kv_cache(given, modelopt) if method else None
    skipped, patterns = _skipped(given, modelopt)
    if method and method.startswith("modelopt"):
        group = _FORMAT_GROUPS.get(algorithm)
        return Scheme(
            method, kv_cache, (Coded(4 if "FP4" in algorithm else 8, group, kind="float"),), skipped, patterns
        )
    if method == "compressed-tensors":
        return Scheme(method, kv_cache, tuple(_groups(given)), skipped, patterns, exact=True)
    if method == "mxfp8":
        return Scheme(method, kv_cache, (Coded(8, _FORMAT_GROUPS["MXFP8"], kind="float"),), skipped, patterns)
    block = given.integers("weight_block_size", most=MOST_WIDTH, least=1)
    coded = Coded(
        bits=given.integer("bits", "w_bit", most=64),
        group=given.integer("group_size", "q_group_size", most=MOST_WIDTH, least=-1),
        block=(block[0], block[1]) if block and len(block) == 2 else None,
        symmetric=given.flag("sym", default=True) if method == "gptq" else None,
    )
    return Scheme(method, kv_cache, (coded,) if method else (), skipped, patterns, exact=method == "fp8")


def _method(given: Values, modelopt: Values | None) -> tuple[str | None, str]:
    """Return the method as vLLM names it, and ModelOpt's algorithm in capitals."""
    method = given.text("quant_method")
    producer = given.inner("producer")
    if method is None and producer is not None and producer.text("name") == "modelopt":
        method = "modelopt"
    method = method.lower().replace("compressed_tensors", "compressed-tensors") if method else None
    if method is None or not method.startswith("modelopt"):
        return method, ""
    algorithm = ((modelopt or given).text("quant_algo") or "").upper()
    if algorithm == "MIXED_PRECISION":
        return "modelopt_mixed", algorithm
    for mark, name in _MODELOPT_NAMES.items():
        if mark in algorithm:
            return name, algorithm
    return method, algorithm


def _kv_cache(given: Values, modelopt: Values | None) -> str | None:
    """Return "fp8" where the checkpoint declares a KV scheme of eight bits; fp8 weights alone do not."""
    for values in (modelopt, given):
        if values is None:
            continue
        algorithm = values.get("kv_cache_scheme", "kv_cache_quant_algo")
        if isinstance(algorithm, dict):
            inner = Values(algorithm)
            if inner.get("num_bits") == 8 and inner.get("type") == "float":
                return "fp8"
        elif isinstance(algorithm, str) and algorithm.lower() == "fp8":
            return "fp8"
    return None


def _skipped(given: Values, modelopt: Values | None) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the names and the patterns of what is not quantised."""
    found: list[str] = []
    for values in (given, modelopt):
        if values is None:
            continue
        for name in ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules"):
            held = values.given.get(name)
            if isinstance(held, list):
                found += [item for item in held if isinstance(item, str) and item]
    # GPTQModel writes what it leaves out as patterns that begin with a minus.
    dynamic = given.given.get("dynamic")
    if isinstance(dynamic, dict):
        found += ["re:" + key[2:] for key in dynamic if isinstance(key, str) and key.startswith("-:")]
    patterns = {item[3:] for item in found if item.startswith("re:")}
    # ModelOpt writes wildcards; one at the end covers all below a name, and it too.
    patterns |= {fnmatch.translate(item).replace("(?>", "(?:") for item in found if "*" in item and item[:3] != "re:"}
    names = frozenset(_tail(item) for item in found if "*" not in item and not item.startswith("re:"))
    return names, tuple(sorted(filter(_usable, patterns)))[:_MOST_PATTERNS]


def _groups(given: Values) -> Iterable[Coded]:
    """Yield the sets of a checkpoint of compressed-tensors."""
    groups = given.inner("config_groups")
    for name in groups.given if groups else ():
        group = groups.inner(name) if groups else None
        weights = group.inner("weights") if group else None
        if group is None or weights is None:
            continue
        inputs = group.inner("input_activations")
        block = weights.integers("block_structure", most=MOST_WIDTH, least=1)
        strategy = weights.text("strategy")
        kind, size = weights.text("type"), weights.integer("group_size", most=MOST_WIDTH, least=-1)
        targets = group.given.get("targets")
        yield Coded(
            bits=weights.integer("num_bits", most=64),
            group=size if strategy in ("group", "tensor_group") else None,
            block=(block[0], block[1]) if strategy == "block" and block and len(block) == 2 else None,
            activations=_activations(inputs),
            kind=kind,
            symmetric=weights.flag("symmetric", default=True),
            targets=tuple(item for item in targets if isinstance(item, str)) if isinstance(targets, list) else (),
        )


def _activations(inputs: Values | None) -> str | None:
    if inputs is None:
        return None
    bits = inputs.integer("num_bits", most=64)
    return f"{'fp' if inputs.text('type') == 'float' else 'int'}{bits}" if bits else None
