#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints the path of a Python that a newer release of ansible-core runs on: of at least the version that its lock is for.
# A distribution's own is used where it is new enough. Elsewhere Debian 13's python3.13 is unpacked, with the C library that it was built
# for, into a folder of the checkout: it runs beside the system's Python, in sight of the same files and processes, and changes neither.
#   newer_python.sh requirements/core-2.21.in
set -euo pipefail

minimum=$(sed -n '1s/^# lock:.*--python-version \([0-9.]*\).*/\1/p' "$1")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$root/.cache/python3.13
program=$folder/usr/bin/python3.13

# The locks end with 3.13 (scripts/venv.sh).
new_enough() {
  [ -x "$1" ] && "$1" -c 'import ensurepip, sys, venv
sys.exit(not tuple(map(int, sys.argv[1].split("."))) <= sys.version_info[:2] <= (3, 13))' "$minimum" 2>/dev/null
}

# The path that it was made for is within the program: a folder that was moved is made anew.
for python in "${PYTHON:-/usr/bin/python3}" /usr/bin/python3.13 "$program"; do
  if new_enough "$python"; then
    echo "$python"
    exit 0
  fi
done

# Environments of two cores may be made at once, and the second takes what the first has unpacked.
mkdir -p "$root/.cache"
exec 9>"$root/.cache/python3.13.lock"
flock 9
if new_enough "$program"; then
  echo "$program"
  exit 0
fi
"$root/scripts/bootstrap.sh" patchelf >&2
echo "newer python: unpacking Debian 13's python3.13 into .cache/python3.13" >&2
rm -rf "$folder"
mkdir -p "$folder"
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
"$root/scripts/foreign_packages.sh" trixie "$packages" python3.13-venv
for package in "$packages"/*.deb; do
  dpkg-deb -x "$package" "$folder"
done
loader=$(find "$folder/usr/lib" -name 'ld-linux-*.so.*' -print -quit)
patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$(dirname "$loader")" "$program"
# Where ensurepip looks for pip.
sed -i "s|'/usr/share/python-wheels/'|'$folder/usr/share/python-wheels/'|" "$folder"/usr/lib/python3.13/_sysconfigdata_*.py
new_enough "$program" || { echo "newer python: $program was unpacked and does not run on $(uname -srm)" >&2; exit 1; }
echo "$program"
