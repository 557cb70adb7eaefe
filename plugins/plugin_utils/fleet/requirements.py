# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requirements of a host for its instances: memory, and disk space for downloaded weights.

Pure functions over dictionaries; no Ansible, no files, no network.
"""

from __future__ import annotations

import posixpath
from typing import Any

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.files import COMMIT
from ansible_collections.llmfleet.serving.plugins.module_utils.engines import registry
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import cpu_shares, instance_memory


def memory_mib(instances: list[dict[str, Any]], models: list[dict[str, Any]], host: str) -> int:
    """Return the MiB of memory that a host must have for its instances, 0 without instances.

    Counted as :func:`cpu_shares.lacking_mib` counts the least. Engines on GPUs keep weights and KV cache there.
    """
    by_name = {model["name"]: model for model in models}
    memory = 0
    for instance in (instance for instance in instances if instance["host"] == host):
        memory += registry.of(instance).cpu_least_mib
        if instance["device"] == "cpu":
            model = by_name[instance["model"]]
            pinned = (instance_memory.pinned(model, cpu_shares.KV_FLAG) or 0) // 1024**2
            memory += cpu_shares.weights_mib(model) + ((instance["cpu"]["kv_cache_space_gib"] or 0) * 1024 or pinned)
    return memory + cpu_shares.SERVICES_MIB if memory else 0


def downloads(
    instances: list[dict[str, Any]], models: list[dict[str, Any]], host: str, root: str
) -> list[dict[str, Any]]:
    """Return what a host downloads for its instances, one entry for each source and revision.

    :param root: directory of models on the host, which holds the hub's cache in ``hub``.
    :return: entries ``{path, needed_mib, purpose, creates}`` as the module ``host_requirements_info`` takes them:
        each model is downloaded only once, so one that is there needs no room while another one still does.
    """
    by_name = {model["name"]: model for model in models}
    found = {}
    for instance in instances:
        source, revision = instance["source"], instance["revision"]
        cached = sources.parse(source).cache_folder
        if instance["host"] == host and cached:
            folder = posixpath.join(root, "hub", cached)
            # Only the hub knows the commit of a branch or tag, so any snapshot counts as it.
            snapshot = revision if COMMIT.fullmatch(revision or "") else "*"
            found[source, revision] = {
                "path": root,
                "needed_mib": cpu_shares.weights_mib(by_name[instance["model"]]),
                "purpose": f"the weights of {instance['model']}",
                "creates": posixpath.join(folder, "snapshots", snapshot),
            }
    return list(found.values())
