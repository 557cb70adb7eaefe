# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may run the cache in which gateways count limits together."""

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.gate import cache


@pytest.mark.parametrize(("hosts", "url"), [([], ""), (["a"], ""), ([], "rediss://u:secret@c/0")])
def test_one_host_or_a_url(hosts: list[str], url: str) -> None:
    assert cache.problems(hosts, ["a", "b"], url) == []


@pytest.mark.parametrize(
    ("hosts", "url", "expected"),
    [
        (
            ["a", "b"],
            "",
            (
                """groups['llm_cache'] is ["a", "b"]: 2 hosts would count the same limits apart from each other; """
                "leave one host in the group."
            ),
        ),
        (
            ["x"],
            "",
            (
                """x: groups['llm_cache'] is ["x"]: it is in no group whose hosts are prepared; put the host into """
                "llm_gateway, llm_monitoring, llm_webui or llm_inference, too."
            ),
        ),
        (
            ["a"],
            "redis://u:secret@10.0.0.1",
            (
                'llm_cache_url is "(hidden)": the group llm_cache runs a cache, too; take the hosts out of the '
                "group, or remove llm_cache_url."
            ),
        ),
        (
            [],
            "unix:///run/secret",
            ('llm_cache_url is "(hidden)": no two hosts share a file; give a redis:// or rediss:// URL.'),
        ),
    ],
)
def test_everything_else_is_refused_with_a_remedy(hosts: list[str], url: str, expected: str) -> None:
    (problem,) = cache.problems(hosts, ["a", "b"], url)
    assert problem.sentence() == expected


def test_models_whose_answers_are_kept_need_a_cache() -> None:
    (problem,) = cache.problems([], ["a"], "", ["embed"])
    assert problem.sentence() == (
        """llm_models[].cache is ["embed"]: there is no cache in which answers could be kept; give a host to """
        "the group llm_cache, or llm_cache_url, or leave cache out."
    )
    assert cache.problems(["a"], ["a"], "", ["embed"]) == []
