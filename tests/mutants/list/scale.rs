//! Scales of time: the leap table, Unix counts, and smears.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file};
use crate::patched::Change;

const EXPIRY: &str = "src/scale/after_expiry.rs";
const SMEAR: &str = "src/scale/smear_conversion.rs";
const INTERVAL: &str = "src/scale/interval_conversion.rs";
const STEP: &str = "src/scale/step.rs";
const UNIX: &str = "src/scale/unix_conversion.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "leap-table-a-second-early",
        breaks: Promise("each moment has its own label, and each label its moments"),
        harm: "the second before each leap gets the label of the one after it",
        changes: &[Change {
            file: STEP,
            from: "let smaller = if before < offset { before } else { offset };",
            to: "let smaller = if before < offset { before - 1 } else { offset };",
        }],
        caught_by: file(
            "scale_leaps",
            &["the_unix_count_repeats_one_second_at_each_leap_and_says_so"],
        ),
    },
    Mutant {
        name: "inserted-second-not-flagged",
        breaks: Promise("each moment has its own label, and each label its moments"),
        harm: "the inserted second has the label of the second before it",
        changes: &[Change {
            file: STEP,
            from: "settled: if before < offset { tai + NANOS_PER_SECOND } else { tai },",
            to: "settled: tai,",
        }],
        caught_by: file(
            "scale_leaps",
            &["the_unix_count_repeats_one_second_at_each_leap_and_says_so"],
        ),
    },
    Mutant {
        name: "ambiguous-count-is-unique",
        breaks: Promise("a converted interval contains all that was shown within it"),
        harm: "of the two moments that a repeated count names, one is lost",
        changes: &[Change {
            file: UNIX,
            from: "Some(next) if unix.nanos() >= next.unix - NANOS_PER_SECOND => {",
            to: "Some(next) if unix.nanos() > next.unix => {",
        }],
        caught_by: file(
            "scale_leaps",
            &["the_unix_count_repeats_one_second_at_each_leap_and_says_so"],
        ),
    },
    Mutant {
        name: "span-by-its-ends",
        breaks: Promise("a converted interval contains all that was shown within it"),
        harm: "what was shown between the ends of an interval around a leap is lost",
        changes: &[Change {
            file: INTERVAL,
            from: "most = most.max(step.tai - 1 - step.before);",
            to: "most = most.max(step.tai - 1 - step.before.max(step.tai));",
        }],
        caught_by: file(
            "scale_properties",
            &[
                "an_interval_contains_everything_that_was_shown_and_comes_back_no_narrower",
                "converting_only_the_ends_loses_what_was_shown_between",
            ],
        ),
    },
    Mutant {
        name: "unknown-smear-taken-for-utc",
        breaks: Promise("a converted interval contains all that was shown within it"),
        harm: "a clock that may be smeared is off by up to a second around a leap",
        changes: &[Change { file: SMEAR, from: "if !near {", to: "if !near || near {" }],
        caught_by: file(
            "scale_smear",
            &["an_unknown_smear_contains_the_true_time_whichever_it_was"],
        ),
    },
    Mutant {
        name: "expired-table-trusted",
        breaks: Promise("a converted interval contains all that was shown within it"),
        harm: "a leap second after the table's expiry is not in it, and the interval not widened",
        changes: &[Change {
            file: EXPIRY,
            from: "(Some(expires), Expiry::Widen) if reached >= expires => {",
            to: "(Some(expires), Expiry::Widen) if reached >= expires && reached < expires => {",
        }],
        caught_by: file(
            "scale_tables",
            &[
                "an_expired_table_refuses_or_widens_where_told_to",
                "a_widened_interval_contains_the_true_time_that_an_old_table_misses",
            ],
        ),
    },
];
