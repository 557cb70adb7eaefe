# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter that takes a model's source apart: a thin wrapper around module_utils/checkpoint/sources.py."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources


def source_parts(source: Any) -> dict[str, str]:
    """Return the parts of a source for programs that run without the collection."""
    try:
        return sources.parse(str(source)).parts()
    except sources.SourceError as error:
        raise AnsibleFilterError(f"filter source_parts: source is {source!r}: {error}.") from error


class FilterModule:
    """Filters of model sources."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters."""
        return {"source_parts": source_parts}
