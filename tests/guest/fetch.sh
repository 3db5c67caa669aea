#!/usr/bin/env bash
# Fetches what the guests are made of and unpacks it, without installing anything:
# qemu, kernels, chronyd, ntpsec, ntpd-rs, ptpd, timesyncd, ClockBound. About 300 MB to fetch, once,
# and a minute to build ClockBound's daemon.
#
#   tests/guest/fetch.sh [DIRECTORY]          (default: target/guest)
#
# Installing qemu-system-x86 the usual way may remove packages that conflict
# with it, and installing a time daemon starts it and lets it set this host's
# clock. Unpacking does neither. `apt-get update` must have run before.
#
# apt checks every package against the archive's signature. What this host's own
# release does not have comes from trixie, by an apt of its own (lists, cache and
# sources below DIRECTORY): ntpd-rs, and a qemu with a network card that has a clock.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${TRUECHIMER_GUEST_DIR:-${CARGO_TARGET_DIR:-$here/../../target}/guest}}
# Count this up (and in `ground.rs`) when something else is to be fetched.
edition=3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ "$(cat "$dir/complete" 2> /dev/null)" = "$edition" ]; then
    echo "already there: $dir"
    exit 0
fi
for tool in apt-get apt-cache dpkg-deb xz; do
    command -v "$tool" > /dev/null || {
        echo "$tool is missing: the packages come from Debian or a system made from it" >&2
        exit 1
    }
done
[ -e "$keyring" ] || {
    echo "$keyring is missing: install debian-archive-keyring" >&2
    exit 1
}

archives=$dir/archives
rm -rf "$dir/complete" "$dir/root" "$dir/newer" "$archives"
mkdir -p "$archives/partial" "$dir/root"
cd "$archives"

