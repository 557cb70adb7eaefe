#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a machine of a host: gives it a stand-in for the kernel and the archive of its distribution's kernel, and boots it.
#   install.sh MACHINE engine|native
set -eu
folder=/usr/local/lib/bench
# kmod is no part of the images.
mkdir -p "$folder" /etc/modprobe.d
for name in kernel modprobe lsmod update-initramfs; do
  ln -sf /srv/standins/kernel.py "/usr/local/sbin/$name"
done
ln -sf "/srv/machines/$1.json" "$folder/machine.json"
ln -sfn /srv/recorded "$folder/recorded"
echo 'deb [signed-by=/usr/share/keyrings/bench.asc] http://gpu-archive/kernel/ /' >/etc/apt/sources.list.d/bench.list
/usr/bin/python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' \
  http://gpu-archive/key.asc >/usr/share/keyrings/bench.asc
systemctl enable --now /srv/standins/kernel.service
# Nothing here is installed from the distribution, and without its lists apt is done in no time.
[ "$2" = engine ] || rm -f /etc/apt/sources.list
apt-get update -qq
if [ "$2" = engine ]; then
  # For images to run without a registry: one program that is many, and needs no library.
  scratch=$(mktemp -d)
  (cd "$scratch" && apt-get download -qq busybox-static && dpkg-deb -x busybox-static_*.deb .)
  find "$scratch" -type f -name busybox -exec install -m 755 {} "$folder/busybox" \;
  rm -rf "$scratch"
fi
/srv/files/fingerprint.sh remember virgin
