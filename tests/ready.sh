#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Says before the first step, not after ten minutes, that `make demo` will meet the service of another checkout here.
#   tests/ready.sh INVENTORY [remove-demo]
# With remove-demo, for CI, a demo goes: that of a run cut short, whose secrets went with its clone. A service of other models never does.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
secrets=$1/.llm_secrets.yml
facts=${READY_FACTS:-/etc/ansible/facts.d}
installed=$facts/llmfleet.fact
plan=$facts/llmfleet_plan.fact

if [ ! -e "$installed" ] || [ -e "$secrets" ]; then
  exit 0
fi
others=
if [ -e "$plan" ]; then
  # Only root may read it, since models may have secrets in their environment; what cannot be read is no demo.
  others=$(sed -n '/"source": "demo:"/d; s/.*"source": "\([^"]*\)".*/\1/p' "$plan" 2>/dev/null | sort -u | paste -sd ' ') || others="unknown models"
fi
if [ "${2:-}" = remove-demo ] && [ -z "$others" ]; then
  echo "==> Removing the demo that a run cut short left on this machine"
  exec make --no-print-directory demo-clean
fi
cat >&2 <<MESSAGE
This machine runs the service of another checkout${others:+ with $others}: $installed is here, $secrets is not.
The steps from demo on would be refused. Run make demo-clean in the checkout that installed it, or here if that one is gone:
it removes the service with all its data.
MESSAGE
exit 1
