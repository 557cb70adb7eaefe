# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# Which ansible-core an environment has, and whether that is a pre-release, whose failures are reported and allowed. Sourced.

# core_version VENV
core_version() {
  "$1/bin/ansible" --version | sed -n '1s/.*\[core \(.*\)\].*/\1/p'
}

# allowed_to_fail VERSION WHAT: succeeds, and says so, where the version is a pre-release.
allowed_to_fail() {
  [[ $1 =~ (a|b|rc|dev)[0-9]+$ ]] || return 1
  echo "$2: ansible-core $1 is a pre-release: its failure is reported above and allowed"
}
