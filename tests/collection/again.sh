#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The demo that `make demo` set up from the checkout is left unchanged by the tarball installed elsewhere, and by newer releases of
# ansible-core.
#   again.sh INVENTORY LOG_DIRECTORY VENV...
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
inventory=$(realpath "$1")
logs=$(mkdir -p "$2" && realpath "$2")
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false
eval "$("$root/.venv/control/bin/python" "$root/scripts/uv_env.py")"

become=()
if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
  become=(--ask-become-pass)
fi

# Most tasks that a run may execute on a host to find out that nothing is to be done.
most_tasks=100

unchanged() {
  local name=$1 start=$SECONDS log
  log="$logs/again-$1.log"
  shift
  if ! "$@" -i "$inventory" "${become[@]}" --diff >"$log" 2>&1; then
    echo "again: $name failed, the end of $log:"
    tail -n 40 "$log"
    return 1
  fi
  if ! grep -q 'changed=0 ' "$log" || grep -Eq '(changed|failed|unreachable)=[1-9]' "$log"; then
    echo "again: $name changed something, see $log:"
    grep -B1 -A12 '^changed:' "$log" || true
    sed -n '/^PLAY RECAP/,$p' "$log"
    return 1
  fi
  # Every task costs time on every host, also where nothing is to be done.
  local executed
  executed=$(sed -n 's/.* ok=\([0-9]*\) .*/\1/p' "$log" | sort -n | tail -n 1)
  if [ "$executed" -gt "$most_tasks" ]; then
    echo "again: $name executed $executed tasks to change nothing, more than $most_tasks, see $log"
    return 1
  fi
  echo "again: $name: $(grep -o -m 1 "ok=.*changed=0 " "$log")in $((SECONDS - start)) s"
}

control=$root/.venv/control/bin
"$control/ansible-galaxy" collection build --force --output-path "$work" "$root" >/dev/null
ANSIBLE_COLLECTIONS_PATH=$work/collections "$control/ansible-galaxy" collection install --offline -p "$work/collections" "$work"/llmfleet-serving-*.tar.gz >/dev/null

cd "$work"
ANSIBLE_COLLECTIONS_PATH=$work/collections unchanged tarball "$control/ansible-playbook" llmfleet.serving.site
cd "$root"
for venv in "$@"; do
  unchanged "$(basename "$venv")" "$venv/bin/ansible-playbook" site.yml
done
