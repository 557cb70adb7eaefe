# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests that bring an instance of vLLM to its planned extremes: a full step of tokens, all sequences, the longest
context, the largest image.

Pure functions; no Ansible, no files, no network. Prompts are token ids, so that no tokenizer is needed to hit a length.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any, Iterator, Mapping

# Tokens that each of all sequences gets: it must still run when the last one starts.
TOKENS_OF_EACH = 16
# Tokens of the prompt of each of them.
PROMPT_OF_EACH = 8
# An image of so many pixels on each side is more than any model takes; processors scale it down to their limit.
PIXELS = 4096
# Ids that any vocabulary has, and not those of its special tokens at the beginning.
FIRST_ID, IDS = 100, 100


def tokens(count: int, seed: int) -> list[int]:
    """Return so many ids, different for each seed, so that no prompt is found in the prefix cache."""
    return [FIRST_ID + (seed * 31 + number * (1 + seed % 7)) % IDS for number in range(count)]


def loads(limits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the loads in their order, the cheapest first; see `engines/base.py`. Models that neither generate text nor
    embed it get none.
    """
    if limits.get("mode", "chat") not in ("chat", "embedding"):
        return []
    name, longest = str(limits["model"]), int(limits["max_model_len"])
    sequences, step = int(limits["max_num_seqs"]), int(limits["max_num_batched_tokens"])
    many = max(1, int(limits.get("prompts") or 1))
    length = max(1, min(PROMPT_OF_EACH, longest - 1))
    # Filters of the vocabulary sort the logits of all sequences, which takes the most memory in sampling.
    sampled = {
        "max_tokens": max(1, min(TOKENS_OF_EACH, longest - length)),
        "ignore_eos": True,
        "temperature": 1.0,
        "top_p": 0.9,
        "top_k": 50,
    }
    found: list[dict[str, Any]] = [
        {
            "name": f"{sequences} sequences",
            "requests": [
                _completion(name, [tokens(length, seed) for seed in seeds], **sampled)
                for seeds in _groups(range(sequences), many)
            ],
        }
    ]
    # One token of the context is for the answer.
    each = max(1, min(step, longest - 1))
    count = min(-(-step // each), sequences)
    prompts = [tokens(each, 1000 + seed) for seed in range(count)]
    found.append(
        {
            "name": f"a step of {min(step, each * count)} tokens",
            "requests": [
                _completion(name, [prompts[seed] for seed in seeds], max_tokens=1)
                for seeds in _groups(range(count), many)
            ],
        }
    )
    if longest - 1 > each:
        found.append(
            {
                "name": f"a context of {longest} tokens",
                "requests": [_completion(name, [tokens(longest - 1, 5000)], max_tokens=1)],
            }
        )
    if limits.get("images") and limits.get("mode", "chat") == "chat":
        found.append({"name": f"an image of {PIXELS} x {PIXELS}", "requests": [_image(name)]})
    if limits.get("mode") == "embedding":
        return [{**one, "requests": [_embedding(request) for request in one["requests"]]} for one in found]
    return found


def _groups(seeds: range, size: int) -> Iterator[range]:
    for first in range(0, len(seeds), size):
        yield seeds[first : first + size]


def _completion(model: str, prompts: list[list[int]], **more: Any) -> dict[str, Any]:
    return {"path": "/v1/completions", "body": {"model": model, "prompt": prompts, **more}}


def _embedding(request: Mapping[str, Any]) -> dict[str, Any]:
    body = {"model": request["body"]["model"], "input": request["body"]["prompt"]}
    return {"path": "/v1/embeddings", "body": body}


def _image(model: str) -> dict[str, Any]:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(PIXELS)}"}}
    content = [picture, {"type": "text", "text": "?"}]
    body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": content}]}
    return {"path": "/v1/chat/completions", "body": body}


def png(side: int) -> str:
    """Return a grey square as a PNG file in base64: some 20 KB for 4096 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * side) * side, 9)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()
