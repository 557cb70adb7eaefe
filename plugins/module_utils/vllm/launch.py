# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an instance of vLLM is started with beyond its own values, so that the plan can tell every restart.

It is derived from the same service spec that the role writes. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm import specs

# Settings of every instance of a host that the plan names one by one. Their variables are vllm_<name>.
SETTINGS = ("compile", "log_level", "drain_timeout", "api_paths", "max_choices", "max_prompts", "media_domains")
# What a spec says of waiting, filters and order restarts nothing.
NOT_STARTED_WITH = ("ready", "egress", "after", "secrets", "generation")
POLICY = "scheduling-policy"
DIGITS = 12


def digest(value: Any) -> str:
    """Return a short digest of a value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def concealed(env: Mapping[str, Any]) -> dict[str, str | None]:
    """Return environment variables with digests instead of values; null, which takes one away, stays."""
    return {str(name): None if value is None else digest(str(value)) for name, value in env.items()}


def _setting(name: str, value: Any) -> Any:
    """Return a setting in its own type: templates of older versions of Ansible give texts."""
    if name == "compile":
        return str(value).lower() in ("true", "yes", "1")
    if isinstance(value, (list, tuple)):
        return [str(one) for one in value]
    return int(value) if str(value).isdigit() else str(value)


def launch(instance: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an instance is started with: ``package`` and ``unit`` of its host; ``args``,
    ``env`` (digests of values) and ``settings`` of all instances, without those that the instance has of its own; and
    ``definition``, the digest of the whole service spec. ``scheduling`` is the policy by which it begins waiting
    requests, if it is not that of vLLM.

    :param told: ``llm_engine_launch.vllm`` of the host, with values of ``env`` as :func:`concealed` gives them.
    """
    own = {**instance, "env": concealed(instance.get("env") or {}), "start_after": None}
    model = f"{told['models_root']}/{instance['source']}@{instance.get('revision') or ''}"
    policy = str(told.get("scheduling_policy") or specs.IN_ORDER)
    named = {name: _setting(name, told[name]) for name in SETTINGS}
    named |= {} if policy == specs.IN_ORDER else {"scheduling_policy": policy}
    scheduling = {**told["args"], **instance["args"]}.get(POLICY, policy)
    settings = {
        **named,
        **{name: told[name] for name in ("args", "env", "config_root", "state_root", "run_root")},
        # What is not known before the installation is told by the digest of the package.
        "python": "python",
        "search_path": "",
        "paths": {instance["model"]: model},
        "readable": [told["models_root"]],
        "ready_deadline": 0,
        "start_deadlines": {},
        "egress": [],
        "scheduling_policy": policy,
    }
    (spec,) = specs.specs([own], settings)
    started = {name: value for name, value in spec.items() if name not in NOT_STARTED_WITH}
    return {
        "package": told["package"],
        "unit": digest(told["unit"]),
        "args": {name: value for name, value in told["args"].items() if name not in instance["args"]},
        "env": {name: value for name, value in told["env"].items() if name not in own["env"]},
        "settings": named,
        "definition": digest(started),
        **({} if scheduling == specs.IN_ORDER else {"scheduling": str(scheduling)}),
    }
