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
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
install_uv() { "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$root/requirements/uv.txt"; }

version=$(version_of "$python")
case $version in
  3.11 | 3.12 | 3.13) ;;
  *)
    # The same release that uv brings to hosts, from the same mirror: UV_PYTHON_INSTALL_MIRROR.
    release=$(grep -rh '^service_python_release: ' "$root/roles/fleet_defaults/defaults" | tr -dc '0-9.')
    brought=$root/.venv/python
    echo "environment: $python is Python $version, the locks are for 3.11 to 3.13: uv brings $release into $brought"
    tools=$root/.venv/uv
    if ! [ -x "$tools/bin/uv" ]; then
      "$python" -m venv --clear "$tools"
      install_uv "$tools"
    fi
    if ! UV_PYTHON_INSTALL_DIR=$brought UV_NO_CONFIG=1 "$tools/bin/uv" python install --no-progress --no-bin "$release"; then
      echo "$(hostname): uv could not bring Python $release: set UV_PYTHON_INSTALL_MIRROR to a mirror (docs/pythons.md), or have make use a Python" \
        "from 3.11 to 3.13 of your own: make PYTHON=/path/to/python3.12 ..." >&2
      exit 1
    fi
    found=("$brought/cpython-$release"-*/bin/python3)
    python=${found[0]}
    version=$(version_of "$python")
    ;;
esac

# An environment of another Python, or one that was moved, is of no use.
if [ -e "$venv" ] && [ "$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.prefix)' 2>/dev/null)" != "$version $(realpath "$venv")" ]; then
  rm -rf "$venv"
fi
if ! [ -x "$venv/bin/uv" ]; then
  echo "environment: creating $venv with Python $version"
  "$python" -m venv --clear "$venv"
  install_uv "$venv"
fi
eval "$("$venv/bin/python" "$root/scripts/uv_env.py")"
echo "environment: installing $lock"
VIRTUAL_ENV=$venv UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1 UV_LINK_MODE=${UV_LINK_MODE:-copy} \
  "$venv/bin/uv" pip install --quiet --require-hashes --exact --requirement "$lock"
touch "$venv/.complete"
echo "environment: $venv is ready after $((SECONDS - start)) s"
