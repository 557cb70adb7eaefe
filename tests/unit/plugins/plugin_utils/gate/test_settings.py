# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import settings

PLAIN = {"name": "chat", "aliases": [], "context": 0}


@pytest.mark.parametrize(
    ("entry", "made"),
    [
        ({"name": "chat"}, PLAIN),
        ({"name": "chat", "aliases": None, "context": None, "rpm": None, "request_defaults": None}, PLAIN),
        ({"name": "chat", "rpm": "5", "tpm": 0, "context": "4096"}, {**PLAIN, "rpm": 5, "context": 4096}),
        ({"name": "chat", "request_defaults": {"top_p": None}}, PLAIN),
        ({"name": "chat", "replicas": []}, PLAIN),
        ({"name": "chat", "cost": {"input_per_token": 0, "output_per_token": 0, "cached_per_token": None}}, PLAIN),
        (
            {"name": "chat", "cost": {"input_per_token": 2e-07, "output_per_token": "0.5", "cached_per_token": 0}},
            {
                **PLAIN,
                "cost": {"cached_per_token": "0", "input_per_token": "0.0000002", "output_per_token": "0.5"},
            },
        ),
        ({"name": "chat", "replicas": [0, 1]}, {**PLAIN, "replicas": ["0", "1"]}),
        (
            {"name": "chat", "request_defaults": {"top_p": None, "temperature": 0}},
            {**PLAIN, "request_defaults": {"temperature": 0}},
        ),
    ],
)
def test_a_model_has_what_is_set(entry: dict[str, Any], made: dict[str, Any]) -> None:
    assert settings.model(entry) == made


def test_models_of_litellm_alone_come_last_and_need_a_translation() -> None:
    whole = settings.settings([{"name": "chat"}], {"port": 1, "other_models": ["far"]})
    assert whole == {"port": 1, "models": [PLAIN, {"name": "far", "translated": True}]}


def test_every_name_that_a_client_may_ask_for() -> None:
    models = [{"name": "chat", "aliases": ["a", "b"]}, {"name": "embed", "aliases": None}]
    assert settings.names(models, ["far"]) == ["chat", "a", "b", "embed", "far"]
