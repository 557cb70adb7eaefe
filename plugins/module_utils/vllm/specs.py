# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vLLM's command lines, environments and services, from the instances of a host.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.addresses import GROUP_ON_LOOPBACK, authority
from ansible_collections.llmfleet.serving.plugins.module_utils.shared_memory import container_size
from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.questions import planned_flags

# Engines serve from a local path and send no usage statistics.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
# Permissions that an instance needs in addition to those of every service.
SANDBOX = {
    # Kernels are written at run time: oneDNN's on processors, Triton's and torch's anywhere.
    "MemoryDenyWriteExecute": "no",
    # Threads and memory are bound to cores and NUMA nodes: sched_setaffinity, mbind, set_mempolicy, migrate_pages.
    "SystemCallFilter": "@system-service ~@privileged",
    # Kernels and sizes are chosen by /proc/cpuinfo and /proc/meminfo.
    "ProcSubset": "all",
    # Gloo and NCCL list the interfaces.
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
}
# The middleware that refuses every request without a key: a file of the role, which Python imports from the service's
# configuration.
ACCESS = "llmfleet_access"
# It reads this file again when it changes, so another key restarts nothing.
KEYS = "accepted_keys"
# vLLM's own check knows one key, from its start on.
OWN_KEY = "VLLM_API_KEY"
# What each process of an engine imports when it starts, so that its log has no prompts.
LOG = ("llmfleet_engine_log", "sitecustomize")
# The policy by which vLLM begins waiting requests if it is not told another one (config/scheduler.py).
IN_ORDER = "fcfs"
# vLLM fetches from any host if none is named. No host can have this name (RFC 2606).
NO_MEDIA = ["none.invalid"]
# Seconds beyond the drain after which a stopping engine is killed.
STOP_SLACK = 30


