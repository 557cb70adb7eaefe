# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard of the fleet as a whole: whether all is well.

Pure data; no Ansible, no files, no network.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import (
    Dashboard,
    Panel,
    Row,
    q,
)

FLEET = Dashboard(
    "fleet",
    "Fleet",
    "Whether all is well: what answers, how fast, how much is asked.",
    (),
    (
        Row(
            "Now",
            (
                Panel(
                    "Alerts that are raised",
                    "count",
                    (q('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts"),),
                    "Each has a page in docs/runbooks that says what to type.",
                    "number",
                ),
                Panel(
                    "Replicas that do not answer",
                    "count",
                    (q('sum(up{replica!=""} == bool 0)', "replicas"),),
                    "Engines of models that Prometheus cannot read.",
                    "number",
                ),
                Panel(
                    "Other services that do not answer",
                    "count",
                    (q('sum(up{replica=""} == bool 0)', "services"),),
                    "Gates, exporters and Prometheus itself.",
                    "number",
                ),
                Panel(
                    "Requests in flight",
                    "count",
                    (q("sum(llmfleet_gate_requests_in_flight)", "requests"),),
                    "Requests that gateways are answering.",
                    "number",
                ),
            ),
        ),
        Row(
            "Models",
            (
                Panel(
                    "Replicas that answer",
                    "count",
                    (
                        q('sum by (model) (up{replica!=""})', "{{model}}"),
                        q('count by (model) (up{replica!=""})', "{{model}}, planned"),
                    ),
                    "Below the planned number, requests have fewer engines to go to.",
                ),
                Panel(
                    "Requests",
                    "requests/s",
                    (q("model:gate_requests:rate5m", "{{model}}"),),
                    "What clients ask of each model.",
                    "areas",
                ),
                Panel(
                    "Share of requests that fail (5xx)",
                    "share",
                    (q("model:gate_requests_5xx:ratio_rate5m", "{{model}}"),),
                    "Nothing is drawn while nobody asks.",
                ),
                Panel(
                    "Time to first token, 95th percentile",
                    "seconds",
                    (q("model:vllm_time_to_first_token_seconds:p95_rate5m", "{{model}}"),),
                    "How long the slowest twentieth waits until an answer begins, as engines see it.",
                ),
                Panel(
                    "Tokens of answers",
                    "tokens/s",
                    (q("model:vllm_generation_tokens:rate5m", "{{model}}"),),
                    "What the engines compute for answers.",
                    "areas",
                ),
                Panel(
                    "Requests that wait in engines",
                    "count",
                    (q("model:vllm_requests_waiting:sum", "{{model}}"),),
                    "For a place in the batch. If many wait for long, the model needs a replica.",
                ),
                Panel(
                    "KV cache of the fullest replica",
                    "share",
                    (q("model:vllm_kv_cache_usage:max", "{{model}}"),),
                    "When it is full, requests wait, or are computed anew. That it is high is no fault.",
                ),
            ),
        ),
        Row(
            "Hosts",
            (
                Panel(
                    "Processor",
                    "share",
                    (q("instance:node_cpu_utilisation:ratio_rate5m", "{{instance}}"),),
                    "Share of all cores that work.",
                ),
                Panel(
                    "Memory",
                    "share",
                    (q("instance:node_memory_utilisation:ratio", "{{instance}}"),),
                    "Share that programs cannot get any more.",
                ),
                Panel(
                    "Fullest file system",
                    "share",
                    (q("max by (instance) (instance_mountpoint:node_filesystem_utilisation:ratio)", "{{instance}}"),),
                    "Each host's fullest one.",
                ),
            ),
        ),
    ),
)
