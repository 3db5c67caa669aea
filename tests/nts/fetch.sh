#!/usr/bin/env bash
# Fetches time servers that speak NTS, and unpacks them without installing anything:
# chronyd, ntpsec and ntpd-rs of Debian's unstable, with their libraries. About 25 MB, once.
#
#   tests/nts/fetch.sh [DIRECTORY]          (default: target/nts)
#
# It is an apt of its own (lists, cache and sources below DIRECTORY), which checks every package
# against the archive's signature. The programs are run by their own loader, so this host's
# libraries do not matter.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${TRUECHIMER_NTS_DIR:-${CARGO_TARGET_DIR:-$here/../../target}/nts}}
# Count this up (and in `servers.rs`) when something else is to be fetched.
edition=1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ "$(cat "$dir/complete" 2> /dev/null)" = "$edition" ]; then
    echo "already there: $dir"
    exit 0
fi
for tool in apt-get dpkg-deb; do
    command -v "$tool" > /dev/null || {
        echo "$tool is missing: the packages come from Debian or a system made from it" >&2
        exit 1
    }
done
[ -e "$keyring" ] || {
    echo "$keyring is missing: install debian-archive-keyring" >&2
    exit 1
}

servers=(chrony ntpsec ntpd-rs)

# Fetches and unpacks what this suite has.
fetch_from() {
    rm -rf "$dir/complete" "$dir/root" "$dir/apt"
    mkdir -p "$dir/root" "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
    echo "deb [signed-by=$keyring] http://deb.debian.org/debian $1 main" > "$dir/apt/sources.list"
    : > "$dir/apt/status"
    cat > "$dir/apt/apt.conf" << END
Dir::State "$dir/apt";
Dir::State::status "$dir/apt/status";
Dir::Cache "$dir/apt/cache";
Dir::Etc::sourcelist "$dir/apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
END
    export APT_CONFIG=$dir/apt/apt.conf
    apt-get -qq update || return
    # One at a time, because they conflict with each other. Nothing is installed, so of what
    # they depend on only the libraries are of use.
    local server libraries=''
    for server in "${servers[@]}"; do
        libraries+=$(apt-get install -s "$server" |
            awk '$1 == "Inst" && $2 ~ /^(lib|zlib)/ && $2 !~ /^lib(systemd-shared|pam|perl|python|fdisk|db)/ { print $2 }')$'\n'
    done
    libraries=$(sort -u <<< "$libraries")
    # shellcheck disable=SC2086 # these are words
    (cd "$dir/apt/cache/archives" && apt-get -qq download "${servers[@]}" $libraries) || return
    local package
    for package in "$dir"/apt/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$dir/root" || return
    done
    rm -rf "$dir/apt"
}

# Unstable has the newest servers, but for some days now and then not all of their libraries.
fetch_from sid || fetch_from trixie

for needed in usr/sbin/chronyd usr/sbin/ntpd usr/bin/ntp-daemon \
    usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2; do
    [ -e "$dir/root/$needed" ] || {
        echo "$needed was in none of the packages" >&2
        exit 1
    }
done
echo "$edition" > "$dir/complete"
echo "fetched and unpacked: $dir"
