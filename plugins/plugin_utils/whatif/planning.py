# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of what if: that of `site.yml`, with what is known of engines although none is at hand."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.plan import asked as plan_asked
from ansible_collections.llmfleet.serving.plugins.module_utils.plan import serving_plan
from ansible_collections.llmfleet.serving.plugins.module_utils.plan.answers import Answers
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import answered


def plan(
    models: list[dict[str, Any]], hosts: dict[str, dict[str, Any]], releases: Mapping[str, str], **more: Any
) -> dict[str, Any]:
    """Return the plan with `answers`: by name of the instance, what its engine is known to say of it.

    :param releases: release by engine; without it no answer counts.
    :param more: further parameters of `serving_plan.plan`.
    """
    answers = Answers(answered.answers(hosts, models, releases), releases)
    found = serving_plan.plan(models, hosts, answers=answers, **more)
    said = plan_asked.verdicts(models, found["instances"], [], answers)
    told = {name: one for name, one in said.items() if one["accepted"] is not None}
    return {**found, "answers": {name: {key: one[key] for key in plan_asked.TOLD} for name, one in told.items()}}
