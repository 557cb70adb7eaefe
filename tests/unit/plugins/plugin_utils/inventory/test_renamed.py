# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An old name is refused with the new one, and every new name is one that a role reads."""

from __future__ import annotations

import pytest
import role_files
from ansible_collections.llmfleet.serving.plugins.filter import inventory
from ansible_collections.llmfleet.serving.plugins.plugin_utils.inventory import renamed

ROLES = ("fleet_defaults", "models", "vllm", "gate", "nginx")
DEFAULTS = {name for role in ROLES for name in role_files.defaults(role)}


def test_an_old_name_is_refused_with_the_new_one_and_without_its_value() -> None:
    (problem,) = renamed.problems(["vllm_hf_token", "llm_hf_token", "other"], "gpu1")
    assert problem.sentence() == ('gpu1: vllm_hf_token is "set": it has another name now; rename it to llm_hf_token.')


def test_a_variable_of_another_form_is_not_just_renamed() -> None:
    (problem,) = renamed.problems(["litellm_key_paths"], "gw1")
    assert problem.sentence() == (
        'gw1: litellm_key_paths is "set": another variable with another form replaces it; remove it; nginx_api_paths '
        "sets the paths of the API, each with its methods, such as {/v1/models: [GET, HEAD]}."
    )
    assert "nginx_api_paths" in DEFAULTS


def test_the_filter_reads_names_alone() -> None:
    (found,) = inventory.renamed_variables({"vllm_api_key": "sk-secret", "x": 1}, "h")
    assert found["variable"] == "vllm_api_key"
    assert "sk-secret" not in str(found)


@pytest.mark.parametrize("name", sorted(renamed.RENAMED))
def test_a_new_name_is_one_that_a_role_reads(name: str) -> None:
    assert renamed.RENAMED[name] in DEFAULTS
    assert renamed.RENAMED[name] not in renamed.RENAMED
