# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate as it runs, in front of a stub: no demo is needed.

At its end each gate has to be well: it runs, holds no slot, and has printed no traceback, no key and no prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gate_process import ENGINE_KEY, TRANSLATOR_KEY, Gate, Stub, stub_running
from limit_store import LimitStore
from patience import within

Start = Callable[..., Gate]
# Words of the tests' prompts and of the stub's broken answers.
SECRETS = ("secret-text", "sk-team", ENGINE_KEY, TRANSLATOR_KEY)
FAULTS = re.compile(r"Traceback|Error handling|never awaited|never retrieved|Unclosed| failed \([A-Z]\w+, ")


@pytest.fixture(scope="session")
def stub() -> Iterator[Stub]:
    with stub_running() as running:
        yield running


def healthy(gate: Gate) -> None:
    """Fail where a gate has lost something or said too much."""
    printed = gate.printed()
    assert not FAULTS.search(printed), printed
    assert not [secret for secret in SECRETS if secret in printed], printed
    if gate.runs():
        within(5, lambda: gate.in_flight() == 0, "every slot comes back")


@pytest.fixture
def start(stub: Stub, tmp_path: Path) -> Iterator[Start]:
    """Start gates with settings of their own."""
    gates: list[Gate] = []

    def begin(*, stopped: bool = False, **settings: Any) -> Gate:
        folder = tmp_path / f"gate{len(gates)}"
        folder.mkdir()
        gate = Gate(folder, stub.port, **settings)
        gates.append(gate)
        gate.key("team")
        return gate if stopped else gate.start()

    yield begin
    try:
        for gate in gates:
            if gate.process:
                healthy(gate)
    finally:
        for gate in gates:
            gate.end()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LimitStore]:
    """A Redis or Valkey with the rights that the role valkey gives."""
    running = LimitStore(tmp_path / "store").start()
    try:
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def gate(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate that the tests of a module share; it has the keys that `keys` of the module names."""
    folder = tmp_path_factory.mktemp("gate")
    shared = Gate(
        folder,
        stub.port,
        models=[
            {"name": "chat", "aliases": ["gpt-4o", "team/large"], "context": 4096, "request_defaults": {"top_k": 7}},
            {"name": "guide"},
            {"name": "far", "translated": True},
        ],
        body_timeout=1.0,
        request_timeout=3.0,
    )
    shared.key("team")
    shared.key("guide-only", models=["guide"])
    shared.key("alias-only", models=["gpt-4o"])
    shared.key("blocked", blocked=True)
    shared.key("expired", expires="2020-01-01")
    shared.key("scraper", scope="metrics")
    shared.start()
    try:
        yield shared
        assert shared.runs()
        healthy(shared)
    finally:
        shared.end()
