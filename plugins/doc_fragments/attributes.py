# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes that the modules of the collection share."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of modules for check mode and diffs; each module adds its own support and details."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    description: Returns details on what has changed, or would change, in diff mode.
  idempotent:
    description: When run twice in a row with the same arguments, the second run changes nothing.
"""

    # A module that changes nothing on the host.
    READS = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details: It only reads.
  diff_mode:
    description: Returns details on what has changed, or would change, in diff mode.
    support: none
    details: It changes nothing.
  idempotent:
    description: When run twice in a row with the same arguments, the second run changes nothing.
    support: full
    details: It changes nothing.
"""

    # An action plugin that runs on the control node alone.
    CONTROL_NODE = r"""
options: {}
attributes:
  action:
    description: Runs on the control node and never on a host.
    support: full
"""
