# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of what the collection creates on hosts."""

from __future__ import annotations

PREFIX = "llm-"
"""Every unit, supervisor program, container and account of the collection begins with it.

It is not configurable: accounts, messages and the summary depend on it. Roles have it as ``__service_prefix``.
"""
