# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dashboard of models: how fast they answer, what holds them up, what they are asked.

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

MODELS = Dashboard(
    "model",
    "Model",
    "How fast a model answers, what holds it up, what it is asked.",
    (MODEL,),
    (
        Row(
            "How fast it answers",
            (
                Panel(
                    "Time to first token",
                    "seconds",
                    tuple(
                        q(f"model:vllm_time_to_first_token_seconds:p{p}_rate5m{{{THIS}}}", f"{{{{model}}}} p{p}")
                        for p in (50, 95, 99)
                    ),
                    "From the arrival in the engine on: half, 95 % and 99 % of the answers begin sooner.",
                ),
                Panel(
                    "Time between tokens",
                    "seconds",
                    (
                        *(
                            q(f"model:vllm_inter_token_latency_seconds:p{p}_rate5m{{{THIS}}}", f"{{{{model}}}} p{p}")
                            for p in (50, 95, 99)
                        ),
                        q(f"model:token_target:seconds{{{THIS}}}", "{{model}} target"),
                    ),
                    "How fast an answer is to read. The target is prometheus_model_targets.",
                ),
                Panel(
                    "Time in the queue",
                    "seconds",
                    (
                        *(
                            q(f"model:vllm_request_queue_time_seconds:p{p}_rate5m{{{THIS}}}", f"{{{{model}}}} p{p}")
                            for p in (50, 95)
                        ),
                        q(f"model:queue_target:seconds{{{THIS}}}", "{{model}} target"),
                    ),
                    "Time that requests wait for a place in the batch.",
                ),
                Panel(
                    "Time of a whole answer",
                    "seconds",
                    tuple(
                        q(quantile(p / 100, "vllm:e2e_request_latency_seconds", "model", THIS), f"{{{{model}}}} p{p}")
                        for p in (50, 95)
                    ),
                    "From the arrival in the engine to the last token.",
                ),
                Panel(
                    "First tokens that came late",
                    "requests/s",
                    (
                        q(f"clamp_min(model:first_token_late:rate5m{{{THIS}}}, 0)", "{{model}} late"),
                        q(f"model:vllm_first_tokens:rate5m{{{THIS}}}", "{{model}} all"),
                    ),
                    "Later than the model's target, beside all. Alerts compare the two.",
                ),
            ),
        ),
        Row(
            "What it computes",
            (
                Panel(
                    "Replicas that answer",
                    "count",
                    (
                        q(f'sum by (model) (up{{replica!="", {THIS}}})', "{{model}}"),
                        q(f'count by (model) (up{{replica!="", {THIS}}})', "{{model}}, planned"),
                    ),
                    "Below the planned number, requests have fewer engines to go to.",
                ),
                Panel(
                    "Requests in the batch",
                    "count",
                    (q(f"vllm:num_requests_running{{{THIS}}}", "{{model}}-{{replica}}"),),
                    "Requests that each replica computes at once.",
                ),
                Panel(
                    "Requests that wait, by reason",
                    "count",
                    (
                        q(
                            f"sum by (model, reason) (vllm:num_requests_waiting_by_reason{{{THIS}}})",
                            "{{model}} {{reason}}",
                        ),
                    ),
                    "capacity: the batch or the cache is full. deferred: they wait for something else.",
                ),
                Panel(
                    "KV cache",
                    "share",
                    (q(f"vllm:kv_cache_usage_perc{{{THIS}}}", "{{model}}-{{replica}}"),),
                    "When it is full, requests wait, or are computed anew. That it is high is no fault.",
                ),
                Panel(
                    "Requests that are computed anew",
                    "per second",
                    (q(f"model:vllm_preemptions:rate5m{{{THIS}}}", "{{model}}"),),
                    "Preempted, because the KV cache was full. If it lasts, lower max-num-seqs or the context.",
                ),
                Panel(
                    "Prompt tokens found in the cache",
                    "share",
                    (q(f"model:vllm_prefix_cache_hits:ratio_rate5m{{{THIS}}}", "{{model}}"),),
                    "Share of the tokens of prompts whose beginning was computed before.",
                ),
                Panel(
                    "Tokens",
                    "tokens/s",
                    (
                        q(f"model:vllm_prompt_tokens:rate5m{{{THIS}}}", "{{model}} prompts"),
                        q(f"sum by (model) (rate(vllm:prompt_tokens_cached_total{{{THIS}}}[5m]))", "{{model}} cached"),
                        q(f"model:vllm_generation_tokens:rate5m{{{THIS}}}", "{{model}} answers"),
                    ),
                    "Of prompts, of those the ones from the cache, and of answers.",
                ),
            ),
        ),
        Row(
            "What it is asked",
            (
                Panel(
                    "Length of prompts",
                    "count",
                    tuple(
                        q(quantile(p / 100, "vllm:request_prompt_tokens", "model", THIS), f"{{{{model}}}} p{p}")
                        for p in (50, 95)
                    ),
                    "Tokens. Long prompts make others wait for their first token.",
                ),
                Panel(
                    "Length of answers",
                    "count",
                    tuple(
                        q(quantile(p / 100, "vllm:request_generation_tokens", "model", THIS), f"{{{{model}}}} p{p}")
                        for p in (50, 95)
                    ),
                    "Tokens.",
                ),
                Panel(
                    "How answers end",
                    "requests/s",
                    (
                        q(
                            f"model_finished_reason:vllm_requests:rate5m{{{THIS}}}",
                            "{{model}} {{finished_reason}}",
                        ),
                    ),
                    "stop: by itself. length: at the limit. abort: the client left. error: the engine failed.",
                    "areas",
                ),
                Panel(
                    "Requests that the engine refuses",
                    "per second",
                    (
                        q(
                            f"sum by (model, reason) (rate(vllm:admission_rejections_total{{{THIS}}}[5m]))",
                            "{{model}} {{reason}}",
                        ),
                    ),
                    "Because its queue is full.",
                ),
                Panel(
                    "Small JSON answers of the gate's probe",
                    "seconds",
                    (q(f"llmfleet_gate_probe_duration_seconds{{{THIS}}}", "{{model}}-{{replica}}"),),
                    "The gate asks each replica for one now and then, to see whether its compiler of grammars works.",
                ),
                Panel(
                    "Guessed tokens that were right",
                    "share",
                    (
                        q(
                            f"""sum by (model) (rate(vllm:spec_decode_num_accepted_tokens_total{{{THIS}}}[5m]))
                            / (sum by (model) (rate(vllm:spec_decode_num_draft_tokens_total{{{THIS}}}[5m])) > 0)""",
                            "{{model}}",
                        ),
                    ),
                    "Of models with speculative decoding only.",
                ),
            ),
        ),
    ),
)
