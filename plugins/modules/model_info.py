#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thin I/O around module_utils/checkpoint: config, files, folder and hub."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_info
short_description: Read what a model needs to be served, without loading it
version_added: 0.1.0
description:
  - Reads a model's C(config.json) and, of its weights, no more than the headers and the index, from a folder of the
    host, from the cache of the Hugging Face tools, or from a model hub over HTTPS. C(hf_quant_config.json) of ModelOpt
    completes it, and Mistral's C(params.json) stands for it. An adapter and GGUF files are refused as what they are.
  - It returns the facts that a plan needs - layers and heads for the KV cache, and the memory of the weights.
  - It requests from a hub these files, C(model.safetensors.index.json), and the header of each safetensors file by a
    range request; weights are never downloaded. A server that sends a whole file anyway is cut off after the header.
  - The cache is used first. Only files that are missing there are requested from the hub, so a complete snapshot needs
    no network.
  - A model without weights is not a failure; RV(model_info.weight_bytes) is null then.
options:
  source:
    description:
      - Source of the model, V(path:/directory) on the host or V(hf://organisation/name).
      - The demo model is described by the V(path:) of the directory that the C(models) role made for it.
    type: str
    required: true
  revision:
    description:
      - Branch, tag or commit of a V(hf://) source. Empty means V(main).
      - A commit always gives the same facts.
    type: str
  drafter:
    description:
      - Source of the model that proposes tokens for it (C(speculative-config)), whose facts are returned as C(drafter).
      - Files that cannot be read are a warning, as a drafter can be planned by its name.
    type: str
    default: ""
  drafter_revision:
    description: Branch, tag or commit of O(drafter).
    type: str
  cache_dir:
    description:
      - Directory in which the tools of the hub keep their downloads, C(models--organisation--name) and so on.
      - Empty means where E(HF_HUB_CACHE), E(HF_HOME) or E(XDG_CACHE_HOME) put it, else C(~/.cache/huggingface/hub).
    type: path
  endpoint:
    description: Base URL of the hub, or of a mirror of it.
    type: str
    default: https://huggingface.co
  token:
    description:
      - Token of an account that may read the model.
      - It is sent only to the host of O(endpoint), not to hosts that it redirects to.
    type: str
  ca_path:
    description: PEM file on the host with authorities to trust in addition to the system's.
    type: path
  use_proxy:
    description: Whether the proxies that E(http_proxy), E(https_proxy) and E(no_proxy) name on the host are used.
    type: bool
    default: true
  timeout:
    description: Seconds that each file may take, from connecting to the last byte that is read.
    type: int
    default: 30
  offline:
    description: Whether to use no hub, so that a V(hf://) source must be in the cache.
    type: bool
    default: false
extends_documentation_fragment:
  - llmfleet.serving.attributes.reads
  - llmfleet.serving.host
author:
  - llmfleet contributors (@llmfleet)
"""

EXAMPLES = r"""
- name: Describe a model of the hub
  llmfleet.serving.model_info:
    source: hf://meta-llama/Llama-3.1-8B-Instruct
    revision: 0e9e39f249a16976918f6564b8830bc894c89659
    cache_dir: /var/lib/llmfleet/models/hub
    token: "{{ llm_hf_token }}"
  register: chat

- name: Describe a model on a host that reaches no hub
  llmfleet.serving.model_info:
    source: path:/srv/models/mistral-7b
  register: local

- name: Describe a model of a mirror with a certificate of its own, by way of a proxy
  llmfleet.serving.model_info:
    source: hf://Qwen/Qwen3-8B
    endpoint: https://hub.example.com
    ca_path: /etc/ssl/example-ca.pem
  environment:
    https_proxy: http://proxy.example.com:3128
"""

RETURN = r"""
model_info:
  description: Facts of the model. A fact that does not apply, or that the files do not contain, is null.
  returned: success
  type: dict
  contains:
    source:
      description: The source as it was given.
      type: str
    revision:
      description: Commit of the files that were read, null where it is not known.
      type: str
    weight_bytes:
      description:
        - Bytes of the weights that are loaded to serve it, null if none were found.
        - By headers, layers for multi-token prediction and an output head that is the embedding once more are left out.
      type: int
    weight_bytes_source:
      description:
        - V(headers) for the sum over all tensors, V(index) for the total that the index names, V(size) for the sizes of
          C(*.bin) files, null without weights.
      type: str
    parameters:
      description: Numbers in those weights as stored, several packed in one counting once. Null without headers.
      type: int
    config_digest:
      description: Digest of its config, by which two models are built alike.
      type: str
    drafter:
      description: The same facts of the model of O(drafter); null if there is none, or its files could not be read.
      type: dict
    architectures:
      description: Classes that can load it.
      type: list
      elements: str
    model_type:
      description: Name of its family in transformers.
      type: str
    dtype:
      description:
        - Type of the weights before any quantisation, V(bfloat16), V(float16) or V(float32).
        - The headers tell it where the config does not, V(float32) for several types.
      type: str
    quantization:
      description: Method with which the weights are quantised, for example V(fp8), V(awq) or V(mxfp4).
      type: str
    quantization_sets:
      description:
        - How the quantised weights are stored, one entry for each way - C(bits), C(kind), C(activations), C(symmetric),
          and the C(group) or the C(block) of values that share a scale.
      type: list
      elements: dict
    kv_cache_quantization:
      description: Type of the KV cache that the checkpoint declares.
      type: str
    hidden_size:
      description: Width of the model.
      type: int
    intermediate_size:
      description: Width of its feed-forward layers.
      type: int
    vocab_size:
      description: Size of its vocabulary in tokens.
      type: int
    max_position_embeddings:
      description: Longest context in tokens that vLLM takes by default, scaling of positions included.
      type: int
    max_model_len_limit:
      description: Longest context in tokens that vLLM accepts if it is set.
      type: int
    num_hidden_layers:
      description: Layers in all.
      type: int
    num_attention_heads:
      description: Query heads of each layer. Tensor parallelism has to divide it.
      type: int
    num_key_value_heads:
      description: Key and value heads of each layer.
      type: int
    layers:
      description:
        - Layers with a cache by kind, in order of first occurrence, each with C(type) and C(count).
        - V(full_attention), V(sliding_attention) and V(chunked_attention) have C(num_kv_heads), C(head_size) and
          C(head_size_v), the latter two also C(sliding_window) or C(attention_chunk_size). V(mla) has C(kv_lora_rank)
          and C(qk_rope_head_dim), V(linear_attention) a list C(state) of shapes.
      type: list
      elements: dict
    layer_order:
      description:
        - For each layer the place of its kind in RV(model_info.layers).
        - V(-1) is a layer without a cache of its own, V(-2) one that has every kind.
      type: list
      elements: int
    projections:
      description:
        - Projections that tensor parallelism cuts, each with its C(name), and with C(rows), the width of its input,
          C(columns), the number and the size of its outputs' heads, or C(experts), the width of one expert.
        - C(inputs) is the width that experts read where it is not that of the model, C(matrices) their number if not 3.
        - C(group) and C(block) are how its values share scales.
      type: list
      elements: dict
    num_experts:
      description: Experts of a mixture of experts.
      type: int
    expert_layers:
      description: Layers with routed experts.
      type: int
    num_experts_per_tok:
      description: Experts that each token passes.
      type: int
    multimodal:
      description: Whether it takes more than text.
      type: bool
    image_prefix:
      description: Whether it attends in both directions within an image, which few attention kernels can.
      type: bool
    attention_sinks:
      description: Whether its attention has sinks, which few attention kernels can.
      type: bool
    encoder_parameters:
      description: About the numbers in encoders of images and sound, which every pipeline stage holds.
      type: int
    uncut_parameters:
      description: Those of them that every GPU holds whole.
      type: int
    encoder_only:
      description: Whether it keeps no KV cache, as embedding models do.
      type: bool
    tie_word_embeddings:
      description: Whether its output head is its embedding.
      type: bool
    num_nextn_predict_layers:
      description: Layers for multi-token prediction, which are loaded only on request.
      type: int
    buffer_bytes:
      description: Bytes that each GPU holds in addition to the weights, for example for precomputed positions.
      type: int
  sample:
    source: hf://meta-llama/Llama-3.1-8B-Instruct
    revision: 0e9e39f249a16976918f6564b8830bc894c89659
    weight_bytes: 16060522496
    weight_bytes_source: headers
    parameters: 8030261248
    config_digest: 748f836ae4e3
    architectures: [LlamaForCausalLM]
    model_type: llama
    dtype: bfloat16
    quantization: null
    quantization_sets: []
    kv_cache_quantization: null
    hidden_size: 4096
    intermediate_size: 14336
    vocab_size: 128256
    max_position_embeddings: 131072
    max_model_len_limit: 131072
    num_hidden_layers: 32
    num_attention_heads: 32
    num_key_value_heads: 8
    layers:
      - {type: full_attention, count: 32, num_kv_heads: 8, head_size: 128, head_size_v: 128}
    layer_order: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    projections:
      - {name: self_attn.o_proj, rows: 4096}
      - {name: self_attn.qkv_proj, columns: [[32, 128], [8, 128], [8, 128]]}
      - {name: mlp.down_proj, rows: 14336}
      - {name: mlp.gate_up_proj, columns: [[14336, 1], [14336, 1]]}
    num_experts: null
    expert_layers: 0
    num_experts_per_tok: null
    multimodal: false
    image_prefix: false
    attention_sinks: false
    encoder_parameters: 0
    uncut_parameters: 0
    encoder_only: false
    tie_word_embeddings: false
    num_nextn_predict_layers: 0
    buffer_bytes: 33554944
"""

import os
import pwd
import urllib.request
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import files as checkpoint_files
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import layouts, sources
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.config import ConfigError, describe
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.folder import Folder
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.hub import Hub
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.safetensors import SafetensorsError
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import Source, SourceError
from ansible_collections.llmfleet.serving.plugins.module_utils.host import http_client
from ansible_collections.llmfleet.serving.plugins.module_utils.host.identity import OPTION, host_name
from ansible_collections.llmfleet.serving.plugins.module_utils.problems import line
from ansible_collections.llmfleet.serving.plugins.module_utils.text import redact

ARGUMENTS: dict[str, dict[str, Any]] = {
    "host": OPTION,
    "source": {"type": "str", "required": True},
    "revision": {"type": "str"},
    "drafter": {"type": "str", "default": ""},
    "drafter_revision": {"type": "str"},
    "cache_dir": {"type": "path"},
    "endpoint": {"type": "str", "default": "https://huggingface.co"},
    "token": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "use_proxy": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 30},
    "offline": {"type": "bool", "default": False},
}
MAIN = "main"


def told(files: checkpoint_files.Files, source: Source, revision: str | None) -> dict[str, Any]:
    """Return the facts of a model from these files."""
    layout = layouts.read(files)
    try:
        facts = describe(layout.config)
    except ConfigError as error:
        raise ConfigError(str(error).replace(checkpoint_files.CONFIG, layout.file)) from error
    return {**facts, "source": source.text, "revision": revision, **checkpoint_files.read_weights(files, facts)}


def cached(params: dict[str, Any], source: Source, revision: str) -> tuple[str, Folder] | None:
    """Return the commit and the folder of a snapshot in the hub's cache that has at least its config."""
    root = params["cache_dir"] or checkpoint_files.cache_root(os.environ, pwd.getpwuid(os.geteuid()).pw_dir)
    folder = os.path.join(root, source.cache_folder)
    noted = Folder(os.path.dirname(checkpoint_files.reference(folder, revision))).read(os.path.basename(revision), 100)
    place = checkpoint_files.snapshot(folder, revision, noted.decode("ascii", "replace") if noted else None)
    if place is None or not any(os.path.isfile(os.path.join(place[1], name)) for name in layouts.CONFIGS):
        return None
    return place[0], Folder(place[1])


def look(params: dict[str, Any], warn: Callable[[str], None]) -> dict[str, Any]:
    """Return the facts of a model: from its folder, from the hub's cache, else from the hub."""
    source = sources.parse(params["source"])
    if source.demo:
        raise SourceError("the demo model is created on the host", "give its directory as path:/directory")
    if source.directory:
        if not os.path.isdir(source.directory):
            raise SourceError(
                f"{source.directory} is not a directory of this host; copy the model there, or correct source"
            )
        return told(Folder(source.directory), source, checkpoint_files.commit_of(source.directory))
    revision = checkpoint_files.check_revision(params["revision"] or MAIN)
    at_hand = cached(params, source, revision)
    facts: dict[str, Any] = {}
    if at_hand:
        facts = told(at_hand[1], source, at_hand[0])
        if params["offline"] or facts["weight_bytes"] is not None:
            return facts
    elif params["offline"]:
        raise SourceError("no snapshot of it is in the hub's cache; correct cache_dir, or set offline to false")
    # Proxies are those of the environment, no_proxy included.
    proxies = urllib.request.getproxies() if params["use_proxy"] else {}
    client = http_client.Client("llmfleet-model-info", params["ca_path"], proxies)
    asked = at_hand[0] if at_hand else revision
    hub = Hub(client, params["endpoint"], params["token"] or "", params["timeout"], source.repository, asked)
    if not at_hand:
        facts = told(hub, source, None)
        return {**facts, "revision": hub.commit}
    try:
        return {**facts, **checkpoint_files.read_weights(hub, facts)}
    except (SourceError, SafetensorsError) as error:
        # A cached snapshot can be served even if the hub is not reachable.
        warn(f"{source.text}: its weights are not in the cache, and {error}.")
        return facts


def look_at_drafter(params: dict[str, Any], warn: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the facts of the drafter; null if none is named, or its files cannot be read."""
    if not params["drafter"]:
        return None
    try:
        return look({**params, "source": params["drafter"], "revision": params["drafter_revision"]}, warn)
    except (ConfigError, SourceError, SafetensorsError) as error:
        warn(f"the drafter {params['drafter']} is planned by its name, as its files were not read: {error}")
        return None


def main() -> None:
    """Look at the model and report; nothing is changed, in check mode or out of it."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    secrets = [(module.params["token"] or "").strip()]
    where = module.params["source"]
    if where.startswith(sources.HUB):
        where += f" at revision {module.params['revision'] or MAIN}"

    def fail(problem: str) -> None:
        module.fail_json(msg=redact(line(host_name(module.params), f"source is {where}", problem), secrets))

    def warn(text: str) -> None:
        module.warn(redact(text, secrets))

    try:
        facts = look(module.params, warn)
        facts["drafter"] = look_at_drafter(module.params, warn)
    except ConfigError as error:
        fail(f"{str(error).rstrip('.')}; correct it, or choose another model")
    except (SourceError, SafetensorsError) as error:
        fail(str(error))
    else:
        module.exit_json(changed=False, model_info=facts)


if __name__ == "__main__":
    main()
