# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option by which modules name their host."""

from __future__ import annotations


class ModuleDocFragment:
    """The option of every module whose messages name the host."""

    DOCUMENTATION = r"""
options:
  host:
    description:
      - Name of the host in messages, C(inventory_hostname).
      - Empty means the name that the machine has itself, which may be in no inventory.
    type: str
    default: ''
"""
