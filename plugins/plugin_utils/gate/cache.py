# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache in which gateways count limits together and keep answers: who runs it.

Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.module_utils.problems import HIDDEN, Problem

GROUP = "groups['llm_cache']"


def problems(hosts: list[str], fleet: list[str], url: str, keeping: list[str] | None = None) -> list[Problem]:
    """Return why a fleet cannot have the cache that its inventory asks for.

    :param hosts: hosts of the group ``llm_cache``.
    :param fleet: hosts of the groups that are prepared.
    :param url: ``llm_cache_url``; it may have a password.
    :param keeping: names of the models whose answers are kept.
    """
    found = []
    if len(hosts) > 1:
        text = f"{len(hosts)} hosts would count the same limits apart from each other"
        found.append(Problem(GROUP, hosts, text, "leave one host in the group"))
    for host in sorted(set(hosts) - set(fleet)):
        remedy = "put the host into llm_gateway, llm_monitoring, llm_webui or llm_inference, too"
        found.append(Problem(GROUP, [host], "it is in no group whose hosts are prepared", remedy, host))
    if hosts and url:
        remedy = "take the hosts out of the group, or remove llm_cache_url"
        found.append(Problem("llm_cache_url", HIDDEN, "the group llm_cache runs a cache, too", remedy))
    if url.startswith("unix:"):
        found.append(Problem("llm_cache_url", HIDDEN, "no two hosts share a file", "give a redis:// or rediss:// URL"))
    if keeping and not hosts and not url:
        remedy = "give a host to the group llm_cache, or llm_cache_url, or leave cache out"
        found.append(Problem("llm_models[].cache", keeping, "there is no cache in which answers could be kept", remedy))
    return found
