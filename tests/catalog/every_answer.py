#!/usr/bin/env python3
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask about every shipped model on a usual machine of every card, and print how long the answers took.

PYTHONPATH=collections python3 tests/catalog/every_answer.py
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ansible_collections.llmfleet.serving.plugins.module_utils.nvidia.cards import CARDS
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif import answer, cost, machines, question
from ansible_collections.llmfleet.serving.plugins.plugin_utils.whatif.reading import SHIPPED


def main() -> int:
    """Run the program."""
    facts = json.loads(Path(SHIPPED).read_text())
    slowest, fitting, number, began = (0.0, ""), 0, 0, time.process_time()
    for name in sorted(facts):
        for card in CARDS:
            for users in (None, 32):
                wish = question.changes({"users": users})
                asked = question.Question({"name": "m", "source": f"hf://{name}", **wish}, facts[name])
                at = time.process_time()
                found = answer.answer(asked, machines.hosts([[card] * card.per_machine]), cost.Given())
                slowest = max(slowest, (time.process_time() - at, f"{name} on {card.name}, {users} users"))
                number, fitting = number + 1, fitting + found["fits"]
    seconds = time.process_time() - began
    print(f"{number} answers, {fitting} fit; {seconds:.0f} s of CPU, the slowest {slowest[0]:.2f} s: {slowest[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
