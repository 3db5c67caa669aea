//! What a reader sees: the ring, the snapshot in it, and for how long it is valid.

use crate::mutant::Broken::Rule;
use crate::mutant::{Mutant, file, loom, sim, unit};
use crate::patched::Change;

const CORE: &str = "src/clock/core.rs";
const COUNTER: &str = "src/counter/mod.rs";
const DRIVER: &str = "src/clock/driver.rs";
const RING: &str = "src/snapshot/ring.rs";
const SNAPSHOT: &str = "src/snapshot/mod.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no-evidence-is-readable",
        breaks: Rule(2),
        harm: "a clock without any evidence answers with a number",
        changes: &[Change {
            file: SNAPSHOT,
            from: "Snapshot { bound, rates, valid_for: 0, flags: flags.with_shift(rates.shift) }",
            to: "Snapshot { bound, rates, valid_for: MAX_VALID_FOR, flags: flags.with_shift(rates.shift) }",
        }],
        caught_by: unit(&["nothing_is_read_from_no_evidence"]),
    },
    Mutant {
        name: "width-limit-ignored",
        breaks: Rule(2),
        harm: "a bound that is hours old is still read, though it is wider than the caller allows",
        changes: &[Change {
            file: SNAPSHOT,
            from: "ticks(room, widening)",
            to: "ticks(u64::MAX, widening.min(room))",
        }],
        caught_by: unit(&["a_reading_is_no_narrower_than_the_lines_and_no_wider_than_the_limit"]),
    },
    Mutant {
        name: "validity-includes-its-end",
        breaks: Rule(2),
        harm: "a reading is given one tick after its bound has ended",
        changes: &[Change {
            file: SNAPSHOT,
            from: "if ticks >= self.valid_for {
            return None;
        }
        let shifted",
            to: "if ticks > self.valid_for {
            return None;
        }
        let shifted",
        }],
        caught_by: unit(&["a_reading_is_no_narrower_than_the_lines_and_no_wider_than_the_limit"]),
    },
    Mutant {
        name: "validity-of-earliest-ignored",
        breaks: Rule(2),
        harm: "`earliest()` answers where `now()` is an error",
        changes: &[Change {
            file: SNAPSHOT,
            from: "if ticks >= self.valid_for {
            return None;
        }
        Some(advance(",
            to: "if false {
            return None;
        }
        Some(advance(",
        }],
        caught_by: unit(&[
            "a_reading_is_no_narrower_than_the_lines_and_no_wider_than_the_limit",
            "a_counter_that_went_backwards_reads_nothing",
        ]),
    },
    Mutant {
        name: "reading-allocates",
        breaks: Rule(4),
        harm: "a signal handler that reads the clock may deadlock in the allocator",
        changes: &[Change {
            file: RING,
            from: "if let Some(words) = self.try_read() {",
            to: "drop(std::hint::black_box(Box::new(0_u64)));
            if let Some(words) = self.try_read() {",
        }],
        caught_by: file("readers", &["a_reading_allocates_nothing"]),
    },
    Mutant {
        name: "reading-makes-a-system-call",
        breaks: Rule(4),
        harm: "a reading costs ten times as much, and a sandbox may forbid it",
        changes: &[Change {
            file: RING,
            from: "if let Some(words) = self.try_read() {",
            to: "std::thread::yield_now();
            if let Some(words) = self.try_read() {",
        }],
        caught_by: file("readers", &["a_reading_makes_no_system_call"]),
    },
    Mutant {
        name: "ring-without-the-writers-fence",
        breaks: Rule(4),
        harm: "a reader takes half of a new bound for the whole of an old one",
        changes: &[Change {
            file: RING,
            from: "fence(Ordering::Release); // [W2], pairs with [R2]",
            to: "// [W2]",
        }],
        caught_by: loom(&["loom_a_reader_never_sees_a_torn_bound"]),
    },
    Mutant {
        name: "ring-without-the-readers-fence",
        breaks: Rule(4),
        harm: "the second look at the generation comes before the words were read",
        changes: &[Change {
            file: RING,
            from: "fence(Ordering::Acquire); // [R2], pairs with [W2]",
            to: "// [R2]",
        }],
        caught_by: loom(&["loom_a_reader_never_sees_a_torn_bound"]),
    },
    Mutant {
        name: "ring-without-the-generation",
        breaks: Rule(4),
        harm: "a reader that was stopped for long takes a mixture of two bounds for one",
        changes: &[Change {
            file: RING,
            from: "let whole = slot.generation.load(Ordering::Relaxed) == 2 * k; // [R3]",
            to: "let whole = true; // [R3]",
        }],
        caught_by: loom(&["loom_a_reader_never_sees_a_torn_bound"]),
    },
    Mutant {
        name: "ring-shows-a-slot-before-it-is-whole",
        breaks: Rule(4),
        harm: "a reader is sent to a slot whose words it may not see yet",
        changes: &[Change {
            file: RING,
            from: "ring.current.0.store(k, Ordering::Release); // [W4], pairs with [R1]",
            to: "ring.current.0.store(k, Ordering::Relaxed); // [W4]",
        }],
        caught_by: loom(&["loom_a_reader_never_sees_a_torn_bound"]),
    },
    Mutant {
        name: "backwards-counter-is-read",
        breaks: Rule(6),
        harm: "a counter that went backwards gives a reading of centuries ahead",
        changes: &[Change {
            file: SNAPSHOT,
            from: "let ticks = tick.wrapping_sub(self.bound.origin);
        if ticks >= self.valid_for {
            return None;
        }
        let shifted",
            to: "let ticks = tick.saturating_sub(self.bound.origin);
        if ticks >= self.valid_for {
            return None;
        }
        let shifted",
        }],
        caught_by: unit(&["a_counter_that_went_backwards_reads_nothing"]),
    },
    Mutant {
        name: "width-limit-without-its-roundings",
        breaks: Rule(2),
        harm: "a reading is up to two nanoseconds wider than the caller allows",
        changes: &[Change {
            file: SNAPSHOT,
            from: "max_width.checked_sub(time.width() + Duration::from_nanos(2))",
            to: "max_width.checked_sub(time.width())",
        }],
        caught_by: unit(&["a_reading_stays_within_the_limit_up_to_its_last_nanosecond"]),
    },
    Mutant {
        name: "open-ends-published",
        breaks: Rule(2),
        harm: r#""at any time before" is read as a moment 292 years ago, and then as later ones"#,
        changes: &[Change {
            file: SNAPSHOT,
            from: "if time.earliest() == Timestamp::MIN || time.latest() == Timestamp::MAX {",
            to: "if false {",
        }],
        caught_by: unit(&["an_end_that_is_open_makes_a_snapshot_unreadable"]),
    },
    Mutant {
        name: "until-one-tick-longer",
        breaks: Rule(2),
        harm: "a learnt rate is used at the tick from which it is no longer known",
        changes: &[Change {
            file: SNAPSHOT,
            from: "self.valid_for.min(tick.saturating_sub(self.bound.origin))",
            to: "self.valid_for.min(tick.saturating_sub(self.bound.origin).saturating_add(1))",
        }],
        caught_by: unit(&["rates_that_are_known_until_a_tick_are_not_used_at_it"]),
    },
    Mutant {
        name: "until-left-out",
        breaks: Rule(2),
        harm: "a reader carries a bound by a learnt rate for hours after it is no longer known",
        changes: &[Change {
            file: DRIVER,
            from: "Snapshot::new(bound, estimate.rates, self.limits.max_width, flags)
                .until(estimate.until)",
            to: "Snapshot::new(bound, estimate.rates, self.limits.max_width, flags)",
        }],
        caught_by: sim(
            "sim",
            &["what_was_learnt_of_the_rate_is_not_used_for_longer_than_it_is_known"],
        ),
    },
    Mutant {
        name: "unordered-now",
        breaks: Rule(5),
        harm: "the counter may be read microseconds early, and then `latest` is too small",
        changes: &[Change {
            file: CORE,
            from: "let tick = self.host.ticks_fenced();",
            to: "let tick = self.host.ticks_unordered();",
        }],
        caught_by: unit(&[
            "now_reads_the_counter_in_order_because_an_early_tick_makes_latest_too_small",
        ]),
    },
    Mutant {
        name: "unordered-read-of-any-counter",
        breaks: Rule(5),
        harm: "where the processor has no cheap order, and at each sample, the counter may be read early",
        changes: &[Change {
            file: COUNTER,
            from: "if self.is_hardware() { Ok(host.ticks_ordered()) }",
            to: "if self.is_hardware() { Ok(host.ticks_unordered()) }",
        }],
        caught_by: sim("sim", &["no_reading_is_wrong_where_both_assumptions_hold"]),
    },
    Mutant {
        name: "failed-read-is-zero",
        breaks: Rule(10),
        harm: "a counter that cannot be read shows 0, and the reading is that of the boot",
        changes: &[Change {
            file: COUNTER,
            from: "host.nanos(HostClock::MonotonicRaw).map(|nanos| nanos as u64)",
            to: "Ok(host.nanos(HostClock::MonotonicRaw).map_or(0, |nanos| nanos as u64))",
        }],
        caught_by: unit(&[
            "a_counter_that_this_thread_may_not_read_is_an_error_and_never_a_number",
            "a_clock_that_may_not_be_read_ends_readings_and_is_named_in_the_report",
        ]),
    },
];
