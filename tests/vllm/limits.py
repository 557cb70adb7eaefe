# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print as JSON what vLLM itself refuses, with the flags and the environment that the role gives an instance.

limits.py ARGV URL    run with vLLM's own Python in the instance's environment; ARGV is JSON
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def refusal(call: Any) -> str:
    """Return the text of the error that a call raises, or nothing."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any refusal will do, its text is compared
        return str(error)
    return ""


def main() -> None:
    """Run the program."""
    from vllm import SamplingParams, envs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.multimodal.media.connector import MediaConnector
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args = make_arg_parser(FlexibleArgumentParser()).parse_args(json.loads(sys.argv[1]))
    connector = MediaConnector(allowed_media_domains=args.allowed_media_domains)
    known = envs.environment_variables
    told = {
        "unknown": sorted(name for name in os.environ if name.startswith("VLLM_") and name not in known),
        "redirects": envs.VLLM_MEDIA_URL_ALLOW_REDIRECTS,
        "n=8": refusal(lambda: SamplingParams(n=8)),
        "n=9": refusal(lambda: SamplingParams(n=9)),
        "prompts=32": refusal(lambda: CompletionRequest(prompt=["a"] * 32)),
        "prompts=33": refusal(lambda: CompletionRequest(prompt=["a"] * 33)),
        "tokens=99": refusal(lambda: CompletionRequest(prompt=[1] * 99)),
        "media": refusal(lambda: connector.fetch_image(sys.argv[2])),
    }
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main()
