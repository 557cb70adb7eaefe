#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs the README's first command on a machine of a distribution as it comes: the plan, the demo and a question, the
# demo again without a change, and its removal. The machine is a container with systemd, made from the same images as
# Molecule's hosts. Distributions share only downloads (the caches of uv, pip and apt, and the wheels of this machine);
# every environment is built anew.
# Releases of python-build-standalone come from a mirror with a stand-in (tests/support/python_standin.py), because the
# real ones cannot be downloaded everywhere: what uv installs is this machine's Python under the name of the release.
#   first_command.sh [--to plan|demo|again|clean] [--keep] [debian12|debian13|ubuntu2404|ubuntu2604]...
#     --to    the last step to run; default: clean, the last of all
#     --keep  leave the machine for a look; the next run of its distribution removes it
#   default: debian13 ubuntu2404 ubuntu2604; `make demo` runs on Debian 12 itself in `make test`
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
steps=(plan demo again clean)
# On two idle cores the demo takes 6 minutes; a machine of tests has more to do.
step_limit=5400
last=clean keep=
while [ "$#" -gt 0 ]; do
  case $1 in
    --to) last=${2:-} && shift "$(($# > 1 ? 2 : 1))" ;;
    --keep) keep=1 && shift ;;
    *) break ;;
  esac
done
[[ " ${steps[*]} " == *" $last "* ]] || { echo "first: --to is '$last': use one of ${steps[*]}" >&2; exit 2; }
[ "$#" -gt 0 ] || set -- debian13 ubuntu2404 ubuntu2604
for distribution in "$@"; do
  case $distribution in
    debian12 | debian13 | ubuntu2404 | ubuntu2604) ;;
    *)
      echo "first: no distribution '$distribution' on the bench: use debian12, debian13, ubuntu2404 or ubuntu2604" >&2
      exit 2
      ;;
  esac
done

shared=/srv/bench
logs=$root/build/bench/first
pythons=$(mktemp -d)
host='' running=''

clean_up() {
  trap '' INT TERM HUP
  [ -z "$running" ] || kill "$running" 2>/dev/null || true
  if [ -n "$host" ] && [ -z "$keep" ]; then
    echo "first: removing $host"
    docker rm --force --volumes "$host" >/dev/null 2>&1 || true
  fi
  rm -rf "$pythons"
}
trap clean_up EXIT
# Signals are ignored before the exit, so that a second one does not end the removal.
trap 'trap "" INT TERM HUP; exit 130' INT
trap 'trap "" INT TERM HUP; exit 143' TERM HUP

# wait_for COMMAND...: in the background, because bash handles a signal only when its command in the foreground ends.
wait_for() {
  local code=0
  "$@" </dev/null &
  running=$!
  wait "$running" || code=$?
  running=
  return "$code"
}

# in_host LOG COMMAND: only as the command of wait_for, whose own output is that of the traps.
in_host() {
  local script
  script=$(printf '%s\n' "${exports[@]}" 'cd /root/serving' "$2")
  exec timeout "$step_limit" docker exec "$host" bash -euo pipefail -c "$script" >"$1" 2>&1
}

# step NAME COMMAND: on the host, in the checkout, as the README has it.
step() {
  local name=$1 start=$SECONDS log=$logs/$distribution-$1.log
  echo "first: $distribution: $name:"
  sed 's/ *#.*//; s/^[^ ]/  $ &/; s/^  *[^ $]/    &/' <<<"$2"
  if ! wait_for in_host "$log" "$2"; then
    echo "first: $distribution: $name FAILED after $((SECONDS - start)) s, the end of $log:" >&2
    tail -n 40 "$log" | cut -c1-600 >&2
    diagnose >&2
    return 1
  fi
  echo "first: $distribution: $name passed in $((SECONDS - start)) s"
}

# What a person would look at first, while the machine exists.
diagnose() {
  # shellcheck disable=SC2016 # The variables are those of the shell in the host.
  timeout 60 docker exec "$host" sh -c '
    df -h / | tail -n 1; free -m | head -n 2
    if [ -d /run/systemd/system ]; then
      systemctl list-units --all --no-legend --plain "llm-*"; systemctl --failed --no-legend --plain
      journalctl --quiet --no-pager --unit "llm-*" | grep -E "Error|ERROR|error:" | tail -n 15 | cut -c1-300
    fi
    for log in /var/log/llmfleet/*.log; do
      [ ! -f "$log" ] || { echo "== $log"; tail -n 15 "$log" | cut -c1-300; }
    done' || true
}

fail() {
  echo "first: $distribution: $1" >&2
  return 1
}

# said STEP PATTERN: fails unless the step printed it; show STEP PATTERN prints what fits, also across lines.
said() {
  grep -qE "$2" "$logs/$distribution-$1.log" || fail "$1 did not print '$2', see $logs/$distribution-$1.log"
}

show() {
  tr -s '\n ' ' ' <"$logs/$distribution-$1.log" | grep -oE "$2" | sort -u | sed 's/^/  /' ||
    fail "$1 did not print '$2', see $logs/$distribution-$1.log"
}

# table_of FILE: the table that a run ends with, without the indentation of the output.
table_of() {
  sed -n '/WHAT RUNS .*WHERE/,/^ *llm-node-exporter /s/^ *//p' "$1"
}

