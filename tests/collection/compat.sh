#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The oldest ansible-core releases that the collection promises read every playbook, role and plugin documentation.
#   compat.sh VENV...
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false

for venv in "$@"; do
  version=$("$venv/bin/ansible" --version | sed -n 1p)
  for playbook in site.yml playbooks/*.yml; do
    "$venv/bin/ansible-playbook" "$playbook" -i inventories/local --syntax-check >/dev/null
  done
  # Every play starts and loads its roles; no task has this tag.
  "$venv/bin/ansible-playbook" site.yml -i inventories/local --tags nothing --skip-tags always >/dev/null
  for kind in module filter; do
    mapfile -t names < <("$venv/bin/ansible-doc" -t "$kind" -l llmfleet.serving 2>/dev/null | awk '{ print $1 }')
    "$venv/bin/ansible-doc" -t "$kind" --json "${names[@]}" >/dev/null
  done
  echo "compat: $version reads $(find playbooks -name '*.yml' -maxdepth 1 | wc -l) playbooks"
done
