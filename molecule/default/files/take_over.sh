#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Links to the environments that the demo has built on this machine, so that a host need not build the same again. An
# environment is a folder named after the digest of its lock, which is why it fits; it must have this host's Python. Hosts
# with another Python build theirs, as every host does where no demo is.
#   take_over.sh BUILT
set -eu

built=$1
target=/opt/llmfleet/venvs
version=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
for stamp in "$built"/*/.complete; do
  environment=${stamp%/.complete}
  name=${environment##*/}
  if [ ! -e "$stamp" ] || [ ! -d "$environment/lib/$version" ] || [ -e "$target/$name" ]; then
    continue
  fi
  install -d -m 0755 "${target%/*}" "$target"
  cp -p "$environment.txt" "$target/"
  ln -s "$environment" "$target/$name"
  echo "$name: taken over"
done
