# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What speculative decoding adds to a model: layers in its KV cache, tokens kept for proposals, weights.

Sources, vLLM 0.32: `SpeculativeConfig` of `config/speculative.py`, `load_eagle_model` of
`v1/worker/gpu/spec_decode/eagle/utils.py`, `MambaBase.get_kv_cache_spec`. A draft model whose files were read is
`drafter` of the facts; the shape of another one is taken from its name, or assumed to be large.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.flags import pinned, structure
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.kv_groups import DTYPE_BYTES
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.rank_weights import routed_bytes

FLAG = "speculative-config"
# Methods that propose without a cache and without weights worth counting.
_WITHOUT_MODEL = ("ngram", "ngram_gpu", "suffix", "custom_class")
_MTP = ("mtp", "nextn")
_EAGLE = ("eagle", "eagle3", "dflash", "dspark")
# Types of models whose layer for prediction attends to a window; vLLM makes one of it, whatever the config says.
_WINDOWED_MTP = ("mimo_v2",)
_MTP_IN_ONE_STAGE = ("bailing_moe", "exaone4_5", "exaone_moe", "qwen3_next")
# EAGLE 3 has a vocabulary of its own of this many tokens in published heads.
_EAGLE_VOCABULARY = 32_000
# Published draft models by their names: layers, key-value heads, width of a head, parameters.
_KNOWN = (
    (r"llama.*\b1b", 16, 8, 64, 1_235_814_400),
    (r"llama.*\b3b", 28, 8, 128, 3_212_749_824),
    (r"llama.*\b8b", 32, 8, 128, 8_030_261_248),
    (r"qwen3.*\b0\.6b", 28, 8, 128, 596_049_920),
    (r"qwen3.*\b1\.7b", 28, 8, 128, 1_720_574_976),
    (r"qwen3.*\b4b", 36, 8, 128, 4_022_468_096),
    (r"qwen2\.5.*\b0\.5b", 24, 2, 64, 494_032_768),
    (r"qwen2\.5.*\b1\.5b", 28, 2, 128, 1_543_714_304),
    (r"qwen2\.5.*\b3b", 36, 2, 128, 3_085_938_688),
    (r"gemma-3.*\b270m", 18, 1, 256, 268_098_176),
    (r"gemma-3.*\b1b", 26, 1, 256, 999_885_952),
)
# Names round sizes down: Llama-3.2-1B has 1.24 thousand million parameters.
_ROUNDED = 1.25
_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
# Layers, key-value heads and width of a draft model of which nothing is known: those of 8 thousand million parameters.
_ASSUMED = (32, 8, 128, 8_000_000_000)


class Drafter(NamedTuple):
    """What a drafter adds."""

    method: str = ""
    """As vLLM names it; empty without speculative decoding."""
    tokens: int = 0
    """Tokens that it proposes in one step."""
    layers: tuple[Mapping[str, Any], ...] = ()
    """Its entries in the KV cache, as in the facts of a model."""
    parameters: int = 0
    """Numbers in its weights, without those that it shares with the model."""
    weight_bytes: int | None = None
    """Bytes of its weights where its files were read."""
    known: bool = True
    """Whether shape and weights are its own, and not assumed."""
    whole: int = 0
    """Those of its numbers that every rank has: an EAGLE head's projection of its inputs."""


NONE = Drafter()


def of(facts: Mapping[str, Any], args: Mapping[str, Any]) -> Drafter:
    """Return what the drafter of a model's args adds; `NONE` for none."""
    config = structure(args, FLAG)
    if not config:
        return NONE
    method = _method(config, facts)
    # vLLM makes one layer for prediction where the config does not count them (Qwen3-Next).
    predicting = _mtp_layers(facts) or 1
    tokens = pinned(config, "num_speculative_tokens") or (predicting if method == "mtp" else 0)
    if method in _WITHOUT_MODEL:
        return Drafter(method, tokens)
    if method == "mtp":
        return Drafter(method, tokens, _mtp(facts, predicting), weight_bytes=_layer_bytes(facts) * predicting)
    read = _read(facts, config)
    if read is not None:
        layers = tuple({**layer} for layer in read["layers"])
        numbers, size = int(read.get("parameters") or 0), read.get("weight_bytes")
        return Drafter(method, tokens, layers, numbers, size, whole=_fused(facts, method, int(read["hidden_size"])))
    if method in _EAGLE:
        entry, fused = _attention(facts, 1), _fused(facts, method, int(facts["hidden_size"]))
        return Drafter(method, tokens, (entry,), _eagle_parameters(facts, method), known=False, whole=fused)
    if method in ("medusa", "mlp_speculator"):
        return Drafter(method, tokens, (), tokens * int(facts["hidden_size"]) ** 2, known=False)
    count, heads, width, parameters, known = _shape_of(str(config.get("model") or ""))
    entry = _entry(count, heads, width)
    return Drafter(method, tokens, (entry,), parameters, known=known)


