# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard of gateways: who uses what, what limits turn away, and the doors.

Pure data; no Ansible, no files, no network.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import (
    KEY,
    MODEL,
    Dashboard,
    Panel,
    Row,
    q,
    quantile,
)

THIS = 'model=~"$model"'
OWN = 'model=~"$model", key=~"$key"'

GATEWAY = Dashboard(
    "gateway",
    "Gateways: who uses what",
    "Requests and tokens by model and key, what limits turn away, and the doors.",
    (MODEL, KEY),
    (
        Row(
            "Who uses what",
            (
                Panel(
                    "Requests by model",
                    "requests/s",
                    (q(f"sum by (model) (rate(llmfleet_gate_requests_total{{{OWN}}}[5m]))", "{{model}}"),),
                    "Of the keys that are chosen.",
                    "areas",
                ),
                Panel(
                    "Requests by key",
                    "requests/s",
                    (q(f"topk(15, sum by (key) (rate(llmfleet_gate_requests_total{{{OWN}}}[5m])))", "{{key}}"),),
                    "The fifteen keys that ask most often.",
                    "areas",
                ),
                Panel(
                    "Tokens by key",
                    "tokens/s",
                    (
                        q(
                            f'topk(15, sum by (key) (rate(llmfleet_gate_tokens_total{{{OWN}, type!="cached"}}[5m])))',
                            "{{key}}",
                        ),
                    ),
                    "Of prompts and answers; the fifteen keys with the most.",
                    "areas",
                ),
                Panel(
                    "Tokens by kind",
                    "tokens/s",
                    (q(f"sum by (type) (rate(llmfleet_gate_tokens_total{{{OWN}}}[5m]))", "{{type}}"),),
                    "Of prompts, of those the ones from the cache, and of answers.",
                ),
                Panel(
                    "Tokens of the last day",
                    "count",
                    (
                        q(
                            f"""topk(50, sum by (key, team, model, type)
                            (increase(llmfleet_gate_tokens_total{{{OWN}}}[1d])) > 0)""",
                            "{{key}} {{model}} {{type}}",
                        ),
                    ),
                    "By key, team, model and kind. playbooks/usage.yml sums longer times and costs.",
                    "table",
                ),
                Panel(
                    "Spent of budgets",
                    "share",
                    (
                        q(
                            "llmfleet_gate_budget_spent / (llmfleet_gate_budget_amount > 0)",
                            "{{key}} {{team}} {{model}} per {{per}}",
                        ),
                    ),
                    "Of the budgets of keys, teams and models in this day, week or month.",
                    "table",
                ),
            ),
        ),
        Row(
            "What is turned away or fails",
            (
                Panel(
                    "Requests by status",
                    "requests/s",
                    (q(f"sum by (status) (rate(llmfleet_gate_requests_total{{{OWN}}}[5m]))", "{{status}}"),),
                    "429: a limit. 499: the client left. 5xx: the fleet is at fault.",
                ),
                Panel(
                    "Refused by the gate, by reason",
                    "requests/s",
                    (
                        q(
                            'sum by (reason) (rate(llmfleet_gate_refusals_total{key=~"$key"}[5m]))',
                            "{{reason}}",
                        ),
                    ),
                    "Requests that no engine has seen.",
                    "areas",
                ),
                Panel(
                    "Share turned away by limits (429)",
                    "share",
                    (q(f"model:gate_requests_429:ratio_rate5m{{{THIS}}}", "{{model}}"),),
                    "Nothing is drawn while nobody asks.",
                ),
            ),
        ),
        Row(
            "How long it takes behind the doors",
            (
                Panel(
                    "Time to first byte",
                    "seconds",
                    tuple(
                        q(
                            quantile(p / 100, "llmfleet_gate_time_to_first_byte_seconds", "model", THIS),
                            f"{{{{model}}}} p{p}",
                        )
                        for p in (50, 95)
                    ),
                    "From the last byte of a request to the first of its answer.",
                ),
                Panel(
                    "Time of a whole answer",
                    "seconds",
                    tuple(
                        q(
                            quantile(p / 100, "llmfleet_gate_request_duration_seconds", "model", THIS),
                            f"{{{{model}}}} p{p}",
                        )
                        for p in (50, 95)
                    ),
                    "From the last byte of a request to the last of its answer.",
                ),
                Panel(
                    "Requests in flight",
                    "count",
                    (q(f"sum by (model) (llmfleet_gate_requests_in_flight{{{THIS}}})", "{{model}}"),),
                    "Requests that gateways are answering.",
                    "areas",
                ),
            ),
        ),
        Row(
            "The doors",
            (
                Panel(
                    "Connections of Nginx",
                    "count",
                    (q("instance:nginx_connections_active:sum", "{{instance}}"),),
                    "Open connections of clients and of what is behind.",
                ),
                Panel(
                    "Requests of Nginx",
                    "requests/s",
                    (q("instance:nginx_http_requests:rate5m", "{{instance}}"),),
                    "All requests at all doors, the chat page's too.",
                ),
                Panel(
                    "Connections that Nginx dropped",
                    "per second",
                    (q("clamp_min(instance:nginx_connections_dropped:rate5m, 0)", "{{instance}}"),),
                    "Above zero, Nginx has no connections left.",
                ),
                Panel(
                    "Lines of the usage log that were lost",
                    "count",
                    (q("sum(increase(llmfleet_gate_usage_entries_lost_total[1h]))", "lines in an hour"),),
                    "Above zero, a disk is full or slow.",
                ),
                Panel(
                    "Usage that is not booked yet",
                    "bytes",
                    (q("llmfleet_gate_usage_unbooked_bytes", "{{instance}}"),),
                    "Of the usage log, where a database books it.",
                ),
                Panel(
                    "Shared limits",
                    "count",
                    (q("llmfleet_gate_limit_store_up", "{{instance}}"),),
                    "1 while the cache in which gates count together answers, else 0.",
                ),
            ),
        ),
    ),
)
