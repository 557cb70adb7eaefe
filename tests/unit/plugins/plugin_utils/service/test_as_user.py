# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.llmfleet.serving.plugins.plugin_utils.service import as_user

SETPRIV = "setpriv --reuid llm-x --regid llm-x --init-groups --no-new-privs"
LOW_PORT = "CAP_NET_BIND_SERVICE"


@pytest.mark.parametrize(
    ("container", "capabilities", "words"),
    [
        (False, None, f"{SETPRIV} --inh-caps=-all --ambient-caps=-all"),
        (False, [LOW_PORT], f"{SETPRIV} --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service"),
        (True, [], "env LLMFLEET_AS=llm-x LLMFLEET_KEPT="),
        (True, [LOW_PORT, "CAP_SYS_NICE"], "env LLMFLEET_AS=llm-x LLMFLEET_KEPT=,+net_bind_service,+sys_nice"),
    ],
)
def test_a_program_runs_as_the_user_and_with_no_other_right(
    container: bool, capabilities: list[str] | None, words: str
) -> None:
    assert as_user.command({"container": container}, "llm-x", capabilities) == words.split()
