//! Hybrid logical clocks: the register that threads share, the mark on disk, commits.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, loom, unit};
use crate::patched::Change;

const HLC: &str = "src/hlc/hlc.rs";
const UNCERTAINTY: &str = "src/hlc/read_uncertainty.rs";
const MARK: &str = "src/hlc/high_water_mark.rs";
const REGISTER: &str = "src/hlc/register.rs";

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
            from: "if self.may_be_a_commit(next) { None } else { Some(next) }",
            to: "Some(next)",
        }],
        caught_by: loom(&["loom_a_commit_stamp_is_never_an_ordinary_stamp"]),
    },
    Mutant {
        name: "committer-looks-by-a-load",
        breaks: Promise("stamps of one node are never repeated, and in order"),
        harm: "a stamp and a commit that know nothing of each other are the same",
        changes: &[Change {
            file: REGISTER,
            from: "(self.last.0.fetch_max(last, Ordering::AcqRel) < stamp).then_some(stamp)",
            to: "(self.last.0.load(Ordering::Acquire) < stamp).then_some(stamp)",
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
            file: HLC,
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
            file: HLC,
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
            file: HLC,
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
            file: MARK,
            from: "match record.advance(to) {",
            to: "match Ok::<(), RecordError>(()) {",
        }],
        caught_by: file(
            "hlc_durable",
            &["after_a_restart_stamps_are_above_all_before_whatever_the_clock_reads"],
        ),
    },
    Mutant {
        name: "mark-announced-when-the-disk-fails",
        breaks: Promise("what was issued before a crash is not issued after it"),
        harm: "a node goes on beyond its mark when the disk is full",
        changes: &[Change {
            file: MARK,
            from: "Err(_) if next <= reserved => {",
            to: "Err(_) => {
                let reserved = reserved.max(next);",
        }],
        caught_by: file("hlc_durable", &["when_the_disk_fails_no_stamp_above_the_mark_is_issued"]),
    },
    Mutant {
        name: "restart-below-the-mark",
        breaks: Promise("what was issued before a crash is not issued after it"),
        harm: "a restarted node begins at its clock, which may be behind what it has issued",
        changes: &[Change {
            file: HLC,
            from: "let register = Register::new(floor);
        register.set_reserved(floor, floor);",
            to: "let register = Register::new(0);
        register.set_reserved(floor, 0);",
        }],
        caught_by: file(
            "hlc_durable",
            &["after_a_restart_stamps_are_above_all_before_whatever_the_clock_reads"],
        ),
    },
];
