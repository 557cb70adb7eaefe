#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Compiles requirement files into locks with hashes, through pip's own configuration of indexes and certificates.
#   lock.sh UV FILE.in...      UPGRADE=1 moves what is not pinned; without it, only what must move moves
# A .in file says in its first line which options of uv its lock needs: "# lock: --python-version 3.11 --universal".
set -euo pipefail

uv=$1
shift
# A partial mirror beside the index would leave its hashes alone in the lock, and hosts without it could not install.
unset UV_INDEX UV_EXTRA_INDEX_URL PIP_EXTRA_INDEX_URL
upgrade=()
[ -z "${UPGRADE:-}" ] || upgrade=(--upgrade)

for input in "$@"; do
  output=${input%.in}.txt
  read -r -a options < <(sed -n '1s/^# lock: //p' "$input") || true
  echo "lock: $output"
  "$uv" pip compile --quiet --no-config --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras \
    --custom-compile-command "make lock" ${options[@]+"${options[@]}"} ${upgrade[@]+"${upgrade[@]}"} \
    --output-file "$output" "$input"
done
