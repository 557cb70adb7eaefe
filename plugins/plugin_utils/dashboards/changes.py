# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard of changes: each replica beside the others.

Pure data; no Ansible, no files, no network.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.dashboards.panels import (
    MODEL,
    Dashboard,
    Panel,
    Row,
    q,
    quantile,
)

THIS = 'model=~"$model"'

CHANGES = Dashboard(
    "changes",
    "Changes and rollouts",
    "What is being changed, and each replica beside the others: the old version and the new one.",
    (MODEL,),
    (
        Row(
            "What is going on",
            (
                Panel(
                    "Hosts that are changed or held",
                    "count",
                    (q("host:llmfleet_changing:max", "{{host}}"),),
                    "1 from the beginning of a run to ten minutes after it, and while maintain.yml holds the host.",
                ),
                Panel(
                    "Hosts that are held",
                    "count",
                    (q("max by (held) (llmfleet_held_host)", "{{held}}"),),
                    "By playbooks/maintain.yml. It releases them with do=release.",
                    "table",
                ),
                Panel(
                    "Time since engines started",
                    "seconds",
                    (
                        q(
                            f'time() - process_start_time_seconds{{replica!="", {THIS}}}',
                            "{{model}}-{{replica}} on {{host}}",
                        ),
                    ),
                    "A line that falls to zero is a start.",
                ),
                Panel(
                    "Restarts by the watchdog",
                    "count",
                    (
                        q(
                            f"sum by (model, replica) (increase(llmfleet_watchdog_restarts_total{{{THIS}}}[1h]))",
                            "{{model}}-{{replica}}",
                        ),
                    ),
                    "In an hour: of engines that stood still or gave wrong answers.",
                ),
                Panel(
                    "Engines that the watchdog gave up",
                    "count",
                    (
                        q(f"llmfleet_watchdog_gave_up{{{THIS}}}", "{{model}}-{{replica}}"),
                        q(
                            f"llmfleet_watchdog_semantic_probe_failing{{{THIS}}}",
                            "{{model}}-{{replica}} wrong answers",
                        ),
                    ),
                    "1 where somebody has to look.",
                ),
            ),
        ),
        Row(
            "Replica beside replica",
            (
                Panel(
                    "Replicas that answer",
                    "count",
                    (q(f'up{{replica!="", {THIS}}}', "{{model}}-{{replica}} on {{host}}"),),
                    "1 while Prometheus can read it, else 0.",
                ),
                Panel(
                    "Time to first token, 95th percentile",
                    "seconds",
                    (
                        q(
                            quantile(0.95, "vllm:time_to_first_token_seconds", "model, replica, host", THIS),
                            "{{model}}-{{replica}} on {{host}}",
                        ),
                    ),
                    "A new version that is slower than the old one shows here first.",
                ),
                Panel(
                    "Time between tokens, 95th percentile",
                    "seconds",
                    (
                        q(
                            quantile(0.95, "vllm:inter_token_latency_seconds", "model, replica, host", THIS),
                            "{{model}}-{{replica}} on {{host}}",
                        ),
                    ),
                    "How fast the answers of each replica are to read.",
                ),
                Panel(
                    "Answers that end in an error",
                    "requests/s",
                    (
                        q(
                            f"""sum by (model, replica, host)
                            (rate(vllm:request_success_total{{{THIS}, finished_reason="error"}}[5m]))""",
                            "{{model}}-{{replica}} on {{host}}",
                        ),
                    ),
                    "The engine failed.",
                ),
                Panel(
                    "Tokens of answers",
                    "tokens/s",
                    (
                        q(
                            f"sum by (model, replica, host) (rate(vllm:generation_tokens_total{{{THIS}}}[5m]))",
                            "{{model}}-{{replica}} on {{host}}",
                        ),
                    ),
                    "What each replica computes: its share of the traffic.",
                    "areas",
                ),
                Panel(
                    "KV cache of each replica",
                    "count",
                    (
                        q(
                            f"vllm:cache_config_info{{{THIS}}}",
                            "{{model}}-{{replica}} on {{host}}: {{num_gpu_blocks}} blocks of {{block_size}}",
                        ),
                    ),
                    "Blocks and tokens per block, as each engine reports them.",
                    "table",
                ),
            ),
        ),
    ),
)
