//! Which daemon wrote the kernel's bound, what it says when it is asked, and what of it is believed.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, sim, unit};
use crate::patched::Change;

const ALLOWANCE: &str = "src/source/chrony/allowance.rs";
const ALONE: &str = "src/source/chrony/alone.rs";
const STATE: &str = "src/host/kernel_state.rs";
const KERNEL: &str = "src/source/kernel.rs";
const MOMENT: &str = "src/source/write_moment.rs";
const WRITER: &str = "src/source/writer.rs";
const JUDGE: &str = "src/source/writer/judge.rs";
const SEGMENT: &str = "src/source/writer/clockbound_segment.rs";
const CHECK: &str = "src/source/chrony/check.rs";
const FIT: &str = "src/source/chrony/fit.rs";
const CONTROL: &str = "src/source/ntpd/control.rs";
const NTPD: &str = "src/source/ntpd/check.rs";
const DAEMON: &str = "src/source/daemon.rs";
const OWNER: &str = "src/source/daemon/port_owner.rs";
const PHC_ERROR: &str = "src/source/phc_error.rs";
const TRACKING: &str = "src/source/chrony/tracking.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "what-chronyds-line-leaves-out-is-not-allowed-for",
        breaks: Rule(2),
        harm: "where an oscillator's rate swings, chronyd's estimate is taken for a bound",
        changes: &[Change {
            file: WRITER,
            from: "Ok(excess_ns.saturating_add(allowance_ns))",
            to: "Ok(excess_ns.saturating_add(allowance_ns.min(0)))",
        }],
        caught_by: sim(
            "sim",
            &["estimating_daemons_are_believed_with_an_allowance_and_no_reading_is_wrong"],
        ),
    },
    Mutant {
        name: "the-span-of-chronyds-line-ignored",
        breaks: Rule(2),
        harm: "a line over an hour is taken to follow the oscillator as one over a minute does",
        changes: &[Change {
            file: ALLOWANCE,
            from: "duration_nanos_i64(fit.span).saturating_add(SPAN_ROUNDING_NS)",
            to: "duration_nanos_i64(fit.span).min(NANOS_PER_SECOND).saturating_add(SPAN_ROUNDING_NS)",
        }],
        caught_by: unit(&[
            "the_smaller_of_what_the_span_and_the_newest_poll_show_is_allowed",
            "what_chronyds_line_leaves_out_is_added_to_its_bound",
        ]),
    },
    Mutant {
        name: "two-polls-make-a-line",
        breaks: Rule(2),
        harm: "a chronyd that was reset since its update seems to rest on the seconds since then",
        changes: &[Change {
            file: ALLOWANCE,
            from: "if fit.samples >= LEAST_SAMPLES",
            to: "if fit.samples > 0",
        }],
        caught_by: unit(&["what_a_chronyd_keeps_at_most_counts_where_it_does_not_tell"]),
    },
    Mutant {
        name: "an-old-measurement-is-the-updates",
        breaks: Rule(2),
        harm: "a server's measurement of a minute before is taken for one of chronyd's update",
        changes: &[Change {
            file: ALLOWANCE,
            from: ".saturating_add(moved_ns(self.lag_ns, wander_ppm))",
            to: ".saturating_add(moved_ns(self.lag_ns.min(0), wander_ppm))",
        }],
        caught_by: unit(&["a_measurement_from_before_the_update_may_be_off_by_the_wander_since"]),
    },
    Mutant {
        name: "a-mean-over-a-poll-is-a-moment",
        breaks: Rule(2),
        harm: "what a reference clock showed on average counts as what it showed at one moment",
        changes: &[Change {
            file: ALLOWANCE,
            from: "moved_ns(averaged_ns / 2 + averaged_ns % 2, wander_ppm)",
            to: "moved_ns(averaged_ns.min(0), wander_ppm)",
        }],
        caught_by: unit(&["the_smaller_of_what_the_span_and_the_newest_poll_show_is_allowed"]),
    },
    Mutant {
        name: "allowance-of-an-earlier-statement",
        breaks: Rule(2),
        harm: "a bound that was written since is allowed what its predecessor was",
        changes: &[Change {
            file: CHECK,
            from: "if is_same { Statement::OfUpdate } else { Statement::Later }",
            to: "if is_same { Statement::OfUpdate } else { Statement::OfUpdate }",
        }],
        caught_by: unit(&["a_bound_that_was_written_since_chronyd_was_asked_is_allowed_more"]),
    },
    Mutant {
        name: "a-moment-without-evidence",
        breaks: Rule(1),
        harm: "a bound is taken to be as new as the last look, though no write was seen",
        changes: &[Change {
            file: MOMENT,
            from: "before.filter(written_since)",
            to: "before.filter(|before| written_since(before) || before.from_ns > 0)",
        }],
        caught_by: unit(&["a_bound_is_no_older_than_the_last_look_that_showed_another_one"]),
    },
    Mutant {
        name: "a-moment-for-any-writer",
        breaks: Rule(1),
        harm: "the slack goes that hides what another daemon's bound leaves out",
        changes: &[Change {
            file: KERNEL,
            from: "written.filter(|_| self.writer.has_allowance())",
            to: "written.filter(|_| self.writer.has_allowance() || read.before > 0)",
        }],
        caught_by: unit(&["a_write_that_was_seen_costs_the_time_since_the_look_before"]),
    },
    Mutant {
        name: "chrony-excess-ignored",
        breaks: Rule(1),
        harm: "chronyd states more than the kernel, and the smaller bound is taken",
        changes: &[Change {
            file: KERNEL,
            from: ".saturating_add(excess_ns)
",
            to: "
",
        }],
        caught_by: unit(&["what_the_writer_states_beyond_the_kernel_is_added"]),
    },
    Mutant {
        name: "chrony-float-as-it-stands",
        breaks: Rule(1),
        harm: "chronyd's floats are cut off, so each may stand for a little more",
        changes: &[Change {
            file: TRACKING,
            from: "u128::from(self.coefficient().unsigned_abs()) + 1",
            to: "u128::from(self.coefficient().unsigned_abs())",
        }],
        caught_by: unit(&["rounding_to_nearest_would_understate", "floats_as_chronyd_makes_them"]),
    },
    Mutant {
        name: "unsynchronised-kernel-believed",
        breaks: Rule(2),
        harm: "a kernel that nobody disciplines is taken for a source",
        changes: &[Change {
            file: STATE,
            from: "self.status & STA_UNSYNC == 0 && self.state != TIME_ERROR",
            to: "true",
        }],
        caught_by: unit(&["which_kernels_have_a_bound_at_all"]),
    },
    Mutant {
        name: "chrony-unsynchronised-believed",
        breaks: Rule(2),
        harm: "a chronyd that follows nobody confirms the kernel's bound",
        changes: &[Change {
            file: TRACKING,
            from: "if self.leap == Leap::Unsynchronized || self.reference.is_local() {",
            to: "if self.reference.is_local() {",
        }],
        caught_by: unit(&["no_bound_without_synchronisation"]),
    },
    Mutant {
        name: "chrony-local-believed",
        breaks: Rule(2),
        harm: "a chronyd that follows its own clock confirms the kernel's bound",
        changes: &[Change {
            file: TRACKING,
            from: "if self.leap == Leap::Unsynchronized || self.reference.is_local() {",
            to: "if self.leap == Leap::Unsynchronized {",
        }],
        caught_by: unit(&["no_bound_without_synchronisation"]),
    },
    Mutant {
        name: "chrony-any-sequence",
        breaks: Rule(2),
        harm: "an old reply, or a forged one, is taken for the answer",
        changes: &[Change { file: TRACKING, from: "|| fields.u32(16) != sequence", to: "" }],
        caught_by: unit(&[
            "what_cannot_be_is_refused_by_name",
            "strays_before_the_answer_are_passed_over",
        ]),
    },
    Mutant {
        name: "maxerror-zero-believed",
        breaks: Rule(3),
        harm: "timesyncd, phc2sys and ptp4l write 0, which is not a bound",
        changes: &[Change {
            file: STATE,
            from: "self.maxerror_us < 0 || residue == 0 || ntpd_startup",
            to: "self.maxerror_us < 0 || ntpd_startup",
        }],
        caught_by: unit(&["the_marks_of_writers_without_a_bound_are_refused_whoever_answers"]),
    },
    Mutant {
        name: "ntpd-startup-believed",
        breaks: Rule(3),
        harm: "an ntpd that has heard from nobody writes 16 µs",
        changes: &[Change {
            file: STATE,
            from: "self.maxerror_us < 0 || residue == 0 || ntpd_startup",
            to: "self.maxerror_us < 0 || residue == 0 && !ntpd_startup",
        }],
        caught_by: unit(&["the_marks_of_writers_without_a_bound_are_refused_whoever_answers"]),
    },
    Mutant {
        name: "unknown-writer-believed",
        breaks: Rule(3),
        harm: "in a container nothing is visible, and the bound of an ntpd-rs on the host is believed",
        changes: &[Change {
            file: JUDGE,
            from: "None => refuse(Reason::WriterUnknown, format!(\"{after}{}\", unknown(seen, &running))),",
            to: "None => Ok(0),",
        }],
        caught_by: unit(&["a_bound_is_believed_only_if_its_writer_is_known"]),
    },
    Mutant {
        name: "mark-excused-by-any-answer",
        breaks: Rule(3),
        harm: "a 0 of timesyncd's is believed because a chronyd answers beside it",
        changes: &[Change {
            file: JUDGE,
            from: "if has_bound && (!is_marked || *wrote_mark || rules.believes_any_writer) =>",
            to: "if has_bound && (true || *wrote_mark || is_marked) =>",
        }],
        caught_by: unit(&["the_marks_of_writers_without_a_bound_are_refused_whoever_answers"]),
    },
    Mutant {
        name: "reference-clock-taken-for-exact",
        breaks: Rule(3),
        harm: "a PTP clock that is 4.65 ms off makes a bound of 5 µs",
        changes: &[Change {
            file: CHECK,
            from: "if !tracking.reference.is_reference_clock() {",
            to: "if true {",
        }],
        caught_by: unit(&[
            "chrony::check::tests::the_error_of_a_reference_clock_must_be_stated_by_someone",
        ]),
    },
    Mutant {
        name: "default-delay-taken-for-a-statement",
        breaks: Rule(3),
        harm: "chronyd's default delay of 1 ns is no statement of the operator's",
        changes: &[Change {
            file: CHECK,
            from: "tracking.root_delay_ns >= STATED_DELAY_NS",
            to: "tracking.root_delay_ns > 0",
        }],
        caught_by: unit(&[
            "chrony::check::tests::the_error_of_a_reference_clock_must_be_stated_by_someone",
        ]),
    },
    Mutant {
        name: "reference-error-left-out",
        breaks: Rule(1),
        harm: "the stated error of the reference clock allows the bound and is not added to it",
        changes: &[Change {
            file: CHECK,
            from: "excess_ns: excess_ns.saturating_add(error_ns), wrote_mark",
            to: "excess_ns, wrote_mark",
        }],
        caught_by: unit(&[
            "chrony::check::tests::the_error_of_a_reference_clock_must_be_stated_by_someone",
        ]),
    },
    Mutant {
        name: "skew-counted-as-error",
        breaks: Rule(2),
        harm: "after iburst chronyd's bound is seconds wide, because it does not know its frequency yet",
        changes: &[Change {
            file: CHECK,
            from: "let at_same_moment_ns = bound_ns - too_much_ns.min(tracking.root_dispersion_ns);",
            to: "let at_same_moment_ns = bound_ns - 0 * too_much_ns;",
        }],
        caught_by: unit(&[
            "what_chronyd_adds_for_a_frequency_that_it_does_not_know_yet_is_left_to_the_kernel",
        ]),
    },
    Mutant {
        name: "kernels-growth-taken-away-too",
        breaks: Rule(1),
        harm: "what the oscillator may be off since chronyd's update is left out of its bound",
        changes: &[Change {
            file: CHECK,
            from: "added_ns.saturating_sub(u64::try_from(allowed_ns).unwrap_or(u64::MAX))",
            to: "added_ns + 0 * allowed_ns as u64",
        }],
        caught_by: unit(&[
            "what_chronyd_adds_for_a_frequency_that_it_does_not_know_yet_is_left_to_the_kernel",
        ]),
    },
    Mutant {
        name: "kernels-pll-beside-chronyd",
        breaks: Rule(3),
        harm: "a chronyd that only watches confirms the bound of an ntpd",
        changes: &[Change {
            file: FIT,
            from: "if kernel.status & (STA_PLL | STA_FLL) != 0 {",
            to: "if false {",
        }],
        caught_by: unit(&["what_chronyd_would_not_leave_in_the_kernel_shows_another_program"]),
    },
    Mutant {
        name: "foreign-leap-beside-chronyd",
        breaks: Rule(3),
        harm: "another program tells the kernel of a leap second, and chronyd's bound is believed",
        changes: &[Change {
            file: FIT,
            from: "if is_told && tracking.leap == Leap::Normal {",
            to: "if false && is_told {",
        }],
        caught_by: unit(&["what_chronyd_would_not_leave_in_the_kernel_shows_another_program"]),
    },
    Mutant {
        name: "any-frequency-fits",
        breaks: Rule(3),
        harm: "a chronyd that only watches confirms what another program writes",
        changes: &[Change {
            file: FIT,
            from: "Process::Unseen if off_ppb.abs() <= SAME_RATE_PPB",
            to: "Process::Unseen if off_ppb.abs() <= f64::INFINITY",
        }],
        caught_by: unit(&["a_chronyd_that_only_watches_never_fits"]),
    },
    Mutant {
        name: "writes-between-updates-unnoticed",
        breaks: Rule(3),
        harm: "another program writes maxerror between two updates of chronyd's",
        changes: &[Change {
            file: FIT,
            from: "(false, true) if is_its_bound && self.broken.is_none() => {",
            to: "(false, true) => {",
        }],
        caught_by: unit(&[
            "a_write_between_two_updates_is_another_programs_until_chronyd_writes_again",
        ]),
    },
    Mutant {
        name: "any-mark-is-chronyds",
        breaks: Rule(3),
        harm: "a chronyd that only watches makes an update in the second in which another program writes",
        changes: &[Change {
            file: FIT,
            from: "within_ns < TELLING_NS && apart_ns <= within_ns",
            to: "within_ns < TELLING_NS && apart_ns >= 0.0",
        }],
        caught_by: unit(&["a_chronyd_that_only_watches_never_fits"]),
    },
    Mutant {
        name: "the-same-number-again-shows-another-writer",
        breaks: Promise("a chronyd whose bound is steady is believed"),
        harm: "beside a steady reference clock every bound is refused",
        changes: &[Change {
            file: FIT,
            from: "(true, false) if is_its_bound => self.unwritten = 0,",
            to: "",
        }],
        caught_by: unit(&["a_steady_chronyd_writes_the_same_number_at_many_updates"]),
    },
    Mutant {
        name: "a-bound-that-was-cut-off",
        breaks: Rule(1),
        harm: "a writer states more than the 16 s that the kernel keeps, and 16 s are believed",
        changes: &[Change {
            file: JUDGE,
            from: "if rules.believes_any_writer && has_bound {",
            to: "if rules.believes_any_writer {",
        }],
        caught_by: unit(&["what_the_kernel_has_cut_off_is_no_bound_whoever_wrote_it"]),
    },
    Mutant {
        name: "a-mark-that-stays-shows-the-writer",
        breaks: Rule(3),
        harm: "a mark that nobody writes any more is the bound of a watching chronyd now and then",
        changes: &[Change {
            file: FIT,
            from: "(true, false) if is_its_bound => self.unwritten = 0,",
            to: "(true, false) if is_its_bound => self.note_own_write(now.mark_us),",
        }],
        caught_by: unit(&["a_steady_chronyd_writes_the_same_number_at_many_updates"]),
    },
    Mutant {
        name: "updates-without-a-write-unnoticed",
        breaks: Rule(3),
        harm: "chronyd makes updates and does not write, because it runs with -x",
        changes: &[Change { file: FIT, from: "if self.unwritten > 1 {", to: "if false {" }],
        caught_by: unit(&["a_chronyd_that_only_watches_never_fits"]),
    },
    Mutant {
        name: "any-users-port",
        breaks: Rule(3),
        harm: "where any user may bind port 323, any user is taken for chronyd",
        changes: &[Change {
            file: OWNER,
            from: "uid == 0 || self.owns_directory(uid, root) || self.has_name(uid, root)",
            to: "true || self.owns_directory(uid, root) || self.has_name(uid, root)",
        }],
        caught_by: unit(&["only_root_and_chronys_user_are_taken_for_chronyd"]),
    },
    Mutant {
        name: "unprivileged-daemons-count",
        breaks: Rule(6),
        harm: "any user's process that calls itself phc2sys makes clocks refuse",
        changes: &[Change {
            file: DAEMON,
            from: "    capable && is_same\n",
            to: "    capable || is_same\n",
        }],
        caught_by: unit(&["a_process_counts_only_with_the_privilege_to_set_the_clock"]),
    },
    Mutant {
        name: "own-user-namespace-counts",
        breaks: Rule(6),
        harm: "everybody has all capabilities in a user namespace of their own",
        changes: &[Change {
            file: DAEMON,
            from: "    capable && is_same\n",
            to: "    capable && (is_same || true)\n",
        }],
        caught_by: unit(&["a_process_counts_only_with_the_privilege_to_set_the_clock"]),
    },
    Mutant {
        name: "ntpd-on-its-own-clock-believed",
        breaks: Rule(3),
        harm: "an ntpd that follows its local clock states 11 ms of nothing",
        changes: &[Change {
            file: CONTROL,
            from: "self.refid.starts_with(\"127.127.1.\") || self.refid.starts_with(\"LOC\")",
            to: "self.refid.starts_with(\"LOC\")",
        }],
        caught_by: unit(&["an_ntpd_that_follows_itself_writes_nothing_that_counts"]),
    },
    Mutant {
        name: "orphan-ntpd-believed",
        breaks: Rule(3),
        harm: "an ntpd in orphan mode follows no server",
        changes: &[Change {
            file: CONTROL,
            from: "self.refid == \"127.0.0.1\" || self.refid == \"::1\"",
            to: "self.refid == \"::1\"",
        }],
        caught_by: unit(&["an_ntpd_that_follows_itself_writes_nothing_that_counts"]),
    },
    Mutant {
        name: "ntpd-without-the-pll",
        breaks: Rule(3),
        harm: "an ntpd that does not steer the clock confirms another program's bound",
        changes: &[Change {
            file: NTPD,
            from: "if kernel.status & STA_PLL == 0 || !kernel.is_synchronized() {",
            to: "if !kernel.is_synchronized() {",
        }],
        caught_by: unit(&["ntpd_is_asked_only_where_the_kernels_pll_shows_it_and_seldom"]),
    },
    Mutant {
        name: "old-segment-believed",
        breaks: Rule(3),
        harm: "a ClockBound that was killed leaves its segment for ever",
        changes: &[Change {
            file: SEGMENT,
            from: "if !(-AHEAD_NS..=FRESH_NS).contains(&age_ns) {",
            to: "if age_ns == i64::MAX && AHEAD_NS > FRESH_NS {",
        }],
        caught_by: unit(&["only_a_synchronised_segment_of_the_last_minutes_shows_a_daemon"]),
    },
    Mutant {
        name: "one-silent-driver-passed-over",
        breaks: Rule(3),
        harm: "the clock that chronyd follows may be the one whose driver states no bound",
        changes: &[Change {
            file: PHC_ERROR,
            from: "StatedBound::Absent | StatedBound::Useless(_) => None,",
            to: "StatedBound::Absent | StatedBound::Useless(_) => Some(0),",
        }],
        caught_by: unit(&["the_largest_bound_counts_and_each_device_must_state_one"]),
    },
    Mutant {
        name: "unknown-step-not-added",
        breaks: Rule(3),
        harm: "chronyd does not know that another program stepped the clock",
        changes: &[Change {
            file: ALONE,
            from: ".saturating_add(watch.unknown_ns())
",
            to: "
",
        }],
        caught_by: unit(&["a_step_counts_as_error_until_chronyd_has_measured_it"]),
    },
    Mutant {
        name: "first-report-believed",
        breaks: Rule(3),
        harm: "a step before the first look goes unseen",
        changes: &[Change {
            file: ALONE,
            from: ".filter(|watch| watch.updates > self.misled_updates)",
            to: "",
        }],
        caught_by: unit(&[
            "nothing_is_believed_before_chronyd_has_made_an_update_under_the_clocks_eyes",
        ]),
    },
    Mutant {
        name: "report-after-a-suspend-believed",
        breaks: Rule(6),
        harm: "after a suspend the wall clock is the RTC's, which chronyd does not know",
        changes: &[Change {
            file: ALONE,
            from: "            self.updates = 0;
",
            to: "",
        }],
        caught_by: unit(&["after_a_suspend_nothing_is_believed_until_chronyds_next_update"]),
    },
    Mutant {
        name: "any-offset-explains-a-step",
        breaks: Rule(3),
        harm: "chronyd has taken in a part of a step, and the rest is not counted",
        changes: &[Change {
            file: ALONE,
            from: "&& step.by_ns.abs_diff(measured_ns) <= step.by_ns / 10;",
            to: "&& measured_ns > 0;",
        }],
        caught_by: unit(&["a_step_counts_as_error_until_chronyd_has_measured_it"]),
    },
    Mutant {
        name: "reference-clock-taken-for-exact-without-the-kernel",
        breaks: Rule(3),
        harm: "chronyd states no error of a PHC or GPS that it follows",
        changes: &[Change {
            file: ALONE,
            from: "let bound_ns = bound_ns.saturating_add(of_reference_ns.map_err(|why| {",
            to: "let bound_ns = bound_ns.saturating_add(of_reference_ns.or(Ok(0)).map_err(|why: String| {",
        }],
        caught_by: unit(&["a_report_without_a_bound_is_refused_and_says_why"]),
    },
    Mutant {
        name: "step-while-asking-not-seen",
        breaks: Rule(3),
        harm: "the clock is stepped after chronyd has answered",
        changes: &[Change {
            file: ALONE,
            from: "        self.look(counter, wall_clock)?;
        let read = Realtime::read_narrowest(counter)?;
        self.look(counter, wall_clock)?;",
            to: "        let read = Realtime::read_narrowest(counter)?;",
        }],
        caught_by: unit(&["a_step_while_the_request_is_under_way_counts"]),
    },
];
