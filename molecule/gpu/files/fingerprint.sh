#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Writes down what a host is like: its files with size, time and mode, what is held, the state of its units.
#   fingerprint.sh remember NAME    fingerprint.sh compare NAME (prints what differs)    fingerprint.sh left NAME (prints files that are new)
set -eu
# Kept through a reboot.
folder=/usr/local/lib/bench/fingerprints
mkdir -p "$folder"

now() {
  # What a process of the bench itself or the clock writes is no change: byte code, caches, timers' stamps.
  find /boot /etc /opt /root /usr /var/lib -xdev \
    \( -name __pycache__ -o -path /usr/local/lib/bench -o -path /root/.ansible -o -path /var/lib/systemd -o -path /var/lib/docker -o -path /var/lib/containerd \) -prune \
    -o -type d -printf '%p %m\n' -o -printf '%p %s %Ts %m\n'
  apt-mark showhold | sed 's/^/held: /'
  systemctl list-unit-files --no-legend --plain | sed 's/^/unit file: /'
  systemctl list-units --no-legend --plain --type=service,socket,path | cut -d' ' -f1 | sed 's/^/running: /'
}

case $1 in
  remember) now | sort >"$folder/$2" ;;
  compare) now | sort | diff "$folder/$2" - | grep '^[<>]' || true ;;
  left) now | grep '^/' | cut -d' ' -f1 | sort >"$folder/now" && cut -d' ' -f1 "$folder/$2" | grep '^/' | sort | comm -13 - "$folder/now" ;;
esac
