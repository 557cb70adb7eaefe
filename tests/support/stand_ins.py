# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that stand in for those of the machine."""

from __future__ import annotations

# Stands in for setpriv where nobody may change users: it drops the options and runs the command.
SETPRIV = """#!/bin/sh
while :; do
  case $1 in
    --reuid | --regid) shift 2 ;;
    --*) shift ;;
    *) exec "$@" ;;
  esac
done
"""
