#!/bin/sh
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Prints a certificate chain with its key and says by its exit status whether it had to make them.
#   certificate make|check CA_FILE DAYS RENEW_DAYS NAME...   one signed by the host's own authority, made anew where it is missing,
#                                                            has other names or days or ends soon; `check` only says what `make`
#                                                            would do
#   certificate given CA_FILE DAYS RENEW_DAYS NAME...        the one on standard input, if it is good for the names
# Exit status: 0 as it was, 10 made (or would be), 1 unusable, with the reason on standard error.
set -eu
umask 077
mode=$1 ca=$2 days=$3 renew=$4
shift 4
folder=$(dirname "$ca")
ca_key=${ca%.*}.key
scratch_in=${TMPDIR:-/tmp}
if [ "$mode" = make ]; then
  # Everything lands by renaming, so that an interrupted run leaves nothing half made.
  scratch_in=$folder
  mkdir -p "$folder"
  chmod 0755 "$folder"
fi
scratch=$(mktemp -d "$scratch_in/.new.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "$1" >&2
  exit 1
}

run_openssl() {
  openssl "$@" >"$scratch/log" 2>&1 || fail "openssl $1 failed: $(tail -n 3 "$scratch/log")"
}

is_address() {
  case $1 in *:*) return 0 ;; *[!0-9.]*) return 1 ;; esac
}

# Whether a certificate is there and outlives the given days.
lasts() {
  [ -s "$1" ] && openssl x509 -in "$1" -noout -checkend $(($2 * 86400)) >/dev/null 2>&1
}

given() {
  pem=$scratch/given.pem
  cat >"$pem"
  openssl x509 -in "$pem" -noout -pubkey >"$scratch/certificate.pub" 2>/dev/null ||
    fail "nginx_tls_certificate holds no certificate: give PEM text, as lookup('ansible.builtin.file', 'chain.pem') returns it."
  openssl pkey -in "$pem" -passin pass: -pubout >"$scratch/key.pub" 2>/dev/null ||
    fail "nginx_tls_key holds no key that opens without a passphrase: give PEM text, as lookup('ansible.builtin.file', 'key.pem') returns it."
  cmp -s "$scratch/certificate.pub" "$scratch/key.pub" ||
    fail "nginx_tls_key does not belong to the first certificate of nginx_tls_certificate: give the pair, the server's own certificate first."
  lasts "$pem" 0 || fail "nginx_tls_certificate ended on $(openssl x509 -in "$pem" -noout -enddate | cut -d= -f2): give a renewed one."
  for name; do
    kind=-checkhost
    if is_address "$name"; then kind=-checkip; fi
    openssl x509 -in "$pem" -noout "$kind" "$name" | grep -q 'does match' ||
      fail "nginx_tls_certificate is not good for the server_name $name: give one that is, or another server_name."
  done
  cat "$pem"
}

make_authority() {
  cat >"$scratch/ca.cnf" <<CONFIG
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
O = $(uname -n)
CN = llmfleet $(openssl rand -hex 4)
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
CONFIG
  run_openssl req -x509 -config "$scratch/ca.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
    -keyout "$scratch/ca.key" -out "$scratch/ca.crt"
  chmod 0644 "$scratch/ca.crt"
  mv "$scratch/ca.key" "$ca_key"
  mv "$scratch/ca.crt" "$ca"
}

make_certificate() {
  list=
  for name; do
    if is_address "$name"; then list=$list,IP:$name; else list=$list,DNS:$name; fi
  done
  cat >"$scratch/server.cnf" <<CONFIG
[req]
distinguished_name = subject
prompt = no
[subject]
O = llmfleet
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${list#,}
CONFIG
  run_openssl req -new -config "$scratch/server.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 \
    -keyout "$scratch/server.key" -out "$scratch/server.csr"
  run_openssl x509 -req -in "$scratch/server.csr" -CA "$ca" -CAkey "$ca_key" -set_serial "0x$(openssl rand -hex 16)" -sha256 -days "$days" \
    -extfile "$scratch/server.cnf" -extensions extensions -out "$scratch/server.crt"
  cat "$scratch/server.crt" "$scratch/server.key" >"$scratch/server.pem"
  mv "$scratch/server.pem" "$server"
  echo "$days $*" >"$terms"
}

own() {
  server=$folder/server.pem
  # What the certificate was made for. The earlier form of this file has no days: such a certificate is made anew.
  terms=$folder/server.names
  status=0
  lasts "$ca" "$renew" && [ -s "$ca_key" ] || status=10
  lasts "$server" "$renew" && [ "$(cat "$terms" 2>/dev/null)" = "$days $*" ] || status=10
  if [ "$mode" = make ] && [ "$status" -eq 10 ]; then
    if ! lasts "$ca" "$renew" || [ ! -s "$ca_key" ]; then make_authority; fi
    make_certificate "$@"
  fi
  if [ -s "$server" ]; then cat "$server"; fi
  exit "$status"
}

if [ "$mode" = given ]; then given "$@"; else own "$@"; fi
