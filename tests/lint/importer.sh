#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Imports the tarball as Galaxy does on upload. An error or a warning fails.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/.venv/test/bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export GALAXY_IMPORTER_CHECK_REQUIRED_TAGS=true GALAXY_IMPORTER_RUN_FLAKE8=false GALAXY_IMPORTER_OFFLINE_ANSIBLE_LINT=true
export GALAXY_IMPORTER_ANSIBLE_LOCAL_TMP="$work/tmp" ANSIBLE_LINT_NODEPS=1 NO_COLOR=1
ansible-galaxy collection build --force --output-path "$work" "$root" >/dev/null
cd "$work"
status=0
# The importer ends ansible-lint after 180 seconds, which are too few on a busy machine, and no setting changes that.
python -c '
import runpy, subprocess
communicate = subprocess.Popen.communicate
subprocess.Popen.communicate = lambda self, input=None, timeout=None: communicate(self, input, timeout and 6 * timeout)
runpy.run_module("galaxy_importer.main", run_name="__main__", alter_sys=True)
' "$work"/llmfleet-serving-*.tar.gz >"$work/log" 2>&1 || status=$?
cat "$work/log"
if [ "$status" -ne 0 ] || grep -E '^(ERROR|WARNING|CRITICAL)' "$work/log" >/dev/null; then
  echo "importer: findings above"
  exit 1
fi
echo "importer: no finding"
