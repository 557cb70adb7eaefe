# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""While one client attacks, another gets its answers. tests/benchmarks/gate.py measures the same closely."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable

import pytest
from gate_attacks import ATTACKS
from gate_process import Gate
from patience import Watch

Start = Callable[..., Gate]
REQUESTS = 20
# The machine of a test does other things too, and the attacker's processor is the gate's. What the attacks once did was
# to stop everybody for 12 seconds and more.
MOST, SECONDS = 5.0, 2.0


def slow(gate: Gate) -> float:
    """The second longest of some requests that take the engine 50 ms each."""
    seconds = []
    for _number in range(REQUESTS):
        watch = Watch()
        assert gate.chat("tokens=5 delay=0.05").status == 200
        seconds.append(watch.seconds())
    return sorted(seconds)[-2]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: str(attack.__name__))
def test_an_attack_leaves_others_their_answers(start: Start, attack: Callable[[int, str], None]) -> None:
    gate = start()
    gate.key("attacker")
    idle = slow(gate)
    process = multiprocessing.get_context("fork").Process(target=attack, args=(gate.port, gate.key_of("attacker")))
    process.start()
    try:
        time.sleep(0.5)
        assert slow(gate) < MOST * idle + SECONDS
        assert process.is_alive()
    finally:
        process.kill()
        process.join()
