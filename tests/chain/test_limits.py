# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key gets what it may have, and no more."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest

pytestmark = pytest.mark.limits

# More than the rpm of any key that is meant for this test.
MOST_REQUESTS = 200


def ask(client: openai.OpenAI, model: str, times: int = 1) -> None:
    for _request in range(times):
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], max_tokens=4)


def test_a_key_over_its_limit_is_told_when_to_come_back(
    client_for: Callable[[str], openai.OpenAI], limited_key: str, model: str, is_served: Callable[[], None]
) -> None:
    limited = client_for(limited_key)
    with pytest.raises(openai.RateLimitError) as refusal:
        ask(limited, model, MOST_REQUESTS)
    assert float(refusal.value.response.headers["retry-after"]) >= 0
    assert isinstance(refusal.value.body, dict)
    assert refusal.value.body["message"]
    assert limited_key not in str(refusal.value)
    is_served()


def test_a_key_of_another_model_is_refused(
    client_for: Callable[[str], openai.OpenAI], other_key: str, model: str
) -> None:
    other = client_for(other_key)
    with pytest.raises(openai.PermissionDeniedError):
        ask(other, model)
    assert model not in {entry.id for entry in other.models.list()}
