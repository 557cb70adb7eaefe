#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Writes the release notes of a version from the fragments, and the version into the files that state it. It commits nothing.
#   release.sh VERSION [DATE]     DATE as 2026-12-31; default: today
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
version=${1:-}
date=${2:-$(date --utc +%F)}
# antsibull-changelog looks for ansible-doc there.
export PATH="${TEST_BIN:-$root/.venv/test/bin}:$PATH"

if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]]; then
  echo "release: '$version' is no semantic version: make release VERSION=0.2.0" >&2
  exit 1
fi
if grep -Eqs "^  '?${version//./\\.}'?:" changelogs/changelog.yaml; then
  echo "release: $version is in changelogs/changelog.yaml already: a release is never written twice, take the next version" >&2
  exit 1
fi
summaries=$(grep -ls '^release_summary:' changelogs/fragments/*.yml | wc -l) || true
if [ "$summaries" -ne 1 ]; then
  echo "release: $summaries fragments have a release_summary: say in one, changelogs/fragments/$version.yml, what the release is about" >&2
  exit 1
fi

sed -i "s/^version: .*/version: $version/" galaxy.yml
sed -i "/name: llmfleet\.serving/{n;s/version: .*/version: $version/}" execution-environment.yml
# Git keeps no empty folder.
touch changelogs/fragments/.keep
antsibull-changelog release --version "$version" --date "$date" --reload-plugins
echo "release: $version is written. Look at CHANGELOG.rst, run make test, then follow docs/contributing/releasing.md"