# A metapackage's dependency is the kernel itself; its own dependencies (the
# initrd's tools) are of no use here.
kernel_of() {
    local kernel
    kernel=$(apt-cache depends "$1" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
    [ -n "$kernel" ] || {
        echo "no package $1 is known here: run apt-get update" >&2
        exit 1
    }
    echo "$kernel"
}
as_user() { apt-get -qq -o APT::Sandbox::User=root "$@"; }

# The cloud kernel boots fastest; only the general one has drivers for network cards
# with clocks.
small=$(kernel_of linux-image-cloud-amd64)
general=$(kernel_of linux-image-amd64)
as_user download "$small" "$general" chrony ntpsec ptpd qemu-system-x86
# With --download-only nothing is installed or removed: this only brings the
# libraries that this host does not have.
as_user -y --no-install-recommends --download-only -o "Dir::Cache::archives=$archives" \
    install qemu-system-x86 chrony
as_user -y --no-install-recommends --download-only -o "Dir::Cache::archives=$archives" \
    install ntpsec ptpd

for package in "$archives"/*.deb; do
    dpkg-deb -x "$package" "$dir/root"
done
cd "$dir"
rm -rf "$archives"
cp "$dir/root/boot/${small/linux-image/vmlinuz}" "$dir/vmlinuz"
cp "$dir/root/boot/${general/linux-image/vmlinuz}" "$dir/vmlinuz-general"

# Of all modules only the network cards' are needed, in the order in which they load.
mkdir -p "$dir/modules"
for module in i2c-algo-bit dca pps_core ptp igb e1000e; do
    found=$(find "$dir/root/lib/modules/${general#linux-image-}" -name "$module.ko*" | head -1)
    case $found in
        *.xz) xz -dc "$found" > "$dir/modules/$module.ko" ;;
        *.ko) cp "$found" "$dir/modules/$module.ko" ;;
        # What is built into the kernel is no module.
        '') ;;
    esac
done
rm -rf "$dir/root/boot" "$dir/root/lib/modules"

# An apt of its own in the folder $1, for these releases of Debian, after which `apt_of FOLDER`
# asks it. For it nothing at all is installed, so it brings every library too.
make_apt() {
    local place=$1 release
    shift
    rm -rf "$place"
    mkdir -p "$place/apt/lists/partial" "$place/apt/cache/archives/partial" "$place/root"
    for release in "$@"; do
        echo "deb [signed-by=$keyring] http://deb.debian.org/debian $release main"
    done > "$place/apt/sources.list"
    : > "$place/apt/status"
    cat > "$place/apt/apt.conf" << END
Dir::State "$place/apt";
Dir::State::status "$place/apt/status";
Dir::Cache "$place/apt/cache";
Dir::Etc::sourcelist "$place/apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
END
    apt_of "$place" update
}
apt_of() { APT_CONFIG=$1/apt/apt.conf apt-get -qq "${@:2}"; }

newer=$dir/newer
make_apt "$newer" trixie
apt_of "$newer" -y --download-only install qemu-system-x86
# Not its dependencies, which are for installing it.
(cd "$newer/apt/cache/archives" && apt_of "$newer" download ntpd-rs)
for package in "$newer"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$newer/root"
done
rm -rf "$newer/apt"

# VMClock: an emulator that has the device is in sid, and a kernel with its driver in
# trixie-backports.
vm=$dir/vmclock
make_apt "$vm" trixie-backports sid
apt_of "$vm" -y --download-only install qemu-system-x86
version=$(APT_CONFIG=$vm/apt/apt.conf apt-cache depends -t trixie-backports linux-image-cloud-amd64 |
    awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
version=${version#linux-image-}
(cd "$vm/apt/cache/archives" && apt_of "$vm" download "linux-binary-$version" "linux-modules-$version")
for package in "$vm"/apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$vm/root"
done
cp "$vm/root/usr/lib/modules/$version/vmlinuz" "$vm/vmlinuz"
xz -dc "$(find "$vm/root/usr/lib/modules/$version" -name 'ptp_vmclock.ko.xz')" > "$vm/ptp_vmclock.ko"
rm -rf "$vm/apt" "$vm/root/usr/lib/modules" "$vm/root/boot"

# ClockBound is in no distribution: it comes from the crate registry, with the versions that its
# authors tested. Linked statically, it needs nothing in the guest. What it is built in stays out of
# the way of this project's builds, and goes afterwards.
clockbound=$dir/clockbound
[ -e "$clockbound/root/usr/bin/clockbound" ] || RUSTFLAGS='-C target-feature=+crt-static' \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
    nice cargo install --quiet --locked --version 3.0.0-rc.0 --features daemon \
    --target x86_64-unknown-linux-gnu --target-dir "$clockbound/build" \
    --root "$clockbound/root/usr" clock-bound
rm -rf "$clockbound/build"

# systemd-timesyncd and the bus on which it publishes, with what this host lacks of their libraries.
mkdir -p "$archives/partial"
cd "$archives"
as_user download systemd-timesyncd libsystemd-shared dbus-daemon libdbus-1-3
as_user -y --no-install-recommends --download-only -o "Dir::Cache::archives=$archives" \
    install systemd-timesyncd dbus-daemon
for package in "$archives"/*.deb; do
    dpkg-deb -x "$package" "$dir/root"
done
cd "$dir"
rm -rf "$archives"

for needed in root/usr/bin/qemu-system-x86_64 root/usr/share/seabios/bios-256k.bin \
    root/usr/sbin/chronyd root/usr/sbin/ntpd root/usr/sbin/ptpd modules/igb.ko \
    modules/e1000e.ko clockbound/root/usr/bin/clockbound \
    newer/root/usr/bin/qemu-system-x86_64 newer/root/usr/share/seabios/bios-256k.bin \
    newer/root/usr/bin/ntp-daemon root/lib/systemd/systemd-timesyncd root/usr/bin/dbus-daemon \
    vmclock/root/usr/bin/qemu-system-x86_64 vmclock/vmlinuz vmclock/ptp_vmclock.ko; do
    [ -e "$dir/$needed" ] || {
        echo "$needed was in none of the packages" >&2
        exit 1
    }
done
echo "$edition" > "$dir/complete"
echo "fetched and unpacked: $dir"
