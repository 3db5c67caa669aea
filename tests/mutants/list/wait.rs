//! Waiting: commit-wait, its plan, and the batch that one wait releases.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, unit};
use crate::patched::Change;

const PLANNER: &str = "src/wait/planner.rs";
const BLOCKING: &str = "src/wait/blocking.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "wait-for-synchronization-is-busy",
        breaks: Promise("a wait costs little"),
        harm: "a task that waits for a source takes a whole processor",
        changes: &[Change {
            file: "src/wait/clock.rs",
            from: "at.saturating_add(POLL_EVERY).min(deadline)",
            to: "at.min(deadline)",
        }],
        caught_by: unit(&[
            "a_task_that_waits_for_synchronization_reads_every_5_ms_and_not_more_often",
        ]),
    },
    Mutant {
        name: "timer-keeps-its-clock",
        breaks: Promise("a wait costs little"),
        harm: "a clock that was waited on once samples for as long as the process lives",
        changes: &[Change {
            file: "src/wait/clock.rs",
            from: "self.companion(|| Waiter::new(self.downgrade())).wait_async(t)",
            to: "{
            std::mem::forget(self.clone());
            self.companion(|| Waiter::new(self.downgrade())).wait_async(t)
        }",
        }],
        caught_by: unit(&["the_timer_of_a_clock_does_not_keep_it_and_its_clones_share_it"]),
    },
    Mutant {
        name: "commit-wait-skipped",
        breaks: Promise("a wait ends only after its moment has certainly passed"),
        harm: "a commit is seen before its stamp has passed",
        changes: &[Change {
            file: BLOCKING,
            from: "if clock.after(target) == Ok(true) {",
            to: "if clock.after(target).is_ok() {",
        }],
        caught_by: file(
            "wait",
            &["a_wait_ends_only_after_its_moment_has_passed_whatever_the_clock_does"],
        ),
    },
    Mutant {
        name: "sleep-is-trusted",
        breaks: Promise("a wait ends only after its moment has certainly passed"),
        harm: "the sleep's own clock may run fast, and the bound may have widened meanwhile",
        changes: &[Change {
            file: BLOCKING,
            from: "self.sleep(saturating_add(at, sleep), unparks, reading.is_ok());",
            to: "self.sleep(saturating_add(at, sleep), unparks, reading.is_ok());
                    if sleep < planner.max_sleep {
                        return Ok(self.passed(waited));
                    }",
        }],
        caught_by: file(
            "wait",
            &["a_wait_ends_only_after_its_moment_has_passed_whatever_the_clock_does"],
        ),
    },
    Mutant {
        name: "passed-when-reached",
        breaks: Promise("a wait ends only after its moment has certainly passed"),
        harm: "true time may be at the moment, and not after it",
        changes: &[Change {
            file: PLANNER,
            from: "if now.earliest() > target {",
            to: "if now.earliest() >= target {",
        }],
        caught_by: unit(&["each_case_has_its_step"]),
    },
    Mutant {
        name: "passed-at-the-midpoint",
        breaks: Promise("a wait ends only after its moment has certainly passed"),
        harm: "true time has reached the moment with a probability of a half",
        changes: &[Change {
            file: PLANNER,
            from: "if now.earliest() > target {",
            to: "if now.midpoint() > target {",
        }],
        caught_by: unit(&["each_case_has_its_step"]),
    },
    Mutant {
        name: "sleep-without-drift",
        breaks: Promise("a wait ends only after its moment has certainly passed"),
        harm: "a monotonic clock that runs slow sleeps past the moment",
        changes: &[Change {
            file: PLANNER,
            from: "let nanos = true_time.as_nanos() * u128::from(slowest) / u128::from(MILLION);",
            to: "let nanos = true_time.as_nanos() * u128::from(slowest.max(MILLION)) / u128::from(MILLION);",
        }],
        caught_by: unit(&[
            "each_case_has_its_step",
            "a_sleep_ends_before_the_moment_passes_however_the_clocks_drift",
        ]),
    },
];
