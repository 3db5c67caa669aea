//! Hybrid logical clocks: the register that threads share, the mark on disk, commits.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, loom, unit};
use crate::patched::Change;

const HLC: &str = "src/hlc/hlc.rs";
const BUILDER: &str = "src/hlc/builder.rs";
const COMMITS: &str = "src/hlc/commits.rs";
const REQUEST: &str = "src/hlc/mark_request.rs";
const UNCERTAINTY: &str = "src/hlc/read_uncertainty.rs";
const MARK: &str = "src/hlc/high_water_mark.rs";
const REGISTER: &str = "src/hlc/register.rs";
const STATE: &str = "src/hlc/mark_state.rs";
const WINDOW: &str = "src/hlc/window.rs";
const RENEWER: &str = "src/hlc/renewer.rs";

const WAITED_OUT: &str =
    "a commit stamp is above all that was committed before, and passed when it is seen";
const AFTER_A_CRASH: &str = "what was issued before a crash is not issued after it";
const NO_WAIT: &str = "a stamp does not wait for the disk while the window holds";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "stamp-equal-to-the-last",
        breaks: Promise("stamps of one node are never repeated, and in order"),
        harm: "two events have one stamp",
        changes: &[Change {
            file: REGISTER,
            from: "if physical > last && physical",
            to: "if physical >= last && physical",
        }],
        caught_by: file("hlc", &["a_stamp_is_earliest_or_one_more_than_the_last"]),
    },
    Mutant {
        name: "stamp-that-may-be-a-commit",
        breaks: Promise("stamps of one node are never repeated, and in order"),
        harm: "an ordinary event has the stamp of a transaction",
        changes: &[Change {
            file: REGISTER,
            from: "stamp % 2 == 1 && stamp <= self.commits.0.load(Ordering::Relaxed)",
            to: "false",
        }],
        caught_by: file("hlc", &["no_ordinary_stamp_is_a_commit_stamp"]),
    },
    Mutant {
        name: "stamper-without-its-second-look",
        breaks: Promise("stamps of one node are never repeated, and in order"),
        harm: "a stamp and a commit that know nothing of each other are the same",
        changes: &[Change {
            file: REGISTER,
            from: "if self.may_be_a_commit(next) || next > self.reserved() { None }",
            to: "if next > self.reserved() { None }",
        }],
        caught_by: loom(&["loom_a_commit_stamp_is_never_an_ordinary_stamp"]),
    },
    Mutant {
        name: "committer-looks-by-a-load",
        breaks: Promise("stamps of one node are never repeated, and in order"),
        harm: "a stamp and a commit that know nothing of each other are the same",
        changes: &[Change {
            file: REGISTER,
            from: "let is_alone = self.last.0.fetch_max(last, Ordering::AcqRel) < stamp;",
            to: "let is_alone = self.last.0.load(Ordering::Acquire) < stamp;\n        let _ = last;",
        }],
        caught_by: loom(&["loom_a_commit_stamp_is_never_an_ordinary_stamp"]),
    },
    Mutant {
        name: "observed-stamp-stored",
        breaks: Promise("stamps of one node are never repeated, and in order"),
        harm: "a message that comes late takes the clock back",
        changes: &[Change {
            file: REGISTER,
            from: "pub(super) fn advance_to(&self, reached: u64) {
        self.last.0.fetch_max(reached, Ordering::AcqRel);",
            to: "pub(super) fn advance_to(&self, reached: u64) {
        self.last.0.store(reached, Ordering::Release);",
        }],
        caught_by: loom(&["loom_an_observed_stamp_never_takes_the_register_back"]),
    },
    Mutant {
        name: "stamp-by-the-midpoint",
        breaks: Promise("no stamp spreads that is ahead of true time"),
        harm: "a stamp is ahead of true time by up to half of the width",
        changes: &[Change {
            file: HLC,
            from: "let physical = Stamp::from_timestamp(self.clock.earliest()?).to_bits();
        match",
            to: "let physical = Stamp::from_timestamp(self.clock.now()?.midpoint()).to_bits();
        match",
        }],
        caught_by: file("hlc", &["a_stamp_is_earliest_or_one_more_than_the_last"]),
    },
    Mutant {
        name: "remote-stamp-not-judged",
        breaks: Promise("no stamp spreads that is ahead of true time"),
        harm: "one bad message takes a node years ahead",
        changes: &[Change { file: HLC, from: "if remote > limit {", to: "if false {" }],
        caught_by: file("hlc", &["a_stamp_beyond_latest_is_refused_and_changes_nothing"]),
    },
    Mutant {
        name: "poison-not-noticed",
        breaks: Promise("no stamp spreads that is ahead of true time"),
        harm: "a node that was led astray leads others astray",
        changes: &[Change {
            file: HLC,
            from: "if !self.register.note_logical(beyond, steps) {",
            to: "if !self.register.note_logical(0, steps) {",
        }],
        caught_by: file(
            "hlc",
            &[
                "a_poisoned_node_reports_it_and_does_not_spread_it",
                "poison_of_one_nanosecond_is_detected",
            ],
        ),
    },
    Mutant {
        name: "commit-at-earliest",
        breaks: Promise(
            "a commit stamp is above all that was committed before, and passed when it is seen",
        ),
        harm: "a transaction gets a stamp below one that was committed before it began",
        changes: &[Change {
            file: COMMITS,
            from: "let floor = Stamp::from(now.latest()).max(least).to_bits();",
            to: "let floor = Stamp::from(now.earliest()).max(least).to_bits();",
        }],
        caught_by: file(
            "hlc",
            &[
                "commit_stamps_increase_and_are_above_every_stamp_seen",
                "a_commit_stamp_stays_out_of_the_register_until_it_has_passed",
            ],
        ),
    },
    Mutant {
        name: "commit-below-a-participants",
        breaks: Promise(
            "a commit stamp is above all that was committed before, and passed when it is seen",
        ),
        harm: "a coordinator commits below a stamp under which a participant has prepared",
        changes: &[Change {
            file: COMMITS,
            from: "let floor = Stamp::from(now.latest()).max(least).to_bits();",
            to: "let floor = Stamp::from(now.latest()).to_bits();",
        }],
        caught_by: file("hlc", &["a_coordinators_stamp_is_not_below_its_participants"]),
    },
    Mutant {
        name: "released-when-reached",
        breaks: Promise(
            "a commit stamp is above all that was committed before, and passed when it is seen",
        ),
        harm: "a commit is seen at the moment of its stamp, and not after it",
        changes: &[Change {
            file: COMMITS,
            from: "Ok(earliest) if earliest > pending.timestamp() => {",
            to: "Ok(earliest) if earliest >= pending.timestamp() => {",
        }],
        caught_by: file("hlc", &["a_commit_stamp_stays_out_of_the_register_until_it_has_passed"]),
    },
    Mutant {
        name: "read-without-uncertainty",
        breaks: Promise(
            "a commit stamp is above all that was committed before, and passed when it is seen",
        ),
        harm: "a reader misses what was committed before it began",
        changes: &[Change {
            file: UNCERTAINTY,
            from: "} else if value <= self.limit {",
            to: "} else if value < self.limit {",
        }],
        caught_by: unit(&["the_range_begins_above_the_readers_stamp_and_includes_its_limit"]),
    },
    Mutant {
        name: "mark-not-written",
        breaks: Promise("what was issued before a crash is not issued after it"),
        harm: "a restarted node issues the same stamps again",
        changes: &[Change {
            file: REQUEST,
            from: "(Write::Raise(to), record.advance(to))",
            to: "(Write::Raise(to), Ok(()))",
        }],
        caught_by: file(
            "hlc",
            &["after_a_restart_stamps_are_above_all_before_whatever_the_clock_reads"],
        ),
    },
    Mutant {
        name: "mark-announced-when-the-disk-fails",
        breaks: Promise("what was issued before a crash is not issued after it"),
        harm: "a node goes on beyond its mark when the disk is full",
        changes: &[Change {
            file: STATE,
            from: "Write::Raise(to) if is_ok && self.reset.is_none() => self.limit = to,",
            to: "Write::Raise(to) if self.reset.is_none() => self.limit = to,",
        }],
        caught_by: file("hlc", &["when_the_disk_fails_no_stamp_above_the_mark_is_issued"]),
    },
    Mutant {
        name: "restart-below-the-mark",
        breaks: Promise("what was issued before a crash is not issued after it"),
        harm: "a restarted node begins at its clock, which may be behind what it has issued",
        changes: &[Change {
            file: BUILDER,
            from: "let register = Register::new(stored.max(self.not_below.to_bits()));",
            to: "let register = Register::new(self.not_below.to_bits());",
        }],
        caught_by: file(
            "hlc",
            &["after_a_restart_stamps_are_above_all_before_whatever_the_clock_reads"],
        ),
    },
    Mutant {
        name: "resumed-commit-forgotten",
        breaks: Promise(WAITED_OUT),
        harm: "a new event or transaction has the stamp of one that a crash interrupted",
        changes: &[Change {
            file: REGISTER,
            from: "self.commits.0.fetch_max(stamp, Ordering::AcqRel);",
            to: "",
        }],
        caught_by: file(
            "hlc",
            &["a_resumed_commit_is_waited_out_and_its_stamp_belongs_to_nobody_else"],
        ),
    },
    Mutant {
        name: "resumed-commit-takes-others-along",
        breaks: Promise(WAITED_OUT),
        harm: "one stored stamp of a wrong clock makes every new commit wait for hours",
        changes: &[Change {
            file: COMMITS,
            from: "if resumed > limit | 1 {",
            to: "if resumed == u64::MAX {",
        }],
        caught_by: file(
            "hlc",
            &["a_resumed_commit_of_a_wrong_clock_does_not_take_new_commits_along"],
        ),
    },
    Mutant {
        name: "resumed-even-stamp-issued",
        breaks: Promise(WAITED_OUT),
        harm: "an event has the stamp of a transaction",
        changes: &[Change {
            file: REGISTER,
            from: "} else if stamp > self.last() {",
            to: "} else if false {",
        }],
        caught_by: file("hlc", &["an_even_stamp_that_is_resumed_is_not_issued_again_either"]),
    },
    Mutant {
        name: "own-history-forgotten",
        breaks: Promise(AFTER_A_CRASH),
        harm: "a restored node issues stamps below its own log",
        changes: &[Change {
            file: BUILDER,
            from: "let register = Register::new(self.not_below.to_bits());
        Hlc {",
            to: "let register = Register::new(0);
        Hlc {",
        }],
        caught_by: file("hlc", &["own_history_ahead_of_the_clock_is_waited_for_and_blames_nobody"]),
    },
    Mutant {
        name: "own-history-forgotten-beside-a-mark",
        breaks: Promise(AFTER_A_CRASH),
        harm: "a node restored with an old mark issues stamps below its own log",
        changes: &[Change {
            file: BUILDER,
            from: "Register::new(stored.max(self.not_below.to_bits()))",
            to: "Register::new(stored)",
        }],
        caught_by: file("hlc", &["own_history_counts_though_the_mark_is_older"]),
    },
    Mutant {
        name: "own-history-lowered",
        breaks: Promise(AFTER_A_CRASH),
        harm: "the last stamp of the log counts, and not the greatest",
        changes: &[Change {
            file: BUILDER,
            from: "HlcBuilder { not_below: self.not_below.max(stamp), ..self }",
            to: "HlcBuilder { not_below: stamp, ..self }",
        }],
        caught_by: file("hlc", &["own_history_ahead_of_the_clock_is_waited_for_and_blames_nobody"]),
    },
    Mutant {
        name: "reset-lowers-no-limit",
        breaks: Promise(AFTER_A_CRASH),
        harm: "stamps go out above the mark while a reset is being written",
        changes: &[Change { file: STATE, from: "self.limit = self.limit.min(to);", to: "" }],
        caught_by: file("hlc", &["a_reset_on_a_slow_store_issues_nothing_above_either_mark"]),
    },
    Mutant {
        name: "reset-lifts-the-limit-at-once",
        breaks: Promise(AFTER_A_CRASH),
        harm: "stamps go out above a mark that a reset has not written yet",
        changes: &[Change {
            file: STATE,
            from: "self.limit = self.limit.min(to);",
            to: "self.limit = to;",
        }],
        caught_by: file("hlc", &["a_reset_to_a_higher_mark_counts_only_when_it_is_stored"]),
    },
    Mutant {
        name: "raise-lifts-a-lowered-limit",
        breaks: Promise(AFTER_A_CRASH),
        harm: "a write that began before a reset is announced after it",
        changes: &[Change {
            file: STATE,
            from: "if is_ok && self.reset.is_none() =>",
            to: "if is_ok =>",
        }],
        caught_by: unit(&["a_reset_lowers_the_limit_first_and_a_raise_under_way_does_not_lift_it"]),
    },
    Mutant {
        name: "stamper-compared-only-before-its-swap",
        breaks: Promise(AFTER_A_CRASH),
        harm: "a thread that was interrupted issues a stamp above a mark that was taken back",
        changes: &[Change {
            file: REGISTER,
            from: "if self.may_be_a_commit(next) || next > self.reserved() { None }",
            to: "if self.may_be_a_commit(next) { None }",
        }],
        caught_by: loom(&["loom_no_stamp_is_above_a_mark_that_was_taken_back"]),
    },
    Mutant {
        name: "window-from-before-the-wait",
        breaks: Promise(NO_WAIT),
        harm: "the mark is in the past when a slow disk has written it",
        changes: &[Change {
            file: STATE,
            from: "stamp.saturating_add(duration_nanos(now.saturating_sub(at)))",
            to: "stamp.saturating_add(0 * duration_nanos(now.saturating_sub(at)))",
        }],
        caught_by: unit(&["the_window_counts_from_the_beginning_of_the_write"]),
    },
    Mutant {
        name: "window-of-one-length",
        breaks: Promise(NO_WAIT),
        harm: "every thread waits for a slow disk once in a window",
        changes: &[Change {
            file: WINDOW,
            from: "self.asked.max(self.latency.saturating_mul(LATENCIES).min(LONGEST))",
            to: "self.asked",
        }],
        caught_by: file("hlc", &["the_window_follows_the_latency_of_the_store"]),
    },
    Mutant {
        name: "window-without-an-end",
        breaks: Promise(NO_WAIT),
        harm: "a restart after one slow write waits for minutes",
        changes: &[Change {
            file: WINDOW,
            from: "self.latency.saturating_mul(LATENCIES).min(LONGEST)",
            to: "self.latency.saturating_mul(LATENCIES)",
        }],
        caught_by: unit(&["the_window_follows_the_stores_latency_up_to_a_maximum"]),
    },
    Mutant {
        name: "mark-raised-only-when-asked",
        breaks: Promise(NO_WAIT),
        harm: "a node with few stamps waits for the disk at each of them",
        changes: &[Change {
            file: STATE,
            from: "self.is_wanted || self.next.is_some_and(|next| next <= now)",
            to: "self.is_wanted",
        }],
        caught_by: unit(&[
            "a_node_without_stamps_rests_and_goes_on_with_the_next_stamp",
            "with_a_slow_store_the_next_write_ends_before_the_window_does",
        ]),
    },
    Mutant {
        name: "try-waits",
        breaks: Promise(NO_WAIT),
        harm: "a call that must not wait blocks an executor, or writes for it",
        changes: &[Change { file: MARK, from: "if wait == Wait::Never {", to: "if false {" }],
        caught_by: file(
            "hlc",
            &["without_a_thread_there_are_two_writes_per_window_by_the_thread_that_stamps"],
        ),
    },
    Mutant {
        name: "future-not-woken",
        breaks: Promise(NO_WAIT),
        harm: "a task sleeps for ever though the mark was raised",
        changes: &[Change {
            file: RENEWER,
            from: "wakers.into_iter().for_each(Waker::wake);",
            to: "drop(wakers);",
        }],
        caught_by: file("hlc", &["a_future_is_woken_by_the_write_and_its_thread_does_not_wait"]),
    },
    Mutant {
        name: "disk-error-not-told",
        breaks: Promise(NO_WAIT),
        harm: "a full disk is first heard of when no stamp is left",
        changes: &[Change {
            file: STATE,
            from: "self.error = result.as_ref().err().cloned();",
            to: "",
        }],
        caught_by: file("hlc", &["an_error_of_the_store_is_told_before_the_window_is_used_up"]),
    },
];
