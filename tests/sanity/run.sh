#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible-test sanity on the tarball as users get it: built, installed into an empty folder, and a repository of its own there.
#   run.sh [ARGUMENT of ansible-test sanity]...
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="$root/.venv/test/bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ansible-test passes nothing of the environment on but HOME, where its environments stay for the next run. So pip's configuration lies
# there, and the pip it puts into them comes from this machine's index, not from the script it would download.
home=$root/.cache/ansible-test
python "$root/tests/sanity/prepare_home.py" "$home"
export HOME=$home

ansible-galaxy collection build --force --output-path "$work" "$root" >/dev/null
# Where the checkout is in sight, it counts as installed.
ANSIBLE_COLLECTIONS_PATH=$work ansible-galaxy collection install --offline --no-deps -p "$work" "$work"/llmfleet-serving-*.tar.gz >/dev/null
cd "$work/ansible_collections/llmfleet/serving"
# ansible-test asks git which files there are.
git init --quiet
git add --all
ansible-test sanity --local --color no --python "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$@"
