#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs make targets one after the other and stops at the first that fails. Each step's output is shown and kept in tests/output/.
#   tests/run.sh TARGET...
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
output=tests/output
rm -rf "$output"
mkdir -p "$output"
steps=("$@")
lines=()
failed=0
culprit=

for index in "${!steps[@]}"; do
  step=${steps[index]}
  log=$output/$((index + 1))-$step.log
  start=$SECONDS
  printf '\n==> [%d/%d] %s (%d s so far)\n' "$((index + 1))" "${#steps[@]}" "$step" "$SECONDS"
  if make --no-print-directory "$step" </dev/null 2>&1 | tee "$log"; then
    lines+=("$(printf '%-12s passed %5d s' "$step" "$((SECONDS - start))")")
  else
    lines+=("$(printf '%-12s FAILED %5d s' "$step" "$((SECONDS - start))")")
    failed=1
    culprit=$step
    break
  fi
done

printf '\n==> Summary\n'
printf '    %s\n' "${lines[@]}"
for step in "${steps[@]:${#lines[@]}}"; do
  printf '    %-12s not run\n' "$step"
done
if [ "$failed" -ne 0 ]; then
  printf '\n%s failed: the end of %s follows; again alone with: make %s\n' "$culprit" "$log" "$culprit"
  tail -n 15 "$log" | cut -c 1-300 | sed 's/^/    | /'
fi
printf '\n%d passed, %d failed\n' "$((${#lines[@]} - failed))" "$failed"
exit "$failed"
