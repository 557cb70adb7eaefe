#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints whatever the collection left on a host after removal; a clean host prints nothing. llm-admin and llm-other belong
# to others.
if [ -d /run/systemd/system ]; then
  for kind in units unit-files; do
    systemctl "list-$kind" --all --no-legend --plain 'llm-*' | grep -v '^llm-other' | sed "s/^/$kind: /"
  done
  systemctl --failed --no-legend --plain | sed 's/^/failed unit: /'
fi
for database in passwd group; do
  getent "$database" | grep '^llm-' | grep -v '^llm-admin:' | sed "s/^/$database: /"
done
# -xdev keeps to the host's own file system: the bench's caches are mounts.
find / -xdev \( -iname '*llmfleet*' -o -name 'llm-*' -o -iname '*litellm*' -o -iname '*open-webui*' -o -iname '*vllm*' \) |
  grep -v -x -E '/(home|var/mail|var/spool/mail)/llm-admin|/etc/systemd/system/llm-other.service' | sed 's/^/file: /'
ps -eo user:32,args | grep '^llm-' | sed 's/^/process: /'
# Loopback 11, 53 and 54 are the name services of Docker and systemd.
ss -Hltn | grep -v -E '127\.0\.0\.(11|53|54)[:%]' | sed 's/^/listener: /'
exit 0
