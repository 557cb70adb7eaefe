#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the bench's systemd images with debootstrap, so that no image registry is needed. An image is tagged with the
# digest of this script: it is built once and again only when its recipe changes. Mirrors are debootstrap's own defaults.
#   images.sh [debian12|debian13|ubuntu2404|ubuntu2604]...    default: the first three, which Molecule's hosts are made of
set -euo pipefail
shopt -s inherit_errexit

repository=llmfleet-bench
digest=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
packages=systemd,systemd-sysv,dbus,python3,python3-apt,sudo,ca-certificates,iproute2,procps
scripts=/usr/share/debootstrap/scripts
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
work=$(mktemp -d)
# debootstrap that was killed leaves /proc mounted there.
trap '"${sudo[@]}" rm -rf --one-file-system "$work"' EXIT

need_debootstrap() {
  command -v debootstrap >/dev/null && return 0
  echo "images: installing debootstrap"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
}

# Debian 12 has no keyring that knows Ubuntu 24.04; the one of Debian 13 does. It is fetched, not installed.
ubuntu_keyring() {
  local installed=/usr/share/keyrings/ubuntu-archive-keyring.gpg
  if [ -f "$installed" ]; then
    echo "$installed"
    return
  fi
  mkdir "$work/keyring"
  "$(dirname "${BASH_SOURCE[0]}")/../../scripts/foreign_packages.sh" trixie "$work/keyring" ubuntu-keyring
  dpkg-deb -x "$work"/keyring/ubuntu-keyring_*.deb "$work/keyring"
  echo "$work/keyring$installed"
}

build() {
  local name=$1 image=$repository/$1:$digest root=$work/$1 start=$SECONDS suite arguments keyring
  if docker image inspect "$image" >/dev/null 2>&1; then
    docker tag "$image" "$repository/$name:current"
    echo "images: $image is there"
    return
  fi
  case $name in
    debian12) suite=bookworm ;;
    debian13) suite=trixie ;;
    ubuntu2404) suite=noble ;;
    ubuntu2604) suite=resolute ;;
    *) echo "images: unknown image $name: debian12, debian13, ubuntu2404 and ubuntu2604 exist" >&2; return 2 ;;
  esac
  case $name in
    debian*) arguments=("$suite" "$root") ;;
    ubuntu*)
      keyring=$(ubuntu_keyring)
      arguments=("--keyring=$keyring" "--components=main,universe" "$suite" "$root" "" "$scripts/gutsy")
      ;;
  esac
  echo "images: building $image (about a minute)"
  if ! "${sudo[@]}" debootstrap --variant=minbase --include="$packages" "${arguments[@]}" >"$work/$name.log" 2>&1; then
    echo "images: debootstrap of $name failed on $(hostname):" >&2
    tail -n 20 "$work/$name.log" >&2
    return 1
  fi
  # A container that loses power loses nothing of worth, and dpkg without fsync installs several times as fast.
  echo force-unsafe-io | "${sudo[@]}" tee "$root/etc/dpkg/dpkg.cfg.d/bench" >/dev/null
  # Every container is a machine of its own.
  "${sudo[@]}" truncate -s 0 "$root/etc/machine-id"
  "${sudo[@]}" tar -C "$root" -c . | docker import --change 'CMD ["/lib/systemd/systemd"]' - "$image" >/dev/null
  "${sudo[@]}" rm -rf --one-file-system "$root"
  docker tag "$image" "$repository/$name:current"
  echo "images: $image built in $((SECONDS - start)) s"
}

[ "$#" -gt 0 ] || set -- debian12 debian13 ubuntu2404
need_debootstrap
builds=()
for name in "$@"; do
  build "$name" &
  builds+=("$!")
done
failed=0
for pid in "${builds[@]}"; do
  wait "$pid" || failed=1
done
exit "$failed"
