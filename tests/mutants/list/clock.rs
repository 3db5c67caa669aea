//! What the clock does around a sample: suspends, the counter's check, forks.

use crate::mutant::Broken::Rule;
use crate::mutant::{Mutant, unit};
use crate::patched::Change;

const CORE: &str = "src/clock/core.rs";
const DRIVER: &str = "src/clock/driver.rs";
const HOST: &str = "src/host/mod.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "suspend-not-looked-for",
        breaks: Rule(6),
        harm: "what was known before a suspend is carried on after it",
        changes: &[Change {
            file: DRIVER,
            from: "match requests.was_suspended(self.host()) {",
            to: "match requests.was_suspended(self.host()).map(|_| false) {",
        }],
        caught_by: unit(&[
            "a_suspend_voids_what_was_known_until_a_source_states_a_bound_again",
            "evidence_from_before_a_suspend_is_refused_however_late_it_arrives",
        ]),
    },
    Mutant {
        name: "suspend-noticed-after-the-sources",
        breaks: Rule(6),
        harm: "while a source blocks, readers see a bound from before a suspend",
        changes: &[Change {
            file: DRIVER,
            from: "let _ = self.apply_invalidations(context);
",
            to: "",
        }],
        caught_by: unit(&[
            "while_a_source_is_sampled_no_reader_sees_a_bound_from_before_a_suspend",
        ]),
    },
    Mutant {
        name: "nothing-checked-after-a-sample",
        breaks: Rule(6),
        harm: "a sample during which the host slept, or the counter failed, is believed",
        changes: &[Change {
            file: DRIVER,
            from: "self.apply_invalidations(context).map_err(SampleError::Invalidated)?;
",
            to: "",
        }],
        caught_by: unit(&[
            "a_suspend_while_a_source_is_sampled_voids_the_sample",
            "a_counter_that_fails_while_a_source_is_sampled_voids_the_sample",
        ]),
    },
    Mutant {
        name: "childs-driver-is-its-parents",
        breaks: Rule(6),
        harm: "a forked child waits for a thread that does not exist in it",
        changes: &[Change {
            file: CORE,
            from: "while process.pid != pid {",
            to: "while process.pid != pid && pid == 0 {",
        }],
        caught_by: unit(&[
            "a_child_whose_parent_was_in_the_middle_of_a_round_goes_on_without_waiting_for_it",
        ]),
    },
    Mutant {
        name: "child-resumes-from-nothing",
        breaks: Rule(6),
        harm: "a forked child has no reading until its own sources state a bound, and begins in epoch 0 again",
        changes: &[Change {
            file: CORE,
            from: "driver.resume_from(&self.snapshot());",
            to: "let _ = &mut driver;",
        }],
        caught_by: unit(&[
            "a_child_that_lost_its_parents_driver_resumes_from_what_the_parent_published",
        ]),
    },
    Mutant {
        name: "counter-not-checked",
        breaks: Rule(9),
        harm: "a counter that no longer counts as it did is trusted",
        changes: &[Change {
            file: DRIVER,
            from: "match self.calibration.check() {",
            to: "match Ok::<(), CounterError>(()) {",
        }],
        caught_by: unit(&["a_counter_that_fails_is_given_up_and_what_was_known_is_kept"]),
    },
    Mutant {
        name: "clock-of-suspends-that-fails-shows-none",
        breaks: Rule(10),
        harm: "where the clock that shows suspends cannot be read, a suspend goes unseen",
        changes: &[Change {
            file: HOST,
            from: "Err(error) if error.is_unsupported() => Ok(None),
        Err(error) => Err(error),",
            to: "Err(_) => Ok(None),",
        }],
        caught_by: unit(&["a_clock_that_may_not_be_read_ends_readings_and_is_named_in_the_report"]),
    },
];
