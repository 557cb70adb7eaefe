#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Installs what the control node needs from its distribution: Python with venv, and the CA certificates. Does nothing where they are.
set -euo pipefail

missing=()
[ -x /usr/bin/python3 ] || missing+=(python3)
# The venv module is there without its wheels on Debian and Ubuntu; only with ensurepip it can make an environment.
/usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -s /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
for package in "$@"; do
  dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "$(hostname): ${missing[*]} missing, and there is no apt-get to install it: install it by hand, then run make again" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "$(hostname): ${missing[*]} missing, and user $(id -un) is neither root nor has sudo: have root run 'apt-get install ${missing[*]}'" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "bootstrap: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${sudo[@]}" apt-get update -qq && "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  echo "$(hostname): apt-get could not install ${missing[*]}:" >&2
  tail -n 20 "$log" >&2
  exit 1
fi
