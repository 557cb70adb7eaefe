#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Copies the charts' library, as its authors built and published it on npm, into the files of the role nginx. It is part of the collection, because
# gateways and browsers load nothing from the outside. For a new release, write its version and its `npm view uplot dist.integrity` here.
#   scripts/vendor_uplot.sh
set -euo pipefail

# renovate: datasource=npm depName=uplot
version=1.6.32
integrity=sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../roles/nginx/files/dashboards" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent --ignore-scripts "uplot@$version" >/dev/null
found=sha512-$(openssl dgst -sha512 -binary "uplot-$version.tgz" | base64 -w0)
if [ "$found" != "$integrity" ]; then
  echo "uplot $version: its integrity is $found, and $integrity is wanted. Nothing was copied; find out who changed it." >&2
  exit 1
fi
tar -xzf "uplot-$version.tgz"
install -m 0644 package/dist/uPlot.iife.min.js package/dist/uPlot.min.css "$folder/"
install -m 0644 package/LICENSE "$folder/uPlot.LICENSE"
