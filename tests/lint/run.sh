#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs every linter and says at the end which found something: one round shows all findings.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
export PATH="$PWD/.venv/test/bin:$PATH"
# What git knows or would take: nothing that was built or installed.
mapfile -t shell < <(git ls-files -co --exclude-standard | grep -E '\.sh$|^\.ci/run$')
failures=()
scripts/bootstrap.sh shellcheck || exit 1

check() {
  local name=$1 start=$SECONDS
  shift
  if "$@"; then
    printf -- '--- %s: clean (%d s)\n' "$name" "$((SECONDS - start))"
  else
    printf -- '--- %s: findings above\n' "$name"
    failures+=("$name")
  fi
}

# Bandit warns of every part of a line whose finding is somewhere else in that line.
scan_code() { bandit --quiet -ll --recursive "$@" 2> >(grep -v 'nosec encountered' >&2); }

check yamllint yamllint --strict .
check ruff ruff check --quiet .
check 'ruff format' ruff format --quiet --diff .
check mypy mypy
check 'mypy scripts' mypy scripts
check 'mypy gate' mypy roles/gate/files
check 'mypy watchdog' mypy roles/watchdog/files
check 'mypy node_exporter' mypy roles/node_exporter/files
check 'mypy usage' mypy roles/usage/files
check 'mypy postgresql' mypy roles/postgresql/files
# What these two may ignore is explained in docs/security.md by its id; tests/unit/test_scanners.py compares both.
check bandit scan_code plugins roles/*/files scripts tests/bench
check detect-secrets python3 tests/lint/find_secrets.py
check shellcheck shellcheck --severity=warning --external-sources "${shell[@]}"
check actionlint actionlint
check changelog antsibull-changelog lint
check 'yaml twins' python3 tests/lint/yaml_twins.py
check ansible-lint ansible-lint --offline

if [ "${#failures[@]}" -gt 0 ]; then
  printf 'lint: findings of %s\n' "${failures[*]}"
  exit 1
fi
