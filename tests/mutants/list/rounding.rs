//! Rule 1: every rounding is outward. Each mutant rounds one of them inward.

use crate::mutant::Broken::Rule;
use crate::mutant::{Mutant, file, unit};
use crate::patched::Change;

const BOUND: &str = "src/estimator/bound.rs";
const SNAPSHOT: &str = "src/snapshot/mod.rs";
const BOUNDS: &str = "src/counter/rate_bounds.rs";
const DRIVER: &str = "src/clock/driver.rs";
const REALTIME: &str = "src/source/realtime.rs";
const SMEAR: &str = "src/scale/smear_conversion.rs";
const TRACKING: &str = "src/source/chrony/tracking.rs";
const RATE: &str = "src/estimator/rate.rs";
const STEP: &str = "src/counter/step.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "sample-earliest-without-the-step",
        breaks: Rule(1),
        harm: "true time may have advanced by a counter step less than the ticks say",
        changes: &[Change {
            file: BOUND,
            from: "let earliest = retreat(sample.time.earliest(), slack);",
            to: "let earliest = sample.time.earliest();",
        }],
        caught_by: unit(&["both_ends_give_way_by_the_step_of_the_counter"]),
    },
    Mutant {
        name: "sample-latest-without-the-step",
        breaks: Rule(1),
        harm: "the counter may be a step ahead of what it shows",
        changes: &[Change {
            file: BOUND,
            from: "rates.most_nanos(elapsed).saturating_add(slack)",
            to: "rates.most_nanos(elapsed)",
        }],
        caught_by: unit(&["both_ends_give_way_by_the_step_of_the_counter"]),
    },
    Mutant {
        name: "sample-latest-as-of-after",
        breaks: Rule(1),
        harm: "the evidence may be as old as the whole bracket around it",
        changes: &[Change {
            file: BOUND,
            from: "rates.most_nanos(elapsed).saturating_add(slack)",
            to: "slack.max(elapsed.min(0))",
        }],
        caught_by: unit(&["both_ends_give_way_by_the_step_of_the_counter"]),
    },
    Mutant {
        name: "earliest-carried-by-the-fastest-rate",
        breaks: Rule(1),
        harm: "the earlier end overtakes true time on a slow oscillator",
        changes: &[Change {
            file: BOUND,
            from: "advance_earliest(self.time.earliest(), rates.least_nanos(ticks))",
            to: "advance_earliest(self.time.earliest(), rates.most_nanos(ticks))",
        }],
        caught_by: unit(&["truth_stays_between_the_lines"]),
    },
    Mutant {
        name: "latest-carried-by-the-slowest-rate",
        breaks: Rule(1),
        harm: "true time overtakes the later end on a fast oscillator",
        changes: &[Change {
            file: BOUND,
            from: "let latest = advance_latest(self.time.latest(), rates.most_nanos(ticks));",
            to: "let latest = advance_latest(self.time.latest(), rates.least_nanos(ticks));",
        }],
        caught_by: unit(&["truth_stays_between_the_lines"]),
    },
    Mutant {
        name: "least-nanos-rounded-up",
        breaks: Rule(1),
        harm: "the earlier end is up to a nanosecond too late",
        changes: &[Change {
            file: BOUNDS,
            from: ".saturating_mul(u128::from(self.min)) >> 64;",
            to: ".saturating_mul(u128::from(self.min)).div_ceil(1 << 64);",
        }],
        caught_by: unit(&["measured_bounds_hold_the_true_rate", "truth_stays_between_the_lines"]),
    },
    Mutant {
        name: "most-nanos-rounded-down",
        breaks: Rule(1),
        harm: "the later end is up to a nanosecond too early",
        changes: &[Change { file: BOUNDS, from: "product.div_ceil(1 << 64)", to: "product >> 64" }],
        caught_by: unit(&["measured_bounds_hold_the_true_rate", "truth_stays_between_the_lines"]),
    },
    Mutant {
        name: "drift-as-a-part-of-the-frequency",
        breaks: Rule(1),
        harm: "a tick of a slow oscillator lasts 1 / (1 - ppm) times as long, which is more than 1 + ppm",
        changes: &[Change {
            file: BOUNDS,
            from: "1_000_000u32.saturating_sub(ppm)",
            to: "1_000_000u32",
        }],
        caught_by: unit(&["measured_bounds_hold_the_true_rate"]),
    },
    Mutant {
        name: "drift-left-out",
        breaks: Rule(1),
        harm: "the oscillator is taken for perfect",
        changes: &[Change {
            file: BOUNDS,
            from: "min: self.min.saturating_sub(part(self.min, 1_000_000)),",
            to: "min: self.min,",
        }],
        caught_by: unit(&["measured_bounds_hold_the_true_rate", "truth_stays_between_the_lines"]),
    },
    Mutant {
        name: "most-ticks-rounded-down",
        breaks: Rule(1),
        harm: "a contradiction is held for less than was promised",
        changes: &[Change {
            file: BOUNDS,
            from: "let ticks = (u128::from(nanos) << 64).div_ceil(per_shifted_tick) >> self.shift;
        u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)",
            to: "let ticks = ((u128::from(nanos) << 64) / per_shifted_tick) >> self.shift;
        u64::try_from(ticks).unwrap_or(u64::MAX)",
        }],
        caught_by: unit(&["ticks_and_nanoseconds_convert_back_outward"]),
    },
    Mutant {
        name: "reader-without-its-nanosecond",
        breaks: Rule(1),
        harm: "a reader rounds its product down, so its later end is up to a nanosecond too early",
        changes: &[Change {
            file: SNAPSHOT,
            from: "bound.time.latest().saturating_add(Duration::from_nanos(1))",
            to: "bound.time.latest()",
        }],
        caught_by: unit(&["a_reading_is_no_narrower_than_the_lines_and_no_wider_than_the_limit"]),
    },
    Mutant {
        name: "counter-step-as-seen",
        breaks: Rule(1),
        harm: "a step that is shown rounded to whole ticks may be one tick longer than it looks",
        changes: &[Change { file: STEP, from: "least.checked_add(1)", to: "Some(least)" }],
        caught_by: unit(&["a_counter_that_adds_many_ticks_at_once_is_known_by_its_step"]),
    },
    Mutant {
        name: "learnt-rate-between-the-near-ends",
        breaks: Rule(1),
        harm: "the mean rate is learnt from the distance of the wrong ends, and excludes the true one",
        changes: &[Change {
            file: RATE,
            from: "let least = span(older.time.latest(), newer.time.earliest())?;",
            to: "let least = span(older.time.earliest(), newer.time.earliest())?;",
        }],
        caught_by: unit(&["the_true_rate_is_inside_whatever_the_errors_and_the_wander_are"]),
    },
    Mutant {
        name: "learnt-rate-without-wander",
        breaks: Rule(1),
        harm: "the mean of the past is taken for the rate of the next second",
        changes: &[Change {
            file: RATE,
            from: "anchor.allow(mean.with_drift(self.max_wander_ppm))?;",
            to: "anchor.allow(mean)?;",
        }],
        caught_by: unit(&[
            "the_true_rate_is_inside_whatever_the_errors_and_the_wander_are",
            "without_the_allowance_the_present_rate_is_missed",
        ]),
    },
    Mutant {
        name: "open-end-carried",
        breaks: Rule(8),
        harm: r#"an end that says "or anything before" is turned into knowledge"#,
        changes: &[Change {
            file: BOUND,
            from: "if t == Timestamp::MIN { t } else { advance_latest(t, nanos) }",
            to: "advance_latest(t, nanos)",
        }],
        caught_by: unit(&["the_ends_of_time_are_not_knowledge_and_do_not_wrap"]),
    },
    Mutant {
        name: "later-end-wraps",
        breaks: Rule(8),
        harm: "the end of the range panics, or wraps around to the beginning of time",
        changes: &[Change {
            file: BOUND,
            from: "t.tai_nanos().saturating_add_unsigned(nanos)",
            to: "t.tai_nanos().wrapping_add_unsigned(nanos)",
        }],
        caught_by: unit(&["the_ends_of_time_are_not_knowledge_and_do_not_wrap"]),
    },
    Mutant {
        name: "measured-min-rounded-up",
        breaks: Rule(1),
        harm: "the slowest rate that was seen is a last bit too fast",
        changes: &[Change {
            file: BOUNDS,
            from: "let min = scaled(nanos.0) / u128::from(ticks.1);",
            to: "let min = scaled(nanos.0).div_ceil(u128::from(ticks.1));",
        }],
        caught_by: unit(&["a_measured_quotient_is_rounded_outward_in_the_last_bit"]),
    },
    Mutant {
        name: "measured-max-rounded-down",
        breaks: Rule(1),
        harm: "the fastest rate that was seen is a last bit too slow",
        changes: &[Change {
            file: BOUNDS,
            from: "let max = scaled(nanos.1).div_ceil(u128::from(ticks.0));",
            to: "let max = scaled(nanos.1) / u128::from(ticks.0);",
        }],
        caught_by: unit(&["a_measured_quotient_is_rounded_outward_in_the_last_bit"]),
    },
    Mutant {
        name: "mean-without-the-counters-step",
        breaks: Rule(1),
        harm: "a learnt rate excludes the true one, because the counter had not stepped yet when it was read",
        changes: &[Change {
            file: RATE,
            from: "let step = base.most_ticks(granularity_ns);",
            to: "let step = granularity_ns.min(0);",
        }],
        caught_by: unit(&["a_mean_rate_holds_what_the_counters_step_hides"]),
    },
    Mutant {
        name: "granularity-of-zero",
        breaks: Rule(1),
        harm: "the counter may be a step ahead of what it shows, and the bound does not cover it",
        changes: &[Change {
            file: DRIVER,
            from: "let granularity_ns = calibration.granularity_ns(limits.max_drift_ppm);",
            to: "let granularity_ns = calibration.granularity_ns(limits.max_drift_ppm).min(0);",
        }],
        caught_by: unit(&["both_ends_of_a_bound_give_way_by_the_measured_step_of_the_counter"]),
    },
    Mutant {
        name: "reading-step-of-zero",
        breaks: Rule(1),
        harm: "the wall clock may be 10 ns ahead of what it shows",
        changes: &[Change {
            file: REALTIME,
            from: "pub(crate) const READING_STEP_NS: i64 = 11;",
            to: "pub(crate) const READING_STEP_NS: i64 = 0;",
        }],
        caught_by: unit(&["a_sample_is_as_wide_as_all_that_the_clock_may_be_off"]),
    },
    Mutant {
        name: "root-delay-halved-downward",
        breaks: Rule(1),
        harm: "the later end is up to a nanosecond too early where the root delay is odd",
        changes: &[Change {
            file: TRACKING,
            from: "let delay = self.root_delay_ns.div_ceil(2);",
            to: "let delay = self.root_delay_ns / 2;",
        }],
        caught_by: unit(&["half_of_an_odd_root_delay_is_rounded_up"]),
    },
    Mutant {
        name: "smear-rounded-inward-forth",
        breaks: Rule(1),
        harm: "an interval on a smeared scale misses the reading that the clock shows",
        changes: &[Change {
            file: SMEAR,
            from: "let first = self.smeared_at(ends.earliest().tai_nanos(), smear, Round::Down)?;",
            to: "let first = self.smeared_at(ends.earliest().tai_nanos(), smear, Round::Up)?;",
        }],
        caught_by: file(
            "scale",
            &["the_ends_of_an_interval_are_rounded_outward_in_the_last_nanosecond"],
        ),
    },
    Mutant {
        name: "smear-rounded-inward-back",
        breaks: Rule(1),
        harm: "an interval from a smeared clock misses the moment that it shows",
        changes: &[Change {
            file: SMEAR,
            from: "let earliest = self.unsmeared(shown.earliest(), Round::Down)?;",
            to: "let earliest = self.unsmeared(shown.earliest(), Round::Up)?;",
        }],
        caught_by: file(
            "scale",
            &["the_ends_of_an_interval_are_rounded_outward_in_the_last_nanosecond"],
        ),
    },
];
