#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints what of a driver is loaded, installed, held and pinned, and what state the fabric is in.
cat /proc/driver/nvidia/version
dpkg-query --show 'nvidia-*' 'libnvidia-*'
apt-mark showhold | sed 's/^/held: /'
grep -rhs '^Pin: version' /etc/apt/preferences.d | sort -u
nvidia-smi -q -x | grep -A2 '<fabric>' | sort -u
