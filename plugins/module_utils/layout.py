# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of an engine that cannot lay out a model on a device."""

from __future__ import annotations


class LayoutError(ValueError):
    """A model cannot be served with the sizes asked for; its text is one sentence."""
