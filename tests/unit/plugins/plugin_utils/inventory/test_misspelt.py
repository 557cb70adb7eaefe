# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.lookup.variable_problems import read_specs
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import misspelt, renamed

KNOWN = ["llm_models", "nginx_http_port", "nginx_rate_per_address"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nginx_htpp_port", "nginx_http_port"),
        ("nginx_htt_port", "nginx_http_port"),
        ("nginx_htttp_port", "nginx_http_port"),
        ("nginx_thtp_port", "nginx_http_port"),
        ("nginx_hptt_prot", ""),
        ("nginx_htpt_port", "nginx_http_port"),
        ("ngnix_http_port", "nginx_http_port"),
        ("nginx_rate_per_adress", "nginx_rate_per_address"),
        ("nginx_http_port", ""),
        ("llm_model", ""),
        ("llm_models2", ""),
        ("llm_models_eu", ""),
        ("my_port", ""),
        ("", ""),
    ],
)
def test_names(name: str, meant: str) -> None:
    found = misspelt.problems([name], KNOWN, "gw")
    assert [one.sentence() for one in found] == (
        [f'gw: {name} is "set": the collection has no such variable; did you mean {meant}.'] if meant else []
    )


def test_no_earlier_name_counts_as_misspelt() -> None:
    assert misspelt.problems(renamed.RENAMED, read_specs(), "gw") == []
