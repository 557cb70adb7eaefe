# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through the north door: what the default scenario's gateways promise holds when everything is a container."""

from __future__ import annotations

from test_gateways import (
    gateway,
    test_completion,
    test_metrics_and_docs_stay_inside,
    test_stream_ends_with_done,
    test_tls_is_recent_and_the_name_is_checked,
    test_wrong_key_is_401,
)
from test_monitoring import query, test_every_target_is_up, test_recording_rules_have_values
from test_secrets import test_there_are_secrets_to_look_for

__all__ = [
    "gateway",
    "query",
    "test_completion",
    "test_every_target_is_up",
    "test_metrics_and_docs_stay_inside",
    "test_recording_rules_have_values",
    "test_stream_ends_with_done",
    "test_there_are_secrets_to_look_for",
    "test_tls_is_recent_and_the_name_is_checked",
    "test_wrong_key_is_401",
]
