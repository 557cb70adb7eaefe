#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes an image without a registry: a shell, and what the stand-in for nvidia-smi in containers needs.
#   image.sh NAME
set -eu
folder=$(mktemp -d)
mkdir -p "$folder/bin" "$folder/usr/bin"
cp /usr/local/lib/bench/busybox "$folder/bin/"
for name in sh ls sleep touch; do
  ln -s busybox "$folder/bin/$name"
done
tar -C "$folder" -c . | docker import - "$1" >/dev/null
rm -rf "$folder"