def specs(instances: list[dict[str, Any]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the service spec of each instance of a host.

    :param settings: ``python``, ``search_path``, ``paths`` (directory of each model), ``readable`` (directories),
        ``config_root``, ``state_root``, ``run_root``, ``args`` and ``env`` of every instance, ``compile``,
        ``log_level``, ``drain_timeout``, ``ready_deadline``, ``start_deadlines`` by name of the instance,
        ``api_paths``, ``max_choices``, ``max_prompts``, ``media_domains``, ``scheduling_policy``, ``egress``.
    """
    return [_spec(instance, settings) for instance in instances]


def _spec(instance: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    name = f"vllm-{instance['name']}"
    config, state = (f"{settings[root]}/{name}" for root in ("config_root", "state_root"))
    path = settings["paths"][instance["model"]]
    before = instance.get("start_after")
    deadlines = (settings["ready_deadline"], settings["start_deadlines"].get(instance["name"]) or 0)
    return {
        "name": name,
        "description": f"vLLM serving {instance['model']}",
        "documentation": "https://docs.vllm.ai/",
        "command": [
            settings["python"],
            "-m",
            "vllm.entrypoints.openai.api_server",
            *command_line({**own_flags(instance, path, settings), **settings["args"], **instance["args"]}),
        ],
        "environment": environment(instance, name, settings),
        "user_environment": user_environment(instance, f"{settings['config_root']}/{name}", settings),
        "files": [
            *({"dest": f"{config}/{module}.py", "src": f"files/{module}.py"} for module in (ACCESS, *LOG)),
            {"dest": f"{config}/{KEYS}", "src": f"{KEYS}.j2", "on_change": "none"},
        ],
        "after": [f"vllm-{before}"] if before else [],
        "ready": {
            "url": f"http://{authority(instance['listen'], instance['port'])}/health",
            "deadline": max(int(seconds) for seconds in deadlines),
        },
        "stop": {"timeout": int(settings["drain_timeout"]) + STOP_SLACK},
        "gpus": instance["gpus"],
        "readable": list(dict.fromkeys([*settings["readable"], path])),
        # vLLM tries names of models as paths.
        "container": {"workdir": state, "shared_memory": container_size(bool(instance["gpus"]))},
        "sandbox": dict(SANDBOX),
        "egress": settings["egress"],
        "generation": {
            "instance": instance["name"],
            "model": instance["model"],
            "revision": instance.get("revision") or "",
            "snapshot": path,
        },
    }


def own_flags(instance: dict[str, Any], path: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that the plan and the role decide."""
    return {
        "model": path,
        # The gateway alone knows aliases, so a change of them restarts no engine.
        "served-model-name": [instance["model"]],
        "host": instance["listen"],
        "port": instance["port"],
        **planned_flags(instance),
        "stream-interval": instance.get("stream_interval"),
        # vLLM's own default is no flag, so nothing restarts for it.
        "scheduling-policy": None if settings["scheduling_policy"] == IN_ORDER else settings["scheduling_policy"],
        "enforce-eager": None if settings["compile"] else True,
        "shutdown-timeout": int(settings["drain_timeout"]),
        "disable-access-log-for-endpoints": "/health,/metrics",
        "disable-fastapi-docs": True,
        "middleware": f"{ACCESS}.EngineAccess",
        "allowed-media-domains": settings["media_domains"] or NO_MEDIA,
    }


def command_line(flags: dict[str, Any]) -> list[str]:
    """Return flags as vLLM reads them: true is a bare flag, false its ``--no-`` form, a list several values, a
    dictionary JSON, null nothing.
    """
    words: list[str] = []
    for flag, value in flags.items():
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{flag}")
        elif isinstance(value, dict):
            words.append(f"--{flag}={json.dumps(value)}")
        elif isinstance(value, (list, tuple)):
            words += [f"--{flag}", *(item if isinstance(item, str) else json.dumps(item) for item in value)]
        else:
            words.append(f"--{flag}={value}")
    return words


def environment(instance: dict[str, Any], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the environment variables that the plan and the role decide; null leaves one out."""
    config, state = (f"{settings[root]}/{name}" for root in ("config_root", "state_root"))
    places = {
        "PATH": settings["search_path"],
        "PYTHONPATH": config,
        "TMPDIR": f"{settings['run_root']}/{name}",
        "XDG_CACHE_HOME": f"{state}/cache",
        "TORCHINDUCTOR_CACHE_DIR": f"{state}/cache/inductor",
        "TRITON_CACHE_DIR": f"{state}/cache/triton",
        "VLLM_LOGGING_LEVEL": settings["log_level"],
        "LLMFLEET_ACCEPTED_KEYS": f"{config}/{KEYS}",
        "LLMFLEET_API_PATHS": ",".join(settings["api_paths"]),
    }
    # A host that is named could send the engine on to any other.
    media = {"VLLM_MEDIA_URL_ALLOW_REDIRECTS": 0}
    # The engine computes each of them at once, while all other limits count one request.
    limits = {"VLLM_MAX_N_SEQUENCES": settings["max_choices"], "VLLM_MAX_COMPLETION_PROMPTS": settings["max_prompts"]}
    cpu = {}
    if instance["device"] == "cpu":
        cpu = {
            "VLLM_CPU_OMP_THREADS_BIND": instance["cpu"]["cores"] or "auto",
            "VLLM_CPU_KVCACHE_SPACE": instance["cpu"]["kv_cache_space_gib"],
        }
    # With log probabilities asked for, torch would compile while it serves; a host without a compiler loses the engine
    # by it.
    compiling = {} if settings["compile"] else {"TORCH_COMPILE_DISABLE": "1"}
    found = {**OFFLINE, **GROUP_ON_LOOPBACK, **places, **media, **limits, **cpu, **compiling}
    return {key: value for key, value in found.items() if value is not None}


def user_environment(instance: dict[str, Any], config: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the environment variables that the inventory sets; null takes one away."""
    found = {**settings["env"], **instance["env"]}
    found.pop(OWN_KEY, None)
    # Nothing may come before the directory with the middleware.
    if "PYTHONPATH" in found:
        found["PYTHONPATH"] = f"{config}:{found['PYTHONPATH'] or ''}".rstrip(":")
    return found
