# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import keyring

VALUE = "sk-'\"$ %`-0123456789"
SUM = hashlib.sha256(VALUE.encode()).hexdigest()


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, {}),
        ({"rpm": 5, "tpm": None, "models": [], "expires": ""}, {"rpm": 5}),
        ({"models": ["chat"], "blocked": False}, {"models": ["chat"], "blocked": False}),
        ({"sha256": "0" * 64}, {}),
    ],
)
def test_an_entry_has_what_is_set_and_the_sum(fields: dict[str, Any], kept: dict[str, Any]) -> None:
    assert keyring.entry({"alias": "a", "key": VALUE, **fields}) == {"alias": "a", **kept, "sha256": SUM}


def test_prometheus_has_a_key_for_metrics_alone() -> None:
    ring = keyring.keyring([{"alias": "a", "key": VALUE}], "sk-metrics")
    own = {"alias": "prometheus", "scope": "metrics", "sha256": hashlib.sha256(b"sk-metrics").hexdigest()}
    assert ring["keys"] == [{"alias": "a", "sha256": SUM}, own]
    assert VALUE not in str(ring)
    assert "sk-metrics" not in str(ring)
