#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Says before the first step, not after ten minutes, that `make demo` will meet the service of another checkout here.
#   tests/ready.sh INVENTORY
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
secrets=$1/.llm_secrets.yml
installed=/etc/ansible/facts.d/llmfleet.fact

if [ -e "$installed" ] && [ ! -e "$secrets" ]; then
  cat >&2 <<MESSAGE
This machine runs the service of another checkout: $installed is here, $secrets is not.
The steps from demo on would be refused. Run make demo-clean in the checkout that installed it, or here if that one is gone:
it removes the service with all its data.
MESSAGE
  exit 1
fi
