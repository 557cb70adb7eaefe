#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Newer releases of ansible-core read every playbook, role and plugin documentation without a warning, and make the control node's plan of
# inventories/prod from recorded facts. Releases run side by side. What a pre-release says is shown and fails nothing.
#   compat.sh CONTROL_VENV VENV...
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/core_version.sh
. tests/support/core_version.sh
control=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warning='^\[(WARNING|DEPRECATION WARNING|ERROR)\]'
export ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false

plan() {
  "$1/bin/ansible-playbook" playbooks/plan.yml -i inventories/prod -e plan_offline=true -e "llm_fleet_file=$PWD/tests/prod/fleet.json" \
    -e plan_fail_on_change=false -e "plan_output=$2"
}

reads() {
  local venv=$1 said=$2 kind names
  "$venv/bin/ansible-playbook" site.yml playbooks/*.yml -i inventories/local --syntax-check
  # Every play starts and loads its roles; no task has this tag.
  "$venv/bin/ansible-playbook" site.yml -i inventories/local --tags nothing --skip-tags always
  for kind in module filter lookup; do
    mapfile -t names < <("$venv/bin/ansible-doc" -t "$kind" -l llmfleet.serving | awk '{ print $1 }')
    "$venv/bin/ansible-doc" -t "$kind" --json "${names[@]}"
  done
  plan "$venv" "$said.plan"
  cmp "$work/control.plan" "$said.plan"
}

judge() {
  local venv=$1 said=$work/$2 start=$SECONDS version
  version=$(core_version "$venv")
  # Errors end a shell of its own; within a condition they would end nothing.
  (reads "$venv" "$said") >"$said" 2>&1 &
  if wait "$!" && ! grep -Eq "$warning" "$said"; then
    echo "compat: ansible-core $version reads $(find playbooks -name '*.yml' -maxdepth 1 | wc -l) playbooks and makes the same plan ($((SECONDS - start)) s)"
    return
  fi
  echo "compat: ansible-core $version fails or warns:"
  grep -E -A3 "$warning" "$said" || tail -n 20 "$said"
  allowed_to_fail "$version" compat
}

plan "$control" "$work/control.plan" >/dev/null
judges=()
for venv in "$@"; do
  judge "$venv" "${venv##*/}" &
  judges+=("$!")
done
failed=0
for pid in "${judges[@]}"; do
  wait "$pid" || failed=1
done
exit "$failed"
