# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables that were renamed. An inventory that sets an old name is refused with the new one.

To rename a variable, add a row.
"""

from __future__ import annotations

from typing import Iterable

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import Problem

RENAMED = {
    "litellm_extra_fields": "gate_extra_fields",
    "litellm_max_choices": "gate_max_choices",
    "litellm_max_prompts": "gate_max_prompts",
    "litellm_metrics_key": "gate_metrics_key",
    "llm_vllm_port_base": "llm_engine_port_base",
    "vllm_api_key": "llm_engine_api_key",
    "vllm_download_environment": "models_download_environment",
    "vllm_hf_endpoint": "llm_hf_endpoint",
    "vllm_hf_ignore": "models_hf_ignore",
    "vllm_hf_refresh": "models_hf_refresh",
    "vllm_hf_token": "llm_hf_token",
    "vllm_models_root": "llm_models_root",
}
# Variables whose values have another form now, and what to do.
REPLACED = {
    "litellm_key_paths": "remove it; nginx_api_paths sets the paths of the API, each with its methods, such as "
    "{/v1/models: [GET, HEAD]}",
}


def problems(names: Iterable[str], host: str) -> list[Problem]:
    """Return a problem for each renamed variable of a host. No message shows a value.

    :param names: variables that the inventory or the command line sets for the host.
    """
    given = set(names)
    renamed = [
        Problem(name, "set", "it has another name now", f"rename it to {RENAMED[name]}", host=host)
        for name in sorted(given & set(RENAMED))
    ]
    replaced = [
        Problem(name, "set", "another variable with another form replaces it", REPLACED[name], host=host)
        for name in sorted(given & set(REPLACED))
    ]
    return [*renamed, *replaced]
