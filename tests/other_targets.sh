#!/usr/bin/env bash
# The oldest Rust that Cargo.toml names, and aarch64: what no other step sees.
#
#   tests/other_targets.sh [DIRECTORY]        (default: target/other)
#
# 1. Checks the crate and its command with Rust 1.85, with and without features.
# 2. With that Rust, builds the unit tests and tests/readers.rs for aarch64 and
#    runs those of the clock under qemu-aarch64, an emulator of one process.
#
# Needs Debian 12: its package rustc-web is Rust 1.85, and there for both
# architectures. As root it installs gcc-aarch64-linux-gnu and qemu-user; Rust
# is unpacked (130 MB to fetch, once), and not installed. `apt-get update` must
# have run before.
set -euo pipefail

version=1.85.0+dfsg3-1~deb12u3
here=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-$here/target/other}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

fetch() {
    local archives=$dir/archives uri
    rm -rf "$dir/root" "$archives"
    mkdir -p "$dir/root" "$archives"
    cd "$archives"
    # The other architecture's library, without making this host know packages of it.
    # (apt names no address for what is already here, so this comes first.)
    uri=$(apt-get --print-uris download libstd-rust-web-dev="$version" | cut -d"'" -f2)
    apt-get -qq -o APT::Sandbox::User=root download \
        {rustc-web,cargo-web,libstd-rust-web-dev,libstd-rust-web-1.85}="$version" \
        libllvm19 libpcre3 libhttp-parser2.9
    curl -fsS --retry 3 -O "${uri/_amd64/_arm64}"
    for package in *.deb; do
        dpkg-deb -x "$package" "$dir/root"
    done
    rm -rf "$archives"
    touch "$dir/complete"
}

[ -e "$dir/complete" ] || (fetch)
for tool in gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc qemu-user:qemu-aarch64; do
    command -v "${tool#*:}" > /dev/null ||
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
            "${tool%:*}" libc6-dev-arm64-cross > /dev/null
done

# Programs that find the libraries they were unpacked with.
mkdir -p "$dir/bin"
for program in cargo rustc rustdoc; do
    cat > "$dir/bin/$program" << WRAPPER
#!/bin/sh
export LD_LIBRARY_PATH=$dir/root/usr/lib/x86_64-linux-gnu:$dir/root/lib/x86_64-linux-gnu
exec $dir/root/usr/bin/$program "\$@"
WRAPPER
    chmod +x "$dir/bin/$program"
done
export PATH=$dir/bin:$PATH RUSTC=$dir/bin/rustc RUSTDOC=$dir/bin/rustdoc
export CARGO_TARGET_DIR=$dir/build
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"

cd "$here"
rustc --version
cargo check --locked
cargo check --locked --all-features

# The same package without the dependencies of benches and examples, some of
# which want a newer Rust, or take minutes to build.
pkg=$dir/package
mkdir -p "$pkg"
for part in src tests benches examples README.md; do
    ln -sfn "$here/$part" "$pkg/$part"
done
sed -e '/^# Benches, and the peers/,/^$/{/^$/!d}' -e '/^rusqlite/d' -e '/libsqlite3-sys/,$d' \
    Cargo.toml > "$pkg/Cargo.toml"
cp Cargo.lock "$pkg/"
cd "$pkg"
target=aarch64-unknown-linux-gnu
# Left out: two threads that share memory a million times, which takes minutes here.
cargo test --all-features --target $target --lib -- clock:: source:: --skip at_full_speed
# Left out: what qemu-aarch64 has not (seccomp), or is too slow for.
cargo test --all-features --target $target --test readers -- \
    --skip no_system_call --skip off_by_a_microsecond --skip at_full_speed
