# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tests of the chain against the gateway that the role renders, before a stub that answers 500, breaks off, or is
slow, when asked to.

    with_stub.py [PYTEST_ARGUMENT ...]     with the test environment's Python

LITELLM_BIN and GATE_BIN name the folders of other environments than the demo's.

No real engine answers 500 or keeps a pace on demand, so this one backend is a stand-in; the gate and LiteLLM are the
demo's own installations.
"""

from __future__ import annotations

import contextlib
import glob
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

import gateway  # noqa: E402


def main(arguments: list[str]) -> int:
    """Start both, run the tests, and return pytest's exit code."""
    litellm = glob.glob(os.environ.get("LITELLM_BIN") or "/opt/llmfleet/venvs/litellm-*/bin")
    gate = glob.glob(os.environ.get("GATE_BIN") or "/opt/llmfleet/venvs/gate-*/bin")
    if not litellm or not gate:
        print("with_stub.py: the gateway is not installed on this machine: run `make demo` first.", file=sys.stderr)
        return 1
    port = gateway.free_port()
    backend = f"http://127.0.0.1:{port}"
    stub = [sys.executable, str(gateway.HERE / "stub_backend.py"), "--port", str(port)]
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(gateway.running("stub", stub, {}, f"{backend}/health", work))
        ours = stack.enter_context(gateway.ours(Path(litellm[0]), Path(gate[0]), backend, work / "ours"))
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": ours.url,
            "OPENAI_API_KEY": ours.key,
            "LLM_MODEL": "chat",
            "LLM_FAIL_PROMPT": "fail=500",
            "LLM_CUT_PROMPT": "fail=cut tokens=20",
            "LLM_PACED_PROMPT": "tokens=10 rate=4",
            "LLM_STUB_URL": backend,
        }
        command = [sys.executable, "-m", "pytest", str(HERE), *arguments]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
