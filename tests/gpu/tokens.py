# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write what an engine wants beside config.json and what no test has: a tokenizer, and the processor of images.

The tokenizer has a word for every id of the vocabulary, so it fits any model; prompts of the tests are ids. Names of
the tokens that stand for images are those of each family's own processor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Ids that configurations name, and the words that processors look for.
WORDS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "boi_token_index": "<start_of_image>",
    "eoi_token_index": "<end_of_image>",
    "image_token_index": "<image_soft_token>",
}
# Words that parsers of tool calls and of reasoning want to find; they take the places of ordinary ones.
PARSED = (
    *("<|python_tag|>", "<tool_call>", "</tool_call>", "<think>", "</think>", "<|tool_call_start|>"),
    *("<|tool_call_end|>", "[TOOL_CALLS]", "<function_calls>", "</function_calls>", "<|channel|>", "<|message|>"),
)
FIRST_PARSED = 10
TEMPLATE = (
    "{% for message in messages %}{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'image' %}IMAGE{% else %} w7 {% endif %}{% endfor %}"
    "{% endif %}{% endfor %}"
)
QWEN_PIXELS = {"shortest_edge": 65536, "longest_edge": 16777216}
# Processors of images by type of model, as their repositories have them.
PROCESSORS: dict[str, dict[str, Any]] = {
    "qwen3_vl": {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": "Qwen3VLProcessor",
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "size": QWEN_PIXELS,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
    "gemma3": {
        "image_processor_type": "Gemma3ImageProcessor",
        "processor_class": "Gemma3Processor",
        "do_resize": True,
        "size": {"height": 896, "width": 896},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_seq_length": 256,
    },
}
# Ids that a configuration leaves to the defaults of its type.
DEFAULTS = {
    "qwen3_vl": {
        "image_token_id": 151655,
        "video_token_id": 151656,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
    },
    "gemma3": {"image_token_index": 262144, "boi_token_index": 255999, "eoi_token_index": 256000, "vocab_size": 262208},
}
IMAGES = {"qwen3_vl": "<|vision_start|> <|image_pad|> <|vision_end|>", "gemma3": " <start_of_image> "}


def write(folder: Path, config: dict[str, Any]) -> None:
    """Write tokenizer, chat template and processor beside config.json.

    :param config: content of config.json.
    """
    kind = str(config.get("model_type"))
    config = {**DEFAULTS.get(kind, {}), **config}
    text = config.get("text_config") or {}
    size = int(config.get("vocab_size") or text.get("vocab_size") or 32000)
    named = {int(config[key]): word for key, word in WORDS.items() if isinstance(config.get(key), int)}
    named = {**{FIRST_PARSED + place: word for place, word in enumerate(PARSED)}, **named}
    words = {named.get(number, f"w{number}"): number for number in range(max([size, *(n + 1 for n in named)]))}
    special = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    added = [{"id": number, "content": word, **special} for number, word in sorted(named.items())]
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    own: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "w0",
        "eos_token": "w1",
        "pad_token": "w2",
    }
    (folder / "chat_template.jinja").write_text(TEMPLATE.replace("IMAGE", IMAGES.get(kind, "")))
    if kind == "gemma3":
        own.update(image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>")
        own["extra_special_tokens"] = {name: own[name] for name in ("image_token", "boi_token", "eoi_token")}
    if kind == "qwen3_vl":
        own["extra_special_tokens"] = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    if kind in PROCESSORS:
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[kind]))
        if kind == "qwen3_vl":
            video = {**PROCESSORS[kind], "video_processor_type": "Qwen3VLVideoProcessor"}
            video.pop("image_processor_type")
            (folder / "video_preprocessor_config.json").write_text(json.dumps(video))
