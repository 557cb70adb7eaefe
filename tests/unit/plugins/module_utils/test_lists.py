# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists of names, however a user writes them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils import lists


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("chat, code", ["chat", "code"]),
        (" chat ,,", ["chat"]),
        (["chat ", "", "code"], ["chat", "code"]),
        (["chat,code"], ["chat,code"]),
        ("", []),
        ([], []),
        (None, []),
        (7, ["7"]),
    ],
)
def test_names_are_a_list_or_joined_by_commas(given: Any, names: list[str]) -> None:
    assert lists.names(given) == names
