#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Has nginx check a configuration before it takes the place of the one in use.
#
#     check_config.sh FILE USER COMMAND...
#
# COMMAND runs nginx as the service's own user with the service's rights: that user must be able to read the key, write
# the log and take the ports. It cannot read what Ansible writes, so it gets a copy. The process id of the running nginx
# is left alone.
set -eu
# The check creates the access log where there is none.
umask 077
file=$1 user=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 0755 "$folder"
install -m 0640 -g "$user" "$file" "$folder/nginx.conf"
"$@" -t -q -e stderr -g 'pid /dev/null;' -c "$folder/nginx.conf"
