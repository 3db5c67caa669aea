//! Scales of time: the leap table, Unix counts, and smears.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, unit};
use crate::patched::Change;

const EXPIRY: &str = "src/scale/after_expiry.rs";
const SMEAR: &str = "src/scale/smear_conversion.rs";
const FILE_KIND: &str = "src/scale/file_kind.rs";
const LEAPSECONDS: &str = "src/scale/leapseconds.rs";
const TABLE: &str = "src/scale/table_error.rs";
const TZIF: &str = "src/scale/tzif.rs";
const PENDING: &str = "src/source/realtime.rs";
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
        caught_by: file("scale", &["the_unix_count_repeats_one_second_at_each_leap_and_says_so"]),
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
        caught_by: file("scale", &["the_unix_count_repeats_one_second_at_each_leap_and_says_so"]),
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
        caught_by: file("scale", &["the_unix_count_repeats_one_second_at_each_leap_and_says_so"]),
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
            "scale",
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
        caught_by: file("scale", &["an_unknown_smear_contains_the_true_time_whichever_it_was"]),
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
            "scale",
            &[
                "an_expired_table_refuses_or_widens_where_told_to",
                "a_widened_interval_contains_the_true_time_that_an_old_table_misses",
            ],
        ),
    },
    Mutant {
        name: "web-page-read-as-a-list",
        breaks: Promise("a file that is no leap table is refused, and the error says what it is"),
        harm: "the operator looks for damage in line 1 of a list that is a portal's page",
        changes: &[Change {
            file: FILE_KIND,
            from: r#"if text.starts_with(b"<") {"#,
            to: r#"if text.starts_with(b"<") && text.is_empty() {"#,
        }],
        caught_by: unit(&["what_is_no_table_is_named"]),
    },
    Mutant {
        name: "byte-order-mark-kept",
        breaks: Promise("a leap table's file is read whatever editor saved it"),
        harm: "a list that an editor saved with a byte order mark is refused",
        changes: &[Change {
            file: FILE_KIND,
            from: r#"file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file)"#,
            to: "file",
        }],
        caught_by: file("scale", &["a_byte_order_mark_and_other_line_ends_change_nothing"]),
    },
    Mutant {
        name: "text-cut-off-accepted",
        breaks: Promise("a leap table that was cut off is refused"),
        harm: "the leap seconds after the cut are missing, and readings are seconds off",
        changes: &[Change {
            file: LEAPSECONDS,
            from: "if is_published && expires.is_none() && !speaks_of_expiry {",
            to: "if is_published && expires.is_some() && !speaks_of_expiry {",
        }],
        caught_by: file("scale", &["a_published_text_cut_off_anywhere_lacks_no_leap_second"]),
    },
    Mutant {
        name: "latest-expiry-of-a-text",
        breaks: Promise("a leap table states until when it is complete"),
        harm: "a table counts as complete after one of its own expiries",
        changes: &[Change {
            file: LEAPSECONDS,
            from: "expires = expires.into_iter().chain(stated).min();",
            to: "expires = expires.into_iter().chain(stated).max();",
        }],
        caught_by: file(
            "scale",
            &["the_earliest_expiry_of_a_text_counts_and_skipped_seconds_are_read"],
        ),
    },
    Mutant {
        name: "skipped-second-read-as-inserted",
        breaks: Promise("a leap table that was cut off is refused"),
        harm: "every moment after a negative leap second is two seconds off",
        changes: &[Change {
            file: LEAPSECONDS,
            from: r#"(b"23:59:59", b"-") => -1,"#,
            to: r#"(b"23:59:59", b"-") => 1,"#,
        }],
        caught_by: file(
            "scale",
            &["the_earliest_expiry_of_a_text_counts_and_skipped_seconds_are_read"],
        ),
    },
    Mutant {
        name: "tzif-cut-at-its-end-accepted",
        breaks: Promise("a leap table that was cut off is refused"),
        harm: "the leap seconds after the cut are missing, and readings are seconds off",
        changes: &[Change {
            file: TZIF,
            from: "Some(expires) if expires < builtin::LAST => {",
            to: "Some(expires) if expires < START.0 => {",
        }],
        caught_by: file(
            "scale",
            &["a_tzif_file_that_was_cut_by_zic_is_refused_and_the_error_says_so"],
        ),
    },
    Mutant {
        name: "beginning-taken-for-an-end",
        breaks: Promise("a leap table states until when it is complete"),
        harm: "a complete file is refused, because the beginning of its range looks like its end",
        changes: &[Change {
            file: TZIF,
            from: "let end = known_until.filter(|&end| end > last)",
            to: "let end = known_until.filter(|&end| end > last || end <= last)",
        }],
        caught_by: file("scale", &["a_tzif_file_states_its_expiry_in_three_ways"]),
    },
    Mutant {
        name: "expiry-before-the-last-entry",
        breaks: Promise("a damaged leap table is refused"),
        harm: "a damaged expiry goes unnoticed, and every moment is widened or refused",
        changes: &[Change {
            file: TABLE,
            from: "(Some((last, _)), Some(expires)) if expires < last => {",
            to: "(Some((last, _)), Some(expires)) if expires < last - i64::from(u32::MAX) => {",
        }],
        caught_by: file("scale", &["a_damaged_list_is_refused_and_the_error_says_how"]),
    },
    Mutant {
        name: "least-number-overflows",
        breaks: Promise("no number makes the library panic"),
        harm: "a damaged file ends the program, where overflow is checked",
        changes: &[Change {
            file: TABLE,
            from: "if unix.unsigned_abs() > MOST_SECONDS {",
            to: "if unix.abs() > MOST_SECONDS as i64 {",
        }],
        caught_by: file("scale", &["no_entry_makes_the_readers_overflow"]),
    },
    Mutant {
        name: "false-leap-remembered",
        breaks: Promise("a false leap second is forgotten once a table denies it"),
        harm: "the interval stays a second wide until the process ends",
        changes: &[Change {
            file: PENDING,
            from: "now >= latest + DAY && (is_denied || is_reset)",
            to: "now >= latest + DAY && is_denied && is_reset",
        }],
        caught_by: unit(&[
            "a_leap_that_the_kernel_made_is_forgotten_once_a_table_or_the_daemon_settles_it",
        ]),
    },
    Mutant {
        name: "false-leap-forgotten-at-once",
        breaks: Promise(
            "both offsets are covered until the daemon has measured a leap second that the kernel made",
        ),
        harm: "the kernel's clock is a second off, and readings are too",
        changes: &[Change {
            file: PENDING,
            from: "now >= latest + DAY && (is_denied || is_reset)",
            to: "now >= latest && (is_denied || is_reset)",
        }],
        caught_by: unit(&[
            "a_leap_that_the_kernel_made_is_forgotten_once_a_table_or_the_daemon_settles_it",
        ]),
    },
    Mutant {
        name: "leap-denied-by-an-expired-table",
        breaks: Promise(
            "both offsets are covered until the daemon has measured a leap second that the kernel made",
        ),
        harm: "a true leap second that came after the table's expiry is forgotten",
        changes: &[Change {
            file: PENDING,
            from: "expires.seconds() > latest",
            to: "expires.seconds() <= latest || expires.seconds() > latest",
        }],
        caught_by: unit(&[
            "a_leap_that_the_kernel_made_is_forgotten_once_a_table_or_the_daemon_settles_it",
        ]),
    },
    Mutant {
        name: "count-that-was-behind-counts",
        breaks: Promise(
            "both offsets are covered until the daemon has measured a leap second that the kernel made",
        ),
        harm: "a kernel whose count was one behind seems to deny a true leap second",
        changes: &[Change {
            file: PENDING,
            from: "let is_reset = self.was_in_kernel && kernel.tai",
            to: "let is_reset = kernel.tai",
        }],
        caught_by: unit(&[
            "a_leap_that_the_kernel_made_is_forgotten_once_a_table_or_the_daemon_settles_it",
        ]),
    },
    Mutant {
        name: "count-read-after-the-leap-counts",
        breaks: Promise(
            "both offsets are covered until the daemon has measured a leap second that the kernel made",
        ),
        harm: "a true leap second is forgotten if the process began just after it",
        changes: &[Change {
            file: PENDING,
            from: "let was_in_kernel = now < midnight && kernel.tai",
            to: "let was_in_kernel = kernel.tai",
        }],
        caught_by: unit(&[
            "a_leap_that_an_error_hides_may_be_a_day_later_and_its_count_says_nothing",
        ]),
    },
    Mutant {
        name: "hidden-leap-taken-for-the-last",
        breaks: Promise(
            "both offsets are covered until the daemon has measured a leap second that the kernel made",
        ),
        harm: "a leap second behind TIME_ERROR is forgotten as it happens, and readings are a second off",
        changes: &[Change {
            file: PENDING,
            from: "TIME_ERROR => (last_midnight, last_midnight + DAY),",
            to: "TIME_ERROR => (last_midnight, last_midnight),",
        }],
        caught_by: unit(&[
            "a_leap_that_an_error_hides_may_be_a_day_later_and_its_count_says_nothing",
        ]),
    },
];
