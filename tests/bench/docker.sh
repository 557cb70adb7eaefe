#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Leaves a Docker engine that answers: an engine already there is used as it is, otherwise the distribution's own is
# installed and started, by systemd where that is PID 1 and by hand where it is not (containers, CI runners).
set -euo pipefail

log_file=${BENCH_DOCKERD_LOG:-/var/log/llmfleet-bench-dockerd.log}
deadline=60
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)

answers() { docker info >/dev/null 2>&1; }

if answers; then
  echo "docker: engine $(docker version --format '{{.Server.Version}}') answers"
  exit 0
fi

missing=()
command -v dockerd >/dev/null || missing+=(docker.io)
command -v iptables >/dev/null || missing+=(iptables)
if [ "${#missing[@]}" -gt 0 ]; then
  echo "docker: installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ -d /run/systemd/system ]; then
  "${sudo[@]}" systemctl start docker.service
elif ! answers; then
  echo "docker: starting dockerd, log in $log_file"
  # An engine that died with its machine leaves a pid file that keeps the next one from starting.
  if [ -f /run/docker.pid ] && ! [ -d "/proc/$(cat /run/docker.pid)" ]; then
    "${sudo[@]}" rm -f /run/docker.pid
  fi
  # Larger packets than the machine's own network takes would be lost.
  device=$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route)
  mtu=1500
  [ -z "$device" ] || mtu=$(cat "/sys/class/net/$device/mtu")
  "${sudo[@]}" setsid sh -c 'exec dockerd --mtu="$2" >>"$1" 2>&1 </dev/null' sh "$log_file" "$mtu" &
fi

for ((second = 0; second < deadline; second++)); do
  if answers; then
    echo "docker: engine $(docker version --format '{{.Server.Version}}') answers after ${second} s"
    exit 0
  fi
  sleep 1
done

echo "docker: no engine answered within ${deadline} s on $(hostname); the end of $log_file says why:" >&2
"${sudo[@]}" tail -n 20 "$log_file" >&2 || true
exit 1