def source(args: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return where the files of a drafter are, as the source of a model, and their revision; empty for none."""
    config = structure(args, FLAG)
    name = str(config.get("model") or "")
    # These are names of methods, not of models.
    if not name or name.strip("[]") in (*_WITHOUT_MODEL, *_MTP):
        return "", None
    revision = config.get("revision")
    text = f"path:{name}" if name.startswith("/") else f"hf://{name}"
    return text, None if revision is None else str(revision)


def _read(facts: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the facts of the drafter's files, if those of this one were read."""
    read = facts.get("drafter")
    if not isinstance(read, Mapping) or read.get("layers") is None:
        return None
    asked = source({FLAG: config})[0]
    return read if read.get("source") in (None, asked) else None


def refusal(facts: Mapping[str, Any], args: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why vLLM refuses a model with its drafter (`verify_equal_vocab_size_if_draft_model`), and the remedy."""
    config = structure(args, FLAG)
    read = _read(facts, config) if config else None
    if read is None or _method(config, facts) != "draft_model" or not read.get("vocab_size"):
        return None
    own, model = int(read["vocab_size"]), int(facts["vocab_size"])
    if own == model:
        return None
    text = f"the draft model {config['model']} has {own} tokens in its vocabulary, the model {model}"
    return text, f"take a draft model of the same family, or leave {FLAG} out of args"


def division_refusal(facts: Mapping[str, Any], args: Mapping[str, Any], tensor: int) -> str:
    """Return why vLLM cannot distribute the drafter beside a model over so many ranks
    (`_verify_and_get_draft_tp`, `verify_with_parallel_config`); empty where it can.
    """
    config = structure(args, FLAG)
    if not config:
        return ""
    own = pinned(config, "draft_tensor_parallel_size")
    if own not in (None, 1, tensor):
        return f"{FLAG} draft_tensor_parallel_size {own} is neither 1 nor TP {tensor}"
    read, over = _read(facts, config), ranks(args, tensor)
    heads = int((read or {}).get("num_attention_heads") or 0)
    if heads % over and _method(config, facts) not in ("mtp", *_WITHOUT_MODEL):
        return f"TP {over} does not divide the {heads} attention heads of the drafter {config['model']}"
    return ""


def pipeline_refusal(facts: Mapping[str, Any], args: Mapping[str, Any], stages: int) -> str:
    """Return why vLLM cannot run the drafter at the end of so many pipeline stages; empty where it can.

    A draft model is built as the last stage of itself, without its first layers, and so is what predicts for some
    types: they wait for what no stage sends (`assert intermediate_tensors is not None` of their `forward`). The layer
    of an EAGLE head takes the name of one of the model's, as it counts those of a stage (`models/llama_eagle.py`).
    """
    config = structure(args, FLAG)
    if stages < 2 or not config:
        return ""
    method = _method(config, facts)
    if method == "draft_model":
        return f"vLLM has no draft model ({config.get('model')}) beside pipeline stages"
    if method == "eagle":
        return f"vLLM has no EAGLE head of the first kind ({config.get('model')}) beside pipeline stages"
    if method == "mtp" and str(facts.get("model_type")).startswith(_MTP_IN_ONE_STAGE):
        return f"vLLM has no multi-token prediction of {facts['model_type']} beside pipeline stages"
    return ""


def _method(config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the method, by the rules of `SpeculativeConfig.__post_init__` where none is named."""
    method, model = str(config.get("method") or "").lower(), str(config.get("model") or "").lower()
    if method in _MTP or method.endswith("_mtp"):
        return "mtp"
    if method:
        return method
    if model in ("ngram", "[ngram]"):
        return "ngram"
    if not model:
        return "mtp" if _mtp_layers(facts) else "ngram"
    name = model.rpartition("/")[2]
    for mark, found in (("eagle3", "eagle3"), ("eagle", "eagle"), ("medusa", "medusa"), ("speculator", "eagle3")):
        if mark in name:
            return found
    return "draft_model"


def _mtp_layers(facts: Mapping[str, Any]) -> int:
    if str(facts.get("model_type")).startswith(_WINDOWED_MTP):
        return 1
    return int(facts.get("num_nextn_predict_layers") or 0)


def _mtp(facts: Mapping[str, Any], count: int) -> tuple[Mapping[str, Any], ...]:
    """Return the layers for multi-token prediction: they attend as those of the model do."""
    sliding = [layer for layer in facts["layers"] if layer["type"] == "sliding_attention"]
    if sliding and str(facts.get("model_type")).startswith((*_WINDOWED_MTP, "step3")):
        return ({**sliding[0], "count": count},)
    latent = [{**layer, "count": count} for layer in facts["layers"] if layer["type"] in ("mla", "indexer")]
    return tuple(latent) or (_attention(facts, count),)


def _attention(facts: Mapping[str, Any], count: int) -> Mapping[str, Any]:
    """Return layers with the heads of the model's own full attention; with all of them where that is latent."""
    for layer in facts["layers"]:
        if layer["type"] == "full_attention":
            return {**layer, "count": count}
    heads = next((layer for layer in facts["layers"] if "num_kv_heads" in layer), None)
    if heads is not None:
        return _entry(count, heads["num_kv_heads"], heads["head_size"])
    return _entry(count, int(facts["num_attention_heads"]), 128)


def _entry(count: int, heads: int, width: int) -> dict[str, Any]:
    return {"type": "full_attention", "count": count, "num_kv_heads": heads, "head_size": width, "head_size_v": width}


def ranks(args: Mapping[str, Any], tensor: int) -> int:
    """Return over how many ranks the drafter is cut: as the model, or not at all if so said or not possible."""
    if str(structure(args, FLAG).get("method")) == "mlp_speculator":
        return 1
    return pinned(structure(args, FLAG), "draft_tensor_parallel_size") or tensor


def copied_embeddings(facts: Mapping[str, Any], args: Mapping[str, Any], embeddings: int) -> int:
    """Return how many copies of the embedding the end of a pipeline holds for the drafter: what predicts has its own
    there, an EAGLE 3 head has the model's, which is copied to it (`maybe_share_target_embed`).

    :param embeddings: copies of a matrix of the vocabulary that the last stage has anyway.
    """
    method = of(facts, args).method
    if method == "eagle3":
        return int(embeddings < 2 and not facts.get("tie_word_embeddings"))
    return int(method == "mtp")


def _layer_bytes(facts: Mapping[str, Any]) -> int:
    """Return the bytes of one layer for prediction: an average layer, with experts where there are some, and the
    projection of its input."""
    hidden, size = int(facts["hidden_size"]), DTYPE_BYTES.get(facts.get("dtype") or "bfloat16", 2)
    ends = int(facts["vocab_size"]) * hidden * size * (1 if facts.get("tie_word_embeddings") else 2)
    layers = max(0, int(facts.get("weight_bytes") or 0) - ends)
    routed = min(routed_bytes(facts), layers)
    one = (layers - routed) // int(facts["num_hidden_layers"]) + 2 * hidden * hidden * size
    return one + routed // max(1, int(facts.get("expert_layers") or facts["num_hidden_layers"]))


def _fused(facts: Mapping[str, Any], method: str, hidden: int) -> int:
    """Return the numbers in the projection of an EAGLE head's inputs: a token and a state of the model, or three.

    :param hidden: width of the head.
    """
    if method not in _EAGLE:
        return 0
    return (2 * hidden if method == "eagle" else 3 * int(facts["hidden_size"])) * hidden


def _eagle_parameters(facts: Mapping[str, Any], method: str) -> int:
    """Return the numbers in an EAGLE head: one layer with an input of twice the width, and its own output."""
    hidden, inner = int(facts["hidden_size"]), int(facts.get("intermediate_size") or 4 * int(facts["hidden_size"]))
    layer = _attention(facts, 1)
    keys = int(layer["num_kv_heads"]) * int(layer["head_size"])
    queries = int(facts["num_attention_heads"]) * int(layer["head_size"])
    wide = 1 if method == "eagle" else 2
    attention = wide * hidden * (queries + 2 * keys) + queries * hidden
    fused = (2 if method == "eagle" else 3) * hidden * hidden
    head = 0 if method == "eagle" else _EAGLE_VOCABULARY * hidden
    return attention + 3 * hidden * inner + fused + head


def _shape_of(name: str) -> tuple[int, int, int, int, bool]:
    """Return layers, key-value heads, width and parameters of a draft model by its name, and whether it is known."""
    for pattern, *shape in _KNOWN:
        if re.search(pattern, name, re.IGNORECASE):
            return shape[0], shape[1], shape[2], shape[3], True
    layers, heads, width, most = _ASSUMED
    found = _SIZE.search(name.replace("-", " ").replace("_", " ").replace("/", " "))
    if not found:
        return layers, heads, width, most, False
    scale = 1_000_000_000 if found.group(2).lower() == "b" else 1_000_000
    return layers, heads, width, int(float(found.group(1)) * scale * _ROUNDED), False
