#!/usr/bin/env bash
# The unit tests and the short integration tests as aarch64 programs, under qemu-user.
#
#   tests/arm64/emulated.sh [CARGO-TEST-ARGUMENT...]
#
# An emulated process runs on this host's kernel, so system calls and threads are real,
# but no reading of a counter is short. Therefore tests of width are left to the guests
# of `tests/arm64`. Some tests start themselves again. So that the kernel can do that
# with a foreign program, this runs in a user namespace with a binfmt_misc of its own,
# which Linux has since 6.7; nothing of the host's is changed.
#
# Needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user and
# `rustup target add aarch64-unknown-linux-gnu`.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=aarch64-unknown-linux-gnu
tests=(fence faults hlc lease readers timeout wait)
# What qemu-user does not have (seccomp, the ioctls of PTP clocks), and what is too slow without a
# processor: two tests of readings, and whole campaigns, which know nothing of processors.
skip=(no_system_call what_is_no_ptp_clock off_by_a_microsecond at_full_speed
    interleavings:: duration:: world:: crash:: pause_phi:: no_file_makes_it_crash
    reopening_a_fence_changes_no_answer no_crash_and_no_failure_admits of_many_creators_one
    no_crash_lets_a_lease_be_granted_twice)

for program in aarch64-linux-gnu-gcc qemu-aarch64 unshare; do
    command -v $program > /dev/null || {
        echo "$program is missing: install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
        exit 1
    }
done
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
arguments=("$@")
((${#arguments[@]})) || {
    arguments=(--lib)
    for test in "${tests[@]}"; do arguments+=(--test "$test"); done
}
cargo_test=(cargo test --target "$target" --target-dir target/arm64/tests
    --features "serde,sim" --no-fail-fast "${arguments[@]}")
# Built first, so that a build that fails is told from a namespace that is refused.
"${cargo_test[@]}" --no-run

unshare --user --map-root-user --mount true || {
    echo "a user namespace is needed, and none may be made here" >&2
    exit 1
}
QEMU=$(command -v qemu-aarch64)
export QEMU QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
# The magic is an ELF header's: 64 bits, little-endian, a program or a library, aarch64.
register='
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || {
        echo "a binfmt_misc of its own needs Linux 6.7 or later" >&2
        exit 1
    }
    magic="\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    mask="\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    printf %s ":aarch64:M::$magic:$mask:$QEMU:OCF" > /proc/sys/fs/binfmt_misc/register
    exec "$@"'
skipped=()
for test in "${skip[@]}"; do skipped+=(--skip "$test"); done
exec unshare --user --map-root-user --mount bash -euc "$register" sh \
    "${cargo_test[@]}" -- "${skipped[@]}"
