//! What the kernel, the wall clock and the RTC say, and what of it is believed.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, unit};
use crate::patched::Change;

const ASSUME: &str = "src/source/assume.rs";
const IN_FLIGHT: &str = "src/source/in_flight.rs";
const KERNEL: &str = "src/source/kernel.rs";
const REALTIME: &str = "src/source/realtime.rs";
const RTC: &str = "src/source/rtc.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "drift-seen-by-chronyd-alone-forgotten",
        breaks: Rule(2),
        harm: "chronyd has shown an oscillator beyond A2, and the source of its own does not say so",
        changes: &[Change {
            file: "src/source/chrony.rs",
            from: "self.0.condition()",
            to: "SourceCondition::default()",
        }],
        caught_by: unit(&[
            "a_source_of_chronyd_alone_tells_the_clock_of_the_drift_that_chronyd_has_shown",
        ]),
    },
    Mutant {
        name: "stale-addition-left-out",
        breaks: Rule(1),
        harm: "the kernel adds to maxerror once a second only, and it is up to a second old",
        changes: &[Change {
            file: KERNEL,
            from: ".saturating_add(stale_ns(uncounted_ns.min(since_ns)))",
            to: "",
        }],
        caught_by: unit(&["how_far_off_the_clock_may_be_by_a_bound_that_is_believed"]),
    },
    Mutant {
        name: "better-of-two-reads",
        breaks: Rule(1),
        harm: "the bound grew, or was replaced by a larger one, while the clock was read",
        changes: &[Change {
            file: KERNEL,
            from: "if before.maxerror_us > after.maxerror_us { before } else { after }",
            to: "if before.maxerror_us < after.maxerror_us { before } else { after }",
        }],
        caught_by: unit(&["of_the_two_reads_the_worse_counts"]),
    },
    Mutant {
        name: "pll-offset-left-out",
        breaks: Rule(1),
        harm: "what the kernel's PLL has still to work off is missing in the error",
        changes: &[Change { file: KERNEL, from: "if k.status & STA_PLL != 0", to: "if false" }],
        caught_by: unit(&["how_far_off_the_clock_may_be_by_a_bound_that_is_believed"]),
    },
    Mutant {
        name: "any-ntpd-has-just-started",
        breaks: Rule(1),
        harm: "a step beside an ntpd whose bound looks like 16 µs and its growth is taken for its own",
        changes: &[Change {
            file: KERNEL,
            from: "kernel.has_bound() && !kernel.is_ntpd_startup()",
            to: "kernel.has_bound() && !kernel.states_no_bound()",
        }],
        caught_by: unit(&["the_step_that_an_ntpd_makes_when_it_starts_is_its_own"]),
    },
    Mutant {
        name: "adjtime-left-out",
        breaks: Rule(1),
        harm: "what is left of an adjtime() correction is missing in the error",
        changes: &[Change {
            file: KERNEL,
            from: "pll.saturating_add(k.adjtime_ns.unsigned_abs())",
            to: "pll",
        }],
        caught_by: unit(&["how_far_off_the_clock_may_be_by_a_bound_that_is_believed"]),
    },
    Mutant {
        name: "a-quarter-in-flight",
        breaks: Rule(1),
        harm: "the PLL has taken a quarter of what was left, which is a third of what is left now",
        changes: &[Change {
            file: IN_FLIGHT,
            from: "most.pll_ns.div_ceil(3)",
            to: "most.pll_ns.div_ceil(4)",
        }],
        caught_by: unit(&["a_third_of_what_was_left_lately_is_under_way"]),
    },
    Mutant {
        name: "in-flight-forgotten-at-a-new-offset",
        breaks: Rule(1),
        harm: "the daemon has replaced the offset while a part of the old one is under way",
        changes: &[Change {
            file: IN_FLIGHT,
            from: "self.now = self.now.max(left);",
            to: "self.now = left;",
        }],
        caught_by: unit(&["a_third_of_what_was_left_lately_is_under_way"]),
    },
    Mutant {
        name: "step-not-noticed",
        breaks: Rule(6),
        harm: "a bound from before a step of the wall clock is put on the clock after it",
        changes: &[Change {
            file: REALTIME,
            from: "    least > 0 || most < 0\n",
            to: "    least > 0 && most < 0\n",
        }],
        caught_by: unit(&["a_step_shows_and_a_listed_leap_second_is_none"]),
    },
    Mutant {
        name: "daemons-bound-after-a-suspend",
        breaks: Rule(6),
        harm: "after a suspend the clock rests on the RTC, and maxerror does not show it",
        changes: &[Change { file: KERNEL, from: "if since_suspend.is_some() {", to: "if false {" }],
        caught_by: unit(&["after_a_suspend_the_bound_is_refused_until_the_daemon_writes"]),
    },
    Mutant {
        name: "suspend-ends-with-growth",
        breaks: Rule(6),
        harm: "the kernel's own growth of maxerror is taken for a daemon's update",
        changes: &[Change {
            file: KERNEL,
            from: "self.since_suspend.is_some_and(|mark| mark != residue)",
            to: "self.since_suspend.is_some()",
        }],
        caught_by: unit(&["after_a_suspend_the_bound_is_refused_until_the_daemon_writes"]),
    },
    Mutant {
        name: "slew-limit-left-out",
        breaks: Rule(6),
        harm: "a clock that is slewed faster than its bound grows is believed",
        changes: &[Change {
            file: KERNEL,
            from: "check_covered(correction, evidence)?;",
            to: "let _ = correction;",
        }],
        caught_by: unit(&["a_slew_that_the_growth_of_the_bound_does_not_cover_is_refused"]),
    },
    Mutant {
        name: "leap-without-slack",
        breaks: Rule(6),
        harm: "the kernel runs past midnight before it repeats the second",
        changes: &[Change {
            file: REALTIME,
            from: "const LEAP_SLACK_S: i64 = 2;",
            to: "const LEAP_SLACK_S: i64 = 0;",
        }],
        caught_by: unit(&["around_a_leap_second_both_offsets_are_covered"]),
    },
    Mutant {
        name: "leap-without-the-clocks-error",
        breaks: Rule(6),
        harm: "a clock that is seconds off passes midnight seconds early or late",
        changes: &[Change {
            file: REALTIME,
            from: "LEAP_SLACK_S.saturating_add_unsigned(error.as_secs() + 1)",
            to: "LEAP_SLACK_S",
        }],
        caught_by: unit(&["a_clock_that_is_seconds_off_is_covered_seconds_around_a_leap"]),
    },
    Mutant {
        name: "announced-leap-forgotten",
        breaks: Rule(6),
        harm: "a leap second that the table does not list is forgotten when it has passed",
        changes: &[Change {
            file: REALTIME,
            from: "now >= leap.midnight - LEAP_SLACK_S && !leap.is_settled",
            to: "now < leap.midnight - LEAP_SLACK_S && !leap.is_settled",
        }],
        caught_by: unit(&["a_leap_that_is_not_listed_is_remembered_until_the_table_lists_it"]),
    },
    Mutant {
        name: "hidden-leap-never-shown",
        breaks: Rule(6),
        harm: "a leap second that was announced before the daemon's first word is taken for one of the midnight before, and each interval is a second wide until it comes",
        changes: &[Change {
            file: REALTIME,
            from: "if midnight == latest_midnight || !is_to_come {",
            to: "if true {",
        }],
        caught_by: unit(&["a_leap_that_an_error_hid_is_still_to_come_once_the_kernel_shows_it"]),
    },
    Mutant {
        name: "kernel-tai-added",
        breaks: Rule(6),
        harm: "the kernel's TAI offset is a second off after midnight of a leap, and 0 where nobody set it",
        changes: &[Change {
            file: REALTIME,
            from: "kernel.filter(|kernel| kernel.tai.abs_diff(in_table) == 1)",
            to: "kernel",
        }],
        caught_by: unit(&["around_a_leap_second_both_offsets_are_covered"]),
    },
    Mutant {
        name: "rtc-that-is-no-number-is-zero",
        breaks: Rule(10),
        harm: "a clock chip that cannot be read shows 1970",
        changes: &[Change {
            file: RTC,
            from: r#"text.trim().parse().map_err(|_| failed(&format_args!("shows {text:?}, not seconds")))"#,
            to: "Ok(text.trim().parse().unwrap_or(0))",
        }],
        caught_by: unit(&["what_is_not_a_number_is_an_error_that_names_the_file"]),
    },
    Mutant {
        name: "in-flight-left-out",
        breaks: Rule(1),
        harm: "the part of a correction that is under way is missing in the error",
        changes: &[Change {
            file: KERNEL,
            from: "Duration::from_nanos(error_ns.saturating_add(under_way));",
            to: "Duration::from_nanos(error_ns);",
        }],
        caught_by: unit(&["a_sample_is_as_wide_as_all_that_the_clock_may_be_off"]),
    },
    Mutant {
        name: "step-in-mid-reading",
        breaks: Rule(6),
        harm: "the clock is read while it is stepped away, with a bound from before or after that",
        // The kernel's own time shows most of these steps too, so both checks are taken out.
        changes: &[Change {
            file: KERNEL,
            from: "if stepped || shown_other_time.is_some() {",
            to: "if false && stepped {",
        }],
        caught_by: unit(&["the_clock_and_its_bound_are_read_in_one_stretch_without_a_step"]),
    },
    Mutant {
        name: "two-states-of-the-kernel",
        breaks: Rule(6),
        harm: "the bound of one state is put on a clock of another",
        changes: &[Change {
            file: KERNEL,
            from: "if before.status == after.status && before.state == after.state {",
            to: "if true {",
        }],
        caught_by: unit(&["the_clock_and_its_bound_are_read_in_one_stretch_without_a_step"]),
    },
    Mutant {
        name: "pending-leap-not-covered",
        breaks: Rule(6),
        harm: "a leap second that the table lacks is missed once the kernel has forgotten it",
        changes: &[Change {
            file: KERNEL,
            from: "self.wall_clock.tai(read, error, Some(kernel), self.pending_leap)?",
            to: "self.wall_clock.tai(read, error, Some(kernel), None)?",
        }],
        caught_by: unit(&[
            "a_leap_second_that_the_table_lacks_is_covered_after_the_kernel_has_forgotten_it",
        ]),
    },
    Mutant {
        name: "statement-does-not-end",
        breaks: Rule(6),
        harm: "the operator's statement outlives a step of the clock that it is about",
        changes: &[Change {
            file: ASSUME,
            from: "Some(since) => self.ended = self.ended.or_else(|| self.ended_by(&now, since)),",
            to: "Some(_) => {}",
        }],
        caught_by: unit(&[
            "a_step_or_a_suspend_ends_the_operators_statement_until_it_is_made_again",
        ]),
    },
    Mutant {
        name: "statement-asks-the-kernel",
        breaks: Promise("a clock that does not use the kernel does not call it"),
        harm: "a filter kills the process for a call whose answer is not needed",
        changes: &[Change {
            file: ASSUME,
            from: "if self.asks_kernel {",
            to: "if self.asks_kernel || self.ended.is_none() {",
        }],
        caught_by: unit(&["where_the_kernel_is_not_used_adjtimex_is_not_called"]),
    },
    Mutant {
        name: "error-counted-before-a-step",
        breaks: Rule(1),
        harm: "maxerror is aged from a second that the clock showed before it was stepped",
        changes: &[Change {
            file: KERNEL,
            from: "realtime.was_stepped_since(&first) || last",
            to: "realtime.was_stepped_since(&first) && last",
        }],
        caught_by: unit(&["the_clock_and_its_bound_are_read_in_one_stretch_without_a_step"]),
    },
    Mutant {
        name: "chronys-frequency-for-its-correction",
        breaks: Rule(1),
        harm: "an oscillator that is slow is taken for a fast one, and its drift for a slew",
        changes: &[Change {
            file: KERNEL,
            from: "(-tracking.frequency_ppm",
            to: "(tracking.frequency_ppm",
        }],
        caught_by: unit(&["chronys_correction_is_the_opposite_of_the_frequency_that_it_found"]),
    },
];
