#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stands in for the registries of the outside world: Debian's docker-registry in a container of its own, behind TLS by an
# authority that nobody knows and a password. What hosts must know of it is left in a folder of this machine.
#   registry.sh NETWORK FOLDER    FOLDER gets ca.pem and password (0600)
set -euo pipefail
shopt -s inherit_errexit

network=$1
folder=$2
name=llmfleet-bench-registry
days=2
limit=30
umask 077
mkdir -p "$folder"
certificate() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }

certificate -x509 -days "$days" -subj '/CN=llmfleet bench registry CA' -keyout "$folder/ca.key" -out "$folder/ca.pem"
certificate -subj /CN=registry -keyout "$folder/registry.key" -out "$folder/registry.csr"
openssl x509 -req -days "$days" -in "$folder/registry.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
  -extfile <(echo subjectAltName=DNS:registry) -out "$folder/registry.pem" 2>/dev/null
openssl rand -hex 16 >"$folder/password"

docker rm --force --volumes "$name" >/dev/null 2>&1 || true
docker run --detach --name "$name" --hostname registry --network "$network" --network-alias registry \
  --volume /var/lib/docker-registry llmfleet-bench/registry:current sleep infinity >/dev/null
put() { docker exec --interactive "$name" tee "/etc/docker/registry/$1" >/dev/null; }
put registry.pem <"$folder/registry.pem"
put registry.key <"$folder/registry.key"
docker exec --interactive "$name" htpasswd -niB bench <"$folder/password" | put htpasswd
# Debian 12's configuration names the folder of the password file.
docker exec --detach --env REGISTRY_AUTH_HTPASSWD_PATH=/etc/docker/registry/htpasswd \
  --env REGISTRY_HTTP_TLS_CERTIFICATE=/etc/docker/registry/registry.pem --env REGISTRY_HTTP_TLS_KEY=/etc/docker/registry/registry.key \
  "$name" docker-registry serve /etc/docker/registry/config.yml

for ((second = 0; second < limit; second++)); do
  if docker exec "$name" ss -Hltn 'sport = :5000' | grep -q .; then
    exit 0
  fi
  sleep 1
done
echo "registry: $name did not listen within $limit s" >&2
exit 1
