# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twenty entries of the shipped table, others each day: the installed vLLM still says the same."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.llmfleet.serving.tests.vllm import matrix, table  # noqa: E402

ENTRIES = 20
# A busy machine asks about fewer.
SECONDS = 60


def test_vllm_says_what_the_table_has_of_what_is_drawn_today(capsys: pytest.CaptureFixture[str]) -> None:
    """Each entry is asked about on some card of its capability, so that one card stands for all of them with reason."""
    if not matrix.PYTHON:
        pytest.fail("there is no vLLM on this machine: `make demo` installs it, or set LLM_VLLM_PYTHON", pytrace=False)
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    different = []
    until = float("inf")
    with table.asking() as ask, capsys.disabled():
        print(f"\n{ENTRIES} entries of the shipped table, drawn by {today}")
        for one, known in table.drawn(today, ENTRIES):
            if time.monotonic() > until:
                break
            heard = table.said(ask, one)
            # The first answer takes as long as the imports.
            until = min(until, time.monotonic() + SECONDS)
            print(f"{'agrees' if heard == known else 'differs':8} {one.model['repository']} | {one.card} | {one.asked}")
            if heard != known:
                different.append(f"{one.model['repository']} | {one.card} | {one.asked}: {heard}, the table: {known}")
    assert different == [], "make answers, with --anew in a release that answers otherwise"
