# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start a real engine on weights of nothing but the right shape, and print what it says of its KV cache as JSON.

engine.py MODEL_FOLDER KV_CACHE_BYTES MAX_MODEL_LEN    run with vLLM's own Python; -1 is the longest that fits
"""

from __future__ import annotations

import json
import os
import sys

# One process: what the engine decided can be read off its objects instead of its log.
os.environ.update(
    VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_NO_USAGE_STATS="1", HF_HUB_OFFLINE="1", VLLM_LOGGING_LEVEL="ERROR"
)
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")


def main() -> None:
    """Run the program."""
    from vllm import LLM

    folder, kv_bytes, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    try:
        llm = LLM(
            model=folder,
            load_format="dummy",
            skip_tokenizer_init=True,
            enforce_eager=True,
            kv_cache_memory_bytes=kv_bytes,
            max_model_len=length,
            max_num_batched_tokens=2048,
            max_num_seqs=8,
        )
    except ValueError as error:
        print(json.dumps({"error": str(error)}))
        return
    config = llm.llm_engine.vllm_config
    cache = config.cache_config
    print(
        json.dumps(
            {
                "max_model_len": config.model_config.max_model_len,
                "num_gpu_blocks": cache.num_gpu_blocks,
                "block_size": cache.block_size,
                "kv_cache_size_tokens": getattr(cache, "kv_cache_size_tokens", None),
                "kv_cache_max_concurrency": getattr(cache, "kv_cache_max_concurrency", None),
            }
        )
    )


if __name__ == "__main__":
    main()