start_host() {
  local init=(/lib/systemd/systemd) reaper=()
  host=llmfleet-first-$distribution
  # The systemd of Ubuntu 26.04 starts only where control groups are of version 2; elsewhere the demo's services are
  # kept by supervisor.
  if [ "$distribution" = ubuntu2604 ] && [ "$(stat --file-system --format %T /sys/fs/cgroup)" != cgroup2fs ]; then
    init=(sleep infinity) reaper=(--init)
    echo "first: $distribution: no systemd, because this machine's control groups are of version 1"
  fi
  docker rm --force --volumes "$host" >/dev/null 2>&1 || true
  docker run --detach "${reaper[@]}" --name "$host" --hostname "$host" "${options[@]}" \
    --volume "llmfleet-bench-apt-$distribution:/var/cache/apt/archives" \
    "llmfleet-bench/$distribution:current" "${init[@]}" >/dev/null
  git ls-files -co --exclude-standard -z | tar --null --files-from - --create |
    docker exec --interactive "$host" tar --extract --no-same-owner --directory /root/serving
}

# The README's first block: the demo, and a question to it.
first_block=$(sed -n '/^<!-- ci: demo -->$/,/^```$/p' README.md | sed '1,2d; /^```$/,$d')
if [[ $first_block != 'make demo'* ]]; then
  echo "first: the first block of README.md that CI runs does not begin with make demo" >&2
  exit 1
fi
# Prints what is left on the host, and every package and file of the checkout that was not there after the plan.
# shellcheck disable=SC2016 # The variable is dpkg-query's.
packages='dpkg-query --show --showformat="package: \${Package}\n" | sort'
left_behind="sh molecule/shared/files/left_behind.sh
  $packages | comm -13 /root/packages -
  find . | sort | comm -13 /root/checkout - | sed 's/^/checkout: /'"

run_steps() {
  start_host
  # What a person has who cloned the repository and uses curl.
  step machine 'apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make git curl'
  wait_for in_host /dev/null 'find . | sort >/root/checkout' || fail 'the checkout could not be listed'
  for name in "${steps[@]}"; do
    case $name in
      plan)
        step plan 'make demo-plan'
        said plan 'chat-0'
        grep -oE 'environment: .* uv brings .*' "$logs/$distribution-plan.log" | sed 's/^/  the stand-in too: /' || true
        # The plan needs Python's venv module, the only package that stays (scripts/bootstrap.sh).
        wait_for in_host /dev/null "$packages >/root/packages" || fail 'the packages could not be listed'
        ;;
      demo)
        step demo "$first_block"
        said demo '"choices":'
        if [ "$distribution" != debian12 ]; then
          echo "first: $distribution: applications on the Python that uv installed, which is the stand-in:"
          show demo '[a-z-]+ needs Python [^:]*: uv brings [0-9.]+'
        fi
        echo "first: $distribution: preflight passed, and the demo answered and ended with:"
        table_of "$logs/$distribution-demo.log" | tee "$logs/$distribution-table.log" | sed 's/^/  /'
        table_of README.md | diff - "$logs/$distribution-table.log" || fail 'the table is not the one of README.md'
        ;;
      again)
        step again 'make demo'
        show again 'localhost +: ok=[0-9]+ +changed=0 +unreachable=0 +failed=0'
        ;;
      clean)
        step clean 'make demo-clean'
        left=$logs/$distribution-left.log
        wait_for in_host "$left" "$left_behind" || fail "it could not be listed what is left: $(head -n 5 "$left")"
        [ ! -s "$left" ] || fail "make demo-clean left behind: $(head -n 40 "$left")"
        echo "first: $distribution: no unit, account, process, listener, package or file is left, nor in the checkout"
        ;;
    esac
    [ "$name" != "$last" ] || break
  done
  [ -n "$keep" ] || docker rm --force --volumes "$host" >/dev/null
  host=
}

wait_for tests/bench/docker.sh
wait_for tests/bench/images.sh "$@"
mkdir -p "$logs"
release=$(grep -rh '^service_python_release: ' roles/fleet_defaults/defaults | tr -dc '0-9.')
chmod 755 "$pythons"
environment=$(python3 tests/support/python_standin.py "$pythons" "$release")
echo "first: python-build-standalone $release is a stand-in with its name and layout, made of this machine's" \
  "$(/usr/bin/python3 --version)"

options=(--label llmfleet.bench=first --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE
  --security-opt seccomp=unconfined --security-opt apparmor=unconfined
  --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw
  --tmpfs /run --tmpfs /run/lock --tmpfs "/tmp:exec,mode=1777" --shm-size 1g --volume /root/serving
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

for distribution in "$@"; do
  start=$SECONDS
  run_steps
  echo "first: $distribution: passed up to $last in $((SECONDS - start)) s"
done
