# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine Echo, as the collection's plan and wiring know it: `file` of its row in llm_engines_extra."""

from __future__ import annotations

from typing import Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.engines.plain import PlainEngine


class Echo(PlainEngine):
    """An engine that answers with the question."""

    litellm_provider = "openai"
    health_path = "/ready"
    traffic_metrics: Mapping[str, str] = {
        "requests": "echo_requests_total",
        "failed_answers": 'echo_answers_total{status="5xx"}',
        "first_token": "echo_first_token_seconds",
    }
    reserved_args: Mapping[str, str] = {"port": "the port follows from the plan"}


ENGINE = Echo("echo", "Echo")
