# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make test` and CI make of a service that is already on the machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "ready.sh"
# Whether a service is here, what it serves, whether this checkout has its secrets: what make test and what CI does.
MACHINES: dict[str, tuple[bool, list[str], bool, str, str]] = {
    "empty": (False, [], False, "goes on", "goes on"),
    "own-demo": (True, ["demo:", "demo:"], True, "goes on", "goes on"),
    "own-service": (True, ["hf://Qwen/Qwen3-8B"], True, "goes on", "goes on"),
    "demo-of-another": (True, ["demo:", "demo:"], False, "refuses", "removes"),
    "demo-cut-short": (True, [], False, "refuses", "removes"),
    "service-of-another": (True, ["demo:", "hf://Qwen/Qwen3-8B"], False, "refuses", "refuses"),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("in_ci", [False, True], ids=["make-test", "ci"])
def test_a_service_on_the_machine(tmp_path: Path, machine: str, in_ci: bool) -> None:
    here, sources, ours, *outcomes = MACHINES[machine]
    facts, inventory = tmp_path / "facts", tmp_path / "inventory"
    facts.mkdir()
    inventory.mkdir()
    if here:
        (facts / "llmfleet.fact").write_text("{}")
    if sources:
        instances = {"instances": [{"model": "chat", "source": source} for source in sources]}
        # As the vllm role writes it.
        (facts / "llmfleet_plan.fact").write_text(json.dumps(instances, indent=4))
    if ours:
        (inventory / ".llm_secrets.yml").touch()
    # A stand-in: what it was asked for, and nothing removed.
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "make $*"\n')
    make.chmod(0o755)
    done = subprocess.run(
        [str(SCRIPT), str(inventory), *(["remove-demo"] if in_ci else [])],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "READY_FACTS": str(facts)},
        text=True,
        capture_output=True,
        check=False,
    )
    expected = outcomes[in_ci]
    assert done.returncode == (1 if expected == "refuses" else 0), done.stderr
    assert ("demo-clean" in done.stdout) == (expected == "removes")
    assert ("Run make demo-clean in the checkout that installed it" in done.stderr) == (expected == "refuses")
    if expected == "refuses" and in_ci:
        assert "with hf://Qwen/Qwen3-8B" in done.stderr
