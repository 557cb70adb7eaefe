# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options by which modules find the logs of engines."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of every module that reads the log of an engine."""

    DOCUMENTATION = r"""
options:
  prefix: {description: Prefix of the names of the units., type: str, default: llm-}
  log_root:
    description: Directory of the logs under supervisor. The log of an instance without a file there is read from the
      journal.
    type: path
    default: /var/log/llmfleet
"""
