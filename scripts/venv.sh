#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes or updates a Python environment from a lock with hashes, through pip's own configuration.
#   venv.sh .venv/control requirements/control.txt
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$1
lock=$2
python=${PYTHON:-/usr/bin/python3}
start=$SECONDS

"$root/scripts/bootstrap.sh"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
  3.11 | 3.12 | 3.13) ;;
  *) echo "$(hostname): $python is Python $version; the locks are for 3.11 to 3.13: make PYTHON=/path/to/python3.12 ..." >&2; exit 1 ;;
esac

# An environment of another Python, or one that was moved, is of no use.
if [ -e "$venv" ] && [ "$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.prefix)' 2>/dev/null)" != "$version $(realpath "$venv")" ]; then
  rm -rf "$venv"
fi
if ! [ -x "$venv/bin/uv" ]; then
  echo "environment: creating $venv with Python $version"
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$root/requirements/uv.txt"
fi
eval "$("$venv/bin/python" "$root/scripts/uv_env.py")"
echo "environment: installing $lock"
VIRTUAL_ENV=$venv UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1 UV_LINK_MODE=${UV_LINK_MODE:-copy} \
  "$venv/bin/uv" pip install --quiet --require-hashes --exact --requirement "$lock"
touch "$venv/.complete"
echo "environment: $venv is ready after $((SECONDS - start)) s"
