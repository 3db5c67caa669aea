#!/usr/bin/env bash
# Fetches what the arm64 guests are made of and unpacks it, without installing anything:
# an arm64 kernel, and the emulator of such a machine. About 90 MB to fetch, once.
#
#   tests/arm64/fetch.sh [DIRECTORY]          (default: target/arm64)
#
# The kernel comes through a private apt, because this host should not learn of another
# architecture's packages. Besides, the guests' program is built here, which needs
# gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and `rustup target add aarch64-unknown-linux-gnu`.
# `apt-get update` must have run before.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${TRUECHIMER_ARM64_DIR:-${CARGO_TARGET_DIR:-$here/../../target}/arm64}}
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
rm -rf "$dir/root" "$dir/kernel" "$archives" "$dir/apt"
mkdir -p "$archives/partial" "$dir/root" "$dir/kernel" \
    "$dir"/apt/{etc/apt.conf.d,state/lists/partial,cache/archives/partial}
touch "$dir/apt/status"
cd "$archives"

# This host's sources, but arm64's lists and no installed packages.
of_arm64=(-qq -o Dir::State="$dir/apt/state" -o Dir::State::status="$dir/apt/status"
    -o Dir::Cache="$dir/apt/cache" -o APT::Architecture=arm64 -o APT::Architectures=arm64
    -o APT::Sandbox::User=root)
apt-get "${of_arm64[@]}" update
# The metapackage's dependency is the kernel itself.
kernel=$(apt-cache "${of_arm64[@]}" depends linux-image-cloud-arm64 |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
[ -n "$kernel" ] || {
    echo "no package linux-image-cloud-arm64 is known to the sources of this host" >&2
    exit 1
}
apt-get "${of_arm64[@]}" download "$kernel"
dpkg-deb -x ./*.deb "$dir/kernel"
cp "$dir"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
rm -rf "$dir/kernel" "$dir/apt" ./*.deb

# With --download-only nothing is installed or removed: this only brings the
# libraries that this host does not have.
as_user() { apt-get -qq -o APT::Sandbox::User=root "$@"; }
as_user download qemu-system-arm
as_user -y --no-install-recommends --download-only -o "Dir::Cache::archives=$archives" \
    install qemu-system-arm
for package in ./*.deb; do
    dpkg-deb -x "$package" "$dir/root"
done
rm -rf "$archives"

[ -e "$dir/root/usr/bin/qemu-system-aarch64" ] || {
    echo "usr/bin/qemu-system-aarch64 was in none of the packages" >&2
    exit 1
}
touch "$dir/complete"
echo "fetched and unpacked: $dir"
