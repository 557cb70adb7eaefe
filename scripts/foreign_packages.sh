#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Downloads packages of another Debian release, with all that they depend on, and installs nothing: an apt root of its own copies the archive
# from this machine's configuration. Signatures are checked with the machine's keyring.
#   foreign_packages.sh SUITE FOLDER PACKAGE...
set -euo pipefail

suite=$1
folder=$(realpath "$2")
shift 2
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | sort -u | head -n 1)
if [ -z "$archive" ] || ! [ -s "$keyring" ]; then
  echo "$(hostname): no Debian archive in this machine's apt sources (apt-get update first), or no $keyring: $suite cannot be reached" >&2
  exit 1
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/lists/partial" "$root/cache/archives/partial"
echo "deb [signed-by=$keyring] $archive $suite main" >"$root/sources.list"
# With an empty list of what is installed, everything that a package depends on is downloaded too.
options=(-qq -o "Dir::Etc::SourceList=$root/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::status=/dev/null
  -o "Dir::State::Lists=$root/lists" -o "Dir::Cache=$root/cache" -o "Dir::Cache::archives=$folder" -o APT::Sandbox::User=root
  -o APT::Update::Post-Invoke-Success::= -o Acquire::Languages=none -o Debug::NoLocking=true)
apt-get "${options[@]}" update >&2
mkdir -p "$folder/partial"
apt-get "${options[@]}" install --yes --download-only --no-install-recommends "$@" >&2
rmdir "$folder/partial"
