# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What requests cost, as the log of usage has it: by the price in force when they ended, also where a client left."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gate_process import Gate, said
from patience import within

Start = Callable[..., Gate]


def models(output: str) -> list[dict[str, Any]]:
    return [
        {"name": "chat", "cost": {"input_per_token": "0.0000002", "output_per_token": output}},
        {"name": "guide"},
    ]


def test_a_line_has_the_cost_of_its_request(start: Start) -> None:
    gate = start(models=models("0.0000006"))
    key = gate.key("own")
    within(3, lambda: gate.get("/v1/models", key).status == 200, "the key is known")
    assert gate.chat("tokens=24", key).status == 200
    gate.settings["models"] = models("0.5")
    gate.reload()
    within(3, lambda: gate.chat("tokens=1", key).status == 200 and gate.log()[-1]["cost"] == "0.5000016", "a new price")
    assert gate.log()[0]["cost"] == "0.000016"
    assert gate.chat("hi", key, model="guide").status == 200
    assert gate.log()[-1]["cost"] == "0"
    with gate.open(said("tokens=1000 rate=100", stream=True), key):
        within(3, lambda: gate.in_flight() == 1, "the stream runs")
    within(3, lambda: gate.log()[-1]["status"] == 499, "it is booked")
    last = gate.log()[-1]
    prompt, completion = Decimal("0.0000002") * last["prompt_tokens"], Decimal("0.5") * last["completion_tokens"]
    assert completion
    assert Decimal(last["cost"]) == prompt + completion
