//! How to add to this crate, and how to run each check.
//!
//! # A source
//!
//! 1. Decide what the source's bound rests on, and when it has none. Assumption A1 is about
//!    every source, so refusing is most of its work.
//! 2. Write one file below `src/source` that implements [`Source`](crate::Source). Read clocks
//!    through [`Counter`](crate::Counter) and its host, so that the simulator can run it.
//! 3. Return [`SourceError::no_bound`](crate::SourceError::no_bound) with a
//!    [`Reason`](crate::Reason) where there is no bound. Never return a guess.
//! 4. Keep the code that reads apart from the code that judges, and test the judgement as a
//!    table of cases.
//! 5. Add what it refuses to the documentation of [`source`](crate::source). A time daemon gets
//!    a row in `src/source/daemon/table.rs`.
//!
//! # A rule
//!
//! 1. Add it to [the rules](super#the-rules), with the code that keeps it.
//! 2. Add a mutant that breaks it, and name that mutant below the rule. `tests/design.rs` fails
//!    without it.
//! 3. Link to it (`crate::_design#rule-7`) from public documentation that depends on it.
//!
//! # A mutant
//!
//! 1. Add an entry to the file of `tests/mutants/list` for the part of the crate that it breaks.
//!    Change as little of the source as breaks the rule.
//! 2. Name the fewest tests of which one must fail, because each one is built and run.
//! 3. Run it. If it survives, a test is missing: write the test first.
//!
//! # The checks
//!
//! | check | command |
//! |---|---|
//! | unit and integration tests | `cargo test --all-features` |
//! | format, lints | `cargo fmt --check`, `cargo clippy --all-targets --all-features -- -D warnings` |
//! | documentation and its links | `RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features` |
//! | the layers | `cargo test --test layers` |
//! | the rules of this page | `cargo test --test design` |
//! | all mutants; one part of them | `TRUECHIMER_MUTANTS=all cargo test --test mutants`; the same with `lease::` after it |
//! | the ring, under loom | `RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target-loom cargo test --release --lib loom_` |
//! | every reading against the truth | `cargo run --release --features sim --example soundness -- --seeds 1000` |
//! | a small Spanner | `cargo run --release --features sim --example spanner_kv` |
//! | real kernels in guests | `tests/guest/fetch.sh`, then `TRUECHIMER_GUEST=1 cargo test --all-features --test guest` |
//! | an arm64 kernel | `tests/arm64/fetch.sh`, then `TRUECHIMER_GUEST=1 cargo test --all-features --test arm64` |
//! | other targets | `.ci/targets` |
//! | all parsers, fuzzed for a minute each | `.ci/fuzz` |
//! | Miri and ThreadSanitizer | `.ci/sanitize` |
//! | what a reading costs | `cd benches && cargo bench --bench clock -- nothing` |
//! | all of them but the last two | `.ci/run` |
//!
//! # Style
//!
//! A module begins with the problem, the naive solution, why that fails, and what is done
//! instead. Sentences are short and plain, and use the field's terms. Comments say why.
//! A file has one idea and at most 600 lines. Tests are named as sentences. For each test of
//! safety there is a broken variant that it catches, because a test that cannot fail shows
//! nothing.
