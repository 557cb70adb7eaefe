# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of two serving hosts and a gateway, made of namespaces of this machine, changes under a client.

The playbooks, supervisor and Nginx are real, with packages and environments of the demo (make demo). The engine is
Echo: what is seen here is what the collection does with engines, not an engine. Root is needed.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "output" / "fleet"
HOSTS = {"serving1": "10.86.0.11", "serving2": "10.86.0.12", "gateway1": "10.86.0.21"}
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 256,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
}
SECONDS = 3000


def write_model(folder: Path) -> None:
    """Write a model of one tensor."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    if os.geteuid():
        pytest.fail("hosts are namespaces, which root alone can make: run this as root", pytrace=False)
    if not Path("/opt/llmfleet/tools").exists():
        pytest.fail("there is no demo on this machine, whose packages the hosts share: make demo", pytrace=False)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for old in OUTPUT.iterdir():
        old.unlink()
    # Hosts are copies of /etc: many small files, which memory holds faster than a disk.
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=place) as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        write_model(folder / "model")
        named = [f"{name}={address}" for name, address in HOSTS.items()]
        scenario = [sys.executable, str(HERE / "scenario.py"), directory, str(OUTPUT)]
        command = [*NAMESPACES, sys.executable, str(HERE / "rig.py"), directory, *named, "--", *scenario]
        done = subprocess.run(command, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    results = OUTPUT / "results.json"
    found: dict[str, dict[str, Any]] = json.loads(results.read_text()) if results.exists() else {}
    if done.returncode:
        pytest.fail(f"the scenario ended with {done.returncode} after {', '.join(found) or 'nothing'}", pytrace=False)
    return found


def test_no_request_failed_while_good_changes_were_made(told: dict[str, dict[str, Any]]) -> None:
    good = ("rotated", "killed", "rolled", "broken", "held", "rollback", "out", "refused", "while_out", "in")
    for name in (*good, "cut", "rebooted"):
        run = told[name]
        print(f"{name}: {run['requests']} requests, {len(run['failed'])} failed, {run['seconds']} s")
        assert run["requests"] > 20, name
        assert run["failed"] == [], name


def test_another_key_of_the_engines_restarts_none_and_the_earlier_one_is_accepted(
    told: dict[str, dict[str, Any]],
) -> None:
    run = told["rotated"]
    assert run["code"] == 0, run["log"]
    assert run["processes"] == told["first"]["processes"], "an engine restarted for a key"
    # The gateway of this fleet has no gate, which would have taken the key.
    assert "go on accepting 1 earlier key(s), because gateway1 did not take" in " ".join(run["all"].split())


def test_a_rollout_that_was_killed_is_finished_by_the_next_one(told: dict[str, dict[str, Any]]) -> None:
    assert told["killed"]["code"] != 0
    assert told["rolled"]["code"] == 0, told["rolled"]["log"]
    assert set(told["rolled"]["last"]) == {"new:"}
    assert all("--prefix=new:" in text for text in told["rolled"]["processes"].values())


def test_a_conversation_goes_over_once_while_both_versions_serve(told: dict[str, dict[str, Any]]) -> None:
    for names in (("killed", "rolled"), ("broken",), ("rollback",)):
        versions: dict[str, list[str]] = {}
        order = [turn for name in names for turn in told[name]["turns"]]
        for conversation, said in order:
            seen = versions.setdefault(conversation, [])
            seen += [said] if seen[-1:] != [said] else []
        flips = [len(seen) - 1 for seen in versions.values()]
        said = [version for _conversation, version in order]
        first, last = said.index(said[-1]), len(said) - said[::-1].index(said[0])
        both = max(0, last - first)
        print(
            f"{', '.join(names)}: {len(flips)} conversations, {sum(flips)} went over, {both} answers from both versions"
        )
        assert max(flips) <= 1, {name: seen for name, seen in versions.items() if len(seen) > 2}
        assert len(flips) >= 40
        # Both serve for a while during a rollback; without answers from both, nothing would be shown here.
        assert both > 20 or "rollback" not in names


def test_a_version_that_answers_errors_goes_back_by_itself(told: dict[str, dict[str, Any]]) -> None:
    run = told["broken"]
    assert run["code"] != 0
    assert "The rollout went back." in run["log"]
    assert "fails the check `chat`" in run["log"]
    assert set(run["said"]) == {"new:"}
    assert all("--prefix=new:" in text and "--fail" not in text for text in run["processes"].values())
    kinds = [one["kind"] for one in run["ledger"]["serving1"]]
    assert {"restore", "hold"} <= set(kinds[-3:])


def test_what_went_back_is_held_until_it_is_released(told: dict[str, dict[str, Any]]) -> None:
    run = told["held"]
    assert run["code"] == 0, run["log"]
    assert run["processes"] == told["broken"]["processes"], "a held engine was restarted"
    assert "chat is held by" in run["all"]


def test_a_rollback_goes_to_what_ran_before(told: dict[str, dict[str, Any]]) -> None:
    run = told["rollback"]
    assert run["code"] == 0, run["log"]
    assert set(run["last"]) == {"old:"}
    assert all("--prefix=old:" in text for text in run["processes"].values())


def test_a_host_is_held_out_of_the_traffic_until_it_is_released(told: dict[str, dict[str, Any]]) -> None:
    out, refused, while_out = told["out"], told["refused"], told["while_out"]
    assert out["code"] == 0, out["log"]
    assert "chat: 2 in service, 1 while serving1 is out, at least 1" in out["all"]
    assert out["ledger"]["serving1"][-1]["kind"] == "hold"
    assert out["ledger"]["serving1"][-1]["verdict"] == "hold: a fan is replaced"
    assert refused["code"] != 0
    assert "taking chat-1 on serving2 out leaves 0 of 1 in service" in refused["all"]
    assert refused["ledger"] == out["ledger"]
    assert while_out["code"] == 0, while_out["log"]
    assert "serving1 is held by" in while_out["all"]
    assert re.search(r"serving1 +: ok=\d +changed=0 ", while_out["recap"]), "a held host was in a play that touches it"
    assert while_out["processes"] == out["processes"]
    assert told["in"]["code"] == 0, told["in"]["log"]
    assert told["in"]["ledger"]["serving1"][-1]["kind"] == "release"
    assert told["in"]["processes"] == out["processes"]


def test_a_host_reboots_out_of_the_traffic_after_a_run_that_was_killed_before(told: dict[str, dict[str, Any]]) -> None:
    before, cut, rebooted = told["in"], told["cut"], told["rebooted"]
    assert cut["code"] != 0
    assert rebooted["code"] == 0, rebooted["log"]
    assert "has ended without releasing this host, at: reboot serving1; this run goes on after it" in rebooted["all"]
    assert rebooted["processes"]["serving1"].partition(" ")[0] not in ("", before["processes"]["serving1"].split()[0])
    assert rebooted["processes"]["serving2"] == before["processes"]["serving2"]
    assert rebooted["ledger"]["serving1"][-1]["verdict"] == "reboot"
    assert "serving1 is in the traffic again." in rebooted["all"]


def test_a_version_that_fails_with_real_traffic_alone_goes_back_by_itself(told: dict[str, dict[str, Any]]) -> None:
    run = told["faulty"]
    assert run["code"] != 0
    assert "The rollout went back." in run["log"]
    assert "is not good enough for real traffic" in " ".join(run["log"].split())
    assert all("--prefix=old:" in text and "--fail-rate" not in text for text in run["processes"].values())
    assert set(run["last"]) == {"old:"}
    verdicts = [one for one in run["ledger"]["serving1"] if one["kind"] == "judge"]
    assert verdicts[-1]["figures"]["new"]["error_share"] > 0.3
    # Nobody asks another replica after an answer of 500, so clients see those of the share until the verdict.
    exposed = run["failed_at"][-1] - run["failed_at"][0]
    print(f"faulty: {len(run['failed'])} of {run['requests']} requests failed within {exposed:.1f} s")
    assert all("500" in text for text in run["failed"])
    assert len(run["failed"]) < 0.1 * run["requests"]
    assert exposed < 30
