//! How the kernel's clock is steered: rates, steps, and whether a daemon still updates it.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, unit};
use crate::patched::Change;

const CHECK: &str = "src/source/chrony/check.rs";
const DRIVER: &str = "src/clock/driver.rs";
const ESTIMATOR: &str = "src/estimator/mod.rs";
const KERNEL: &str = "src/source/kernel.rs";
const RATE: &str = "src/source/rate_correction.rs";
const STEP: &str = "src/source/unaccounted_step.rs";
const TRACKING: &str = "src/source/chrony/tracking.rs";
const UPDATES: &str = "src/source/update_watch.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "slew-limit-without-the-oscillator",
        breaks: Rule(1),
        harm: "with the oscillator off too, the clock leaves true time faster than its bound grows",
        changes: &[Change {
            file: RATE,
            from: "covers(rate_ppb, max_drift_ppm)",
            to: "covers(rate_ppb, 0)",
        }],
        caught_by: unit(&["at_first_sight_a_correction_is_a_slew_and_the_oscillators"]),
    },
    Mutant {
        name: "held-correction-is-a-slew",
        breaks: Rule(9),
        harm: "a daemon other than chronyd corrects 250 ppm for ever, and the bounds are carried by 200",
        changes: &[Change {
            file: RATE,
            from: "let statement = stated.or(held_ppb.map(|ppb| (ppb, STATEMENT_ERROR_PPM)));",
            to: "let statement = stated.filter(|_| held_ppb != Some(i64::MIN));",
        }],
        caught_by: unit(&["a_correction_that_is_held_is_the_oscillators"]),
    },
    Mutant {
        name: "statements-error-ignored",
        breaks: Rule(9),
        harm: "chronyd says that its estimate may be off by 100 ppm, and it is used as it is",
        changes: &[Change {
            file: RATE,
            from: "error_ppm.max(STATEMENT_ERROR_PPM).max(off_ppm / 10);",
            to: "(error_ppm * 0).max(STATEMENT_ERROR_PPM).max(off_ppm / 10);",
        }],
        caught_by: unit(&["chronyd_tells_the_slew_from_the_oscillator_at_once"]),
    },
    Mutant {
        name: "widest-drift-dropped-at-once",
        breaks: Rule(9),
        harm: "bounds are carried by one rate and another in turn",
        changes: &[Change {
            file: RATE,
            from: "self.widest.filter(|widest| now_ns < widest.until_ns);",
            to: "self.widest.filter(|widest| now_ns < widest.until_ns && excludes && !excludes);",
        }],
        caught_by: unit(&["a_drift_counts_until_a_statement_has_excluded_it_for_a_minute"]),
    },
    Mutant {
        name: "uncertain-statement-excludes-a-drift",
        breaks: Rule(9),
        harm: "a statement that may be off by 160 ppm ends a drift that was seen",
        changes: &[Change {
            file: RATE,
            from: "statement.is_some() && off_ppm.saturating_add(error_ppm) <= max_drift_ppm;",
            to: "statement.is_some() && off_ppm <= max_drift_ppm;",
        }],
        caught_by: unit(&["a_statement_that_is_uncertain_does_not_exclude_a_drift"]),
    },
    Mutant {
        name: "slew-of-a-dead-daemon-is-a-statement",
        breaks: Rule(9),
        harm: "a daemon that was killed in a slew has stated the rate of its slew as the oscillator's",
        changes: &[Change { file: RATE, from: "        self.held = None;\n", to: "" }],
        caught_by: unit(&["the_slew_that_a_dead_daemon_has_left_is_no_statement"]),
    },
    Mutant {
        name: "correction-not-frozen",
        breaks: Rule(9),
        harm: "a daemon that was killed in a slew has stated the rate of its slew as the oscillator's",
        changes: &[Change {
            file: KERNEL,
            from: "if self.condition.holdover.is_some() {",
            to: "if false {",
        }],
        caught_by: unit(&["the_slew_that_a_dead_daemon_has_left_is_no_statement"]),
    },
    Mutant {
        name: "unaccounted-step-not-added",
        breaks: Rule(9),
        harm: "after a step of 20 ms by another program chronyd's next bound is 1.6 ms, and 19.8 ms off",
        changes: &[Change {
            file: KERNEL,
            from: "let time = with_unaccounted_steps(time, ahead_ns);",
            to: "let time = with_unaccounted_steps(time, (0 * ahead_ns.0, 0));",
        }],
        caught_by: unit(&[
            "a_step_beside_the_daemon_counts_as_error_until_it_has_made_several_updates",
        ]),
    },
    Mutant {
        name: "unaccounted-step-back-ignored",
        breaks: Rule(9),
        harm: "another program has stepped the clock back, and the daemon does not know of it",
        changes: &[Change {
            file: STEP,
            from: "(low.saturating_add(step.0).min(low), high.saturating_add(step.1).max(high));",
            to: "(low, high.saturating_add(step.1).max(high));",
        }],
        caught_by: unit(&[
            "a_step_beside_the_daemon_counts_as_error_until_it_has_made_several_updates",
        ]),
    },
    Mutant {
        name: "unaccounted-step-on-one-side",
        breaks: Rule(9),
        harm: "the side on which true time is after a step back is not covered",
        changes: &[Change {
            file: KERNEL,
            from: "earlier(time.latest(), least))",
            to: "earlier(time.latest(), 0 * least))",
        }],
        caught_by: unit(&[
            "a_step_beside_the_daemon_counts_as_error_until_it_has_made_several_updates",
        ]),
    },
    Mutant {
        name: "unaccounted-step-ends-at-one-update",
        breaks: Rule(9),
        harm: "chronyd takes the first samples after a step for outliers",
        changes: &[Change {
            file: STEP,
            from: "updates.saturating_sub(self.updates) >= UPDATES_UNTIL_TAKEN_IN",
            to: "updates.saturating_sub(self.updates) >= UPDATES_UNTIL_TAKEN_IN.min(1)",
        }],
        caught_by: unit(&[
            "a_step_beside_the_daemon_counts_as_error_until_it_has_made_several_updates",
        ]),
    },
    Mutant {
        name: "no-daemon-is-misled",
        breaks: Rule(9),
        harm: "a step beside a daemon is taken for one before its first measurement",
        changes: &[Change {
            file: KERNEL,
            from: "let is_disciplined = had_bound || evidence",
            to: "let is_disciplined = false && had_bound && evidence",
        }],
        caught_by: unit(&[
            "a_step_beside_the_daemon_counts_as_error_until_it_has_made_several_updates",
        ]),
    },
    Mutant {
        name: "step-since-chronyd-was-asked-ignored",
        breaks: Rule(6),
        harm: "chronyd answers, the clock is stepped, and the answer confirms the stepped clock",
        changes: &[Change { file: KERNEL, from: "self.writer.note_step();", to: "" }],
        caught_by: unit(&["a_step_after_chronyd_has_answered_takes_its_confirmation_away"]),
    },
    Mutant {
        name: "other-time-not-compared",
        breaks: Rule(9),
        harm: "under libfaketime an hour off is synchronised",
        changes: &[Change {
            file: KERNEL,
            from: "if is_within(shown) || is_leap",
            to: "if is_within(shown) || shown != 0 || is_leap",
        }],
        caught_by: unit(&["a_wall_clock_that_is_not_the_kernels_is_refused"]),
    },
    Mutant {
        name: "other-time-shown-and-used",
        breaks: Rule(9),
        harm: "the kernel's bound is put on a clock that is not the kernel's",
        changes: &[Change {
            file: KERNEL,
            from: "if stepped || shown_other_time.is_some() {",
            to: "if stepped {",
        }],
        caught_by: unit(&["a_wall_clock_that_is_not_the_kernels_is_refused"]),
    },
    Mutant {
        name: "dead-daemon-never-overdue",
        breaks: Promise("a clock that nothing corrects any more is in holdover"),
        harm: "a daemon that was killed is synchronised for 7 hours",
        changes: &[Change {
            file: UPDATES,
            from: "(age_ns > limit_ns).then(",
            to: "(age_ns > limit_ns.max(i64::MAX)).then(",
        }],
        caught_by: unit(&["a_dead_daemon_is_overdue_after_several_of_its_own_intervals"]),
    },
    Mutant {
        name: "write-of-the-same-mark-not-seen",
        breaks: Promise("a clock that nothing corrects any more is in holdover"),
        harm: "a daemon that writes the same bound at each update is taken for dead",
        changes: &[Change {
            file: UPDATES,
            from: "mark_us != before.mark_us || kernel.maxerror_us < before.maxerror_us;",
            to: "mark_us != before.mark_us;",
        }],
        caught_by: unit(&["a_write_that_leaves_the_same_mark_shows_by_the_smaller_value"]),
    },
    Mutant {
        name: "closed-port-is-an-answer",
        breaks: Promise("a clock that nothing corrects any more is in holdover"),
        harm: "a chronyd that was stopped is synchronised until its bound is overdue",
        changes: &[Change {
            file: CHECK,
            from: "(Err(error @ ChronyError::NotRunning { .. }), _) => Silence::Gone(error.to_string()),",
            to: "(Err(ChronyError::NotRunning { .. }), _) => Silence::No,",
        }],
        caught_by: unit(&["a_chronyd_that_had_answered_and_is_gone_leaves_a_holdover_at_once"]),
    },
    Mutant {
        name: "chronyd-gone-is-not-passed-on",
        breaks: Promise("a clock that nothing corrects any more is in holdover"),
        harm: "a chronyd that was stopped is synchronised until its bound is overdue",
        changes: &[Change {
            file: KERNEL,
            from: "self.condition.holdover = gone.or(overdue);",
            to: "self.condition.holdover = overdue.or(gone.filter(|_| false));",
        }],
        caught_by: unit(&["a_chronyd_that_had_answered_and_is_gone_leaves_a_holdover_at_once"]),
    },
    Mutant {
        name: "narrower-rates-count-for-the-past",
        breaks: Rule(1),
        harm: "what was known while the oscillator was further off is carried by what it keeps now",
        changes: &[Change {
            file: ESTIMATOR,
            from: "|bound: Bound| bound.carried_to(tick.max(bound.origin), &old).unwrap_or(bound);",
            to: "|bound: Bound| bound.carried_to(bound.origin, &old).unwrap_or(bound);",
        }],
        caught_by: unit(&["rates_that_become_narrower_do_so_from_now_on"]),
    },
    Mutant {
        name: "a-panic-takes-a-drift-back",
        breaks: Rule(1),
        harm: "bounds are carried by A2, which the source has shown to be refuted",
        changes: &[Change {
            file: DRIVER,
            from: "Err(panic) => Err(SourceError::Panicked(panic_message(&*panic))),",
            to: "Err(panic) => {
                self.condition = SourceCondition::default();
                Err(SourceError::Panicked(panic_message(&*panic)))
            }",
        }],
        caught_by: unit(&["a_panic_takes_back_nothing_of_what_a_source_knew"]),
    },
    Mutant {
        name: "a-silent-chronyd-takes-a-drift-back",
        breaks: Rule(1),
        harm: "where adjtimex is denied, bounds are carried by A2 once chronyd is uncertain",
        changes: &[Change {
            file: KERNEL,
            from: "let drift_ppm = self.condition.drift_ppm;",
            to: "let drift_ppm = None;",
        }],
        caught_by: unit(&["a_drift_that_chronyd_has_shown_holds_while_its_statement_is_uncertain"]),
    },
    Mutant {
        name: "a-slew-counts-as-an-update",
        breaks: Rule(1),
        harm: "a step is taken for known to chronyd after sixteen slews",
        changes: &[Change {
            file: TRACKING,
            from: "abs_diff(earlier_reference_time) >= LEAST_UPDATE",
            to: "abs_diff(earlier_reference_time) > LEAST_UPDATE * 0",
        }],
        caught_by: unit(&["a_reference_time_that_slews_move_is_no_update"]),
    },
    Mutant {
        name: "a-second-is-a-leap-second-all-day",
        breaks: Rule(3),
        harm: "a process that is shown a clock a second off is believed for a day after a leap second",
        changes: &[Change {
            file: KERNEL,
            from: "let is_leap = is_near_midnight && ",
            to: "let is_leap = (is_near_midnight || true) && ",
        }],
        caught_by: unit(&["a_wall_clock_that_is_not_the_kernels_is_refused"]),
    },
];
