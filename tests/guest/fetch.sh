#!/usr/bin/env bash
# Fetches what the guests are made of and unpacks it, without installing anything:
# qemu, a kernel, chronyd. About 60 MB to fetch, once.
#
#   tests/guest/fetch.sh [DIRECTORY]          (default: target/guest)
#
# Installing qemu-system-x86 the usual way may remove packages that conflict
# with it, and installing chrony starts it and lets it set this host's clock.
# Unpacking does neither. `apt-get update` must have run before.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${TRUECHIMER_GUEST_DIR:-${CARGO_TARGET_DIR:-$here/../../target}/guest}}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ -e "$dir/complete" ]; then
    echo "already there: $dir"
    exit 0
fi
for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" > /dev/null || {
        echo "$tool is missing: the packages come from Debian or a system made from it" >&2
        exit 1
    }
done

archives=$dir/archives
rm -rf "$dir/root" "$archives"
mkdir -p "$archives/partial" "$dir/root"
cd "$archives"

# The metapackage's dependency is the kernel itself; its own dependencies (the
# initrd's tools) are of no use here.
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
[ -n "$kernel" ] || {
    echo "no package linux-image-cloud-amd64 is known here: run apt-get update" >&2
    exit 1
}
as_user() { apt-get -qq -o APT::Sandbox::User=root "$@"; }
as_user download "$kernel" chrony qemu-system-x86
# With --download-only nothing is installed or removed: this only brings the
# libraries that this host does not have.
as_user -y --no-install-recommends --download-only -o "Dir::Cache::archives=$archives" \
    install qemu-system-x86 chrony

for package in "$archives"/*.deb; do
    dpkg-deb -x "$package" "$dir/root"
done
cp "$dir"/root/boot/vmlinuz-* "$dir/vmlinuz"

# Of the kernel package only the kernel and one module tree's worth of drivers
# could be needed; the guests need no module at all.
rm -rf "$archives" "$dir/root/boot" "$dir/root/lib/modules"

for needed in usr/bin/qemu-system-x86_64 usr/sbin/chronyd usr/share/seabios/bios-256k.bin; do
    [ -e "$dir/root/$needed" ] || {
        echo "$needed was in none of the packages" >&2
        exit 1
    }
done
touch "$dir/complete"
echo "fetched and unpacked: $dir"
