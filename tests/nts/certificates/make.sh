#!/usr/bin/env bash
# Makes the certificates of the NTS tests: tests/nts/certificates/make.sh
#
# They are checked in, because making them in each run would take a crate with a dozen
# dependencies. All of them have one key, which protects nothing: everybody can read it here.
# They end in the year 2125, except for the one that has ended.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out server.key
# authority NAME SUBJECT
authority() {
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"
  openssl req -x509 -new -key "$work/$1.key" -days 36500 -subj "/CN=$2" -out "$1.pem" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}
# server NAME AUTHORITY FIRST LAST NAMES
server() {
  rm -rf "$work/ca" && mkdir "$work/ca" && touch "$work/ca/index"
  cat > "$work/conf" << END
[ca]
default_ca = it
[it]
database = $work/ca/index
new_certs_dir = $work/ca
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = of_server
[any]
commonName = optional
[of_server]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = $5
END
  openssl req -new -key server.key -subj "/CN=$1" -out "$work/request"
  openssl ca -batch -notext -config "$work/conf" -in "$work/request" -out "$1.pem" \
    -cert "$2.pem" -keyfile "$work/$2.key" -startdate "$3" -enddate "$4" 2> /dev/null
}
authority authority 'truechimer test authority'
authority stranger 'another test authority'
here=DNS:localhost,IP:127.0.0.1,IP:::1
server server authority 20250101000000Z 21251231000000Z "$here"
server of-stranger stranger 20250101000000Z 21251231000000Z "$here"
server other-name authority 20250101000000Z 21251231000000Z DNS:time.example,IP:192.0.2.1
server expired authority 20250101000000Z 20250201000000Z "$here"
