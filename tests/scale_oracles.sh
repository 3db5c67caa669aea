#!/bin/sh
# Leap seconds against programs that share no code with this crate.
#
#   tests/scale_oracles.sh
#
# 1. Makes tests/data/leap_oracle.csv again with ERFA, and compares it with the checked-in copy.
# 2. Runs the tests that ask zic and date, for the real leap seconds and for made-up ones of both
#    signs. Otherwise they are ignored, because few hosts have these.
#
# Needs python3 with pyerfa 2.0.1.5, zic (Debian: libc-bin), date (coreutils) and
# /usr/share/zoneinfo/right/UTC (Debian 12: tzdata; from 13 on: tzdata-legacy).
# PYTHON names another python3, such as that of a venv.
set -eu
cd "$(dirname "$0")/.."

made=$(mktemp)
trap 'rm -f "$made" "$made.new" "$made.old"' EXIT
"${PYTHON:-python3}" tests/data/make_leap_oracle.py > "$made"
# Comments name the versions, which may differ.
grep -v '^#' "$made" > "$made.new"
grep -v '^#' tests/data/leap_oracle.csv > "$made.old"
if ! diff "$made.old" "$made.new"; then
    echo "tests/data/leap_oracle.csv is not what ERFA says" >&2
    exit 1
fi
echo "ERFA agrees with tests/data/leap_oracle.csv: $(wc -l < "$made.new") labels"

cargo test --test scale -- --include-ignored leap_seconds:: zic::
