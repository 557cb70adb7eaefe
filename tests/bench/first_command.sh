#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs the README's first command on a machine of a distribution as it comes: the plan, the demo, the demo again without a change, and its removal.
# The machine is a container with systemd; releases of Python come from a mirror with a stand-in (tests/support/python_standin.py), because the real
# ones cannot be downloaded everywhere.
#   first_command.sh [debian12|debian13|ubuntu2404|ubuntu2604]...    default: debian13 ubuntu2604
#   FIRST_STEPS                                                      some of: plan demo again clean
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
[ "$#" -gt 0 ] || set -- debian13 ubuntu2604
shared=/srv/bench
logs=$root/build/bench/first
pythons=$(mktemp -d)
host=
clean_up() {
  [ -z "$host" ] || docker rm --force --volumes "$host" >/dev/null 2>&1 || true
  rm -rf "$pythons"
}
trap clean_up EXIT

tests/bench/docker.sh
tests/bench/images.sh "$@"
mkdir -p "$logs"
release=$(grep -rh '^service_python_release: ' roles/fleet_defaults/defaults | tr -dc '0-9.')
chmod 755 "$pythons"
environment=$(python3 tests/support/python_standin.py "$pythons" "$release")

options=(--cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE --security-opt seccomp=unconfined --security-opt apparmor=unconfined
  --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /run/lock --tmpfs "/tmp:exec,mode=1777" --tmpfs "/root/serving:exec,mode=0755" --shm-size 1g
  --volume "llmfleet-bench-uv:$shared/uv" --volume "llmfleet-bench-pip:$shared/pip" --volume "$pythons:$pythons:ro")
exports=("$environment" "export UV_CACHE_DIR=$shared/uv PIP_CACHE_DIR=$shared/pip PYTHONDONTWRITEBYTECODE=1")
bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -f "$bundle" ]; then
  options+=(--volume "$bundle:$shared/ca.crt:ro")
  exports+=("export SSL_CERT_FILE=$shared/ca.crt PIP_CERT=$shared/ca.crt")
fi
if [ -d "${PIP_FIND_LINKS:-}" ]; then
  options+=(--volume "$PIP_FIND_LINKS:$shared/wheels:ro")
  exports+=("export PIP_FIND_LINKS=$shared/wheels")
fi

# step NAME COMMAND: on the host, in the checkout, as the README has it.
step() {
  local name=$1 start=$SECONDS
  if ! printf '%s\n' "${exports[@]}" 'cd /root/serving' "$2" |
    timeout 1800 docker exec --interactive "$host" bash -euo pipefail >"$logs/$distribution-$name.log" 2>&1; then
    echo "first: $distribution: $name FAILED after $((SECONDS - start)) s, the end of $logs/$distribution-$name.log:" >&2
    tail -n 40 "$logs/$distribution-$name.log" >&2
    return 1
  fi
  echo "first: $distribution: $name passed in $((SECONDS - start)) s"
}

said() {
  grep -qE "$2" "$logs/$distribution-$1.log" || { echo "first: $distribution: $1 did not say '$2'" >&2; return 1; }
}

for distribution in "$@"; do
  host=llmfleet-first-$distribution
  init=(/lib/systemd/systemd) reaper=()
  # The systemd of Ubuntu 26.04 starts only where control groups are of version 2; elsewhere the demo's services are kept by supervisor.
  if [ "$distribution" = ubuntu2604 ] && [ "$(stat --file-system --format %T /sys/fs/cgroup)" != cgroup2fs ]; then
    init=(sleep infinity) reaper=(--init)
    echo "first: $distribution: no systemd, because this machine's control groups are of version 1"
  fi
  docker rm --force --volumes "$host" >/dev/null 2>&1 || true
  docker run --detach "${reaper[@]}" --name "$host" --hostname "$host" "${options[@]}" --volume "llmfleet-bench-apt-$distribution:/var/cache/apt/archives" \
    "llmfleet-bench/$distribution:current" "${init[@]}" >/dev/null
  git ls-files -co --exclude-standard -z | tar --null --files-from - --create | docker exec --interactive "$host" sh -c \
    'exec tar --extract --no-same-owner --directory /root/serving'
  # What a person has who cloned the repository.
  step machine 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make git'
  for name in ${FIRST_STEPS:-plan demo again clean}; do
    case $name in
      plan)
        step plan 'make demo-plan'
        said plan 'chat-0'
        ;;
      demo)
        step demo 'make demo'
        said demo 'WHAT RUNS +ON +WHERE'
        said demo 'llm-open-webui +localhost +http://127.0.0.1:3000'
        ;;
      again)
        step again 'make demo'
        said again 'localhost +: ok=[0-9]+ +changed=0 +unreachable=0 +failed=0'
        ;;
      clean)
        step clean 'make demo-clean; left=$(sh molecule/shared/files/left_behind.sh); echo "left behind: ${left:-nothing}"'
        said clean '^left behind: nothing$'
        ;;
      *) echo "first: unknown step $name: plan, demo, again and clean exist" >&2; exit 2 ;;
    esac
  done
  docker rm --force --volumes "$host" >/dev/null
  host=
done
