#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A container with a GPU that loses it and gets it back: llm-probe.service stands in for an engine.
#   probe.sh start      run it
#   probe.sh lose       see that it is the same container still, and take its GPU away
#   probe.sh returned   see that another container has the GPU, and end it
set -eu
gpu=/run/bench/gpu
container=/run/bench/container

id() { docker inspect --format '{{.Id}}' llm-probe; }
sees() { docker exec llm-probe nvidia-smi -L | grep -F "$(cat "$gpu")"; }
wait_for() {
  for second in $(seq 30); do
    "$@" && return 0
    sleep 1
  done
  echo "not after $second s: $*" >&2
  return 1
}

case $1 in
  start)
    nvidia-smi -L | sed 's/.*UUID: //; s/).*//' | tail -n 1 >"$gpu"
    /srv/files/image.sh bench-probe:1
    systemctl link --quiet /srv/files/llm-probe.service
    systemctl start llm-probe.service
    wait_for sees
    id >"$container"
    ;;
  lose)
    test "$(id)" = "$(cat "$container")"
    docker exec llm-probe touch /lost
    ! sees
    ;;
  returned)
    wait_for sees
    test "$(id)" != "$(cat "$container")"
    systemctl stop llm-probe.service
    systemctl disable --quiet llm-probe.service
    # What it ended with when it was asked to is nobody's fault.
    systemctl reset-failed llm-probe.service
    docker rm --force llm-probe
    docker image rm bench-probe:1
    ;;
esac
