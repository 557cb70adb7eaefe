#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-test sanity on the tarball as users get it: built, installed into an empty folder, and a repository of its own there.
# Every environment brings its own release of ansible-core, and they run side by side; a pre-release's findings are shown and fail nothing.
#   run.sh VENV... [-- ARGUMENT of ansible-test sanity...]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/support/core_version.sh
. "$root/tests/support/core_version.sh"
venvs=()
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
  venvs+=("$(realpath -s "$1")")
  shift
done
[ "${1:-}" != -- ] || shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${venvs[0]}/bin/ansible-galaxy" collection build --force --output-path "$work" "$root" >/dev/null

# ansible-test passes nothing of the environment on but HOME, where its environments stay for the next run. So pip's configuration lies
# there, and the pip it puts into them comes from this machine's index, not from the script it would download.
sanity() {
  local venv=$1 folder=$work/$2
  shift 2
  export HOME=$root/.cache/ansible-test/${venv##*/} PATH=$venv/bin:$PATH
  python "$root/tests/sanity/prepare_home.py" "$HOME"
  # Where the checkout is in sight, it counts as installed.
  ANSIBLE_COLLECTIONS_PATH=$folder ansible-galaxy collection install --offline --no-deps -p "$folder" "$work"/llmfleet-serving-*.tar.gz >/dev/null
  cd "$folder/ansible_collections/llmfleet/serving"
  # ansible-test asks git which files there are.
  git init --quiet
  git add --all
  ansible-test sanity --local --color no --python "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$@"
}

judge() {
  local index=$1 venv=${venvs[$1]} start=$SECONDS version
  shift
  version=$(core_version "$venv")
  # Errors end a shell of its own; within a condition they would end nothing.
  (sanity "$venv" "$index" "$@") >"$work/$index.log" 2>&1 &
  if wait "$!"; then
    echo "sanity: ansible-core $version: $(grep -c '^Running sanity test' "$work/$index.log") tests have no finding ($((SECONDS - start)) s)"
    return
  fi
  cat "$work/$index.log"
  echo "sanity: ansible-core $version: findings above"
  allowed_to_fail "$version" sanity
}

judges=()
for index in "${!venvs[@]}"; do
  judge "$index" "$@" &
  judges+=("$!")
done
failed=0
for pid in "${judges[@]}"; do
  wait "$pid" || failed=1
done
exit "$failed"
