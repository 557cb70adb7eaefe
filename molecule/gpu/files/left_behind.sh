#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints whatever was left on a host after removal; a clean host prints nothing.
dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' |
  grep -E '^[a-z]i .*(nvidia|cuda|docker|containerd|runc|linux-headers)' | sed 's/^/package: /'
apt-mark showhold | sed 's/^/held: /'
systemctl --failed --no-legend --plain | sed 's/^/failed unit: /'
systemctl list-unit-files --no-legend --plain | grep -E 'nvidia|docker|llm-' | sed 's/^/unit file: /'
# Lists and downloads are apt's.
find / -xdev \( -path /usr/local/lib/bench -o -path /var/lib/apt -o -path /srv -o -path /proc -o -path /sys \) -prune \
  -o \( -iname '*llmfleet*' -o -iname '*nvidia*' -o -name 'cuda-*' \) -print | sed 's/^/file: /'
# Of whatever name, where configuration lives. Ansible's directory of local facts is for everybody, that of container
# networks comes and stays with containerd.
/srv/files/fingerprint.sh left virgin | grep '^/etc/' |
  grep -vx -e /etc/ansible -e /etc/ansible/facts.d -e /etc/cni -e /etc/cni/net.d | sed 's/^/file: /'
exit 0
