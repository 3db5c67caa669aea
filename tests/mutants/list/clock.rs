//! What the clock does around a sample: suspends, the counter's check, forks.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, unit};
use crate::patched::Change;

const CORE: &str = "src/clock/core.rs";
const DRIVER: &str = "src/clock/driver.rs";
const HOST: &str = "src/host/mod.rs";
const PER_PROCESS: &str = "src/fork/per_process.rs";
const PROCESS_KEY: &str = "src/host/process_key.rs";

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
            file: PER_PROCESS,
            from: "current.as_ref().filter(|owned| owned.process == process).cloned()",
            to: "current.as_ref().filter(|owned| process == process || owned.process == process).cloned()",
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
            from: "driver.resume_from(&self.published.read().1, record.drift_ppm, record.learning);",
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
    Mutant {
        name: "copies-of-the-process-not-told-apart",
        breaks: Rule(6),
        harm: "a child with its parent's process id believes that it has its parent's thread",
        changes: &[Change {
            file: PROCESS_KEY,
            from: "&& libc::madvise(page, LENGTH, MADV_WIPEONFORK) == 0",
            to: "",
        }],
        caught_by: unit(&[
            "every_copy_of_the_process_is_another_one_by_whichever_call_it_was_made",
        ]),
    },
    Mutant {
        name: "request-waits-for-a-round",
        breaks: Rule(6),
        harm: "readers use the old leap table, or a bound of the old host, for as long as a source blocks",
        changes: &[Change {
            file: CORE,
            from: "if self.requests.are_pending() {
            self.published.publish(self.nothing(why));
        }",
            to: "let _ = why;",
        }],
        caught_by: unit(&["a_request_takes_effect_for_readers_while_a_source_blocks"]),
    },
    Mutant {
        name: "void-evidence-published",
        breaks: Rule(6),
        harm: "a round that was under way at a restore publishes by the old counter",
        changes: &[Change {
            file: DRIVER,
            from: "if context.requests.are_pending() || context.published.is_disrupted() {",
            to: "if context.published.is_disrupted() {",
        }],
        caught_by: unit(&["a_request_takes_effect_for_readers_while_a_source_blocks"]),
    },
    Mutant {
        name: "restored-keeps-the-calibration",
        breaks: Rule(9),
        harm: "the counter of another host is compared with the old one, and given up",
        changes: &[Change {
            file: DRIVER,
            from: "        self.calibration = calibration;
        // What",
            to: "        drop(calibration);
        // What",
        }],
        caught_by: unit(&[
            "a_restored_process_reads_true_time_at_once_whatever_the_other_hosts_counter_shows",
        ]),
    },
    Mutant {
        name: "restored-keeps-the-operators-statement",
        breaks: Rule(6),
        harm: "a statement about one host's wall clock is used on another",
        changes: &[Change {
            file: DRIVER,
            from: "assumed.end(beginning.what());",
            to: "let _ = assumed;",
        }],
        caught_by: unit(&["a_restore_ends_the_operators_statement"]),
    },
    Mutant {
        name: "restored-keeps-its-sources",
        breaks: Rule(6),
        harm: "what a source remembers of the old host decides on the new one",
        changes: &[Change { file: DRIVER, from: "*slot = new;", to: "let _ = (slot, new);" }],
        caught_by: unit(&[
            "a_restored_process_forgets_what_its_own_sources_remember_of_the_old_host",
        ]),
    },
    Mutant {
        name: "namespace-taken-for-a-suspend",
        breaks: Rule(6),
        harm: "in a time namespace a suspend is hidden, or one that never was is seen",
        changes: &[Change {
            file: HOST,
            from: "shown.saturating_sub(host.time_namespace().excess_ns())",
            to: "shown",
        }],
        caught_by: unit(&["a_time_namespace_is_neither_a_suspend_nor_hides_one"]),
    },
    Mutant {
        name: "holdover-of-a-source-ignored",
        breaks: Promise("a clock that nothing corrects any more is in holdover"),
        harm: "the kernel's bound still holds after its daemon has died, and the clock is called synchronised",
        changes: &[Change {
            file: DRIVER,
            from: "let is_updated_now = slot.condition.holdover.is_none();",
            to: "let is_updated_now = slot.condition.holdover.is_none() || true;",
        }],
        caught_by: unit(&["a_source_in_holdover_makes_the_clock_holdover_and_the_report_says_why"]),
    },
    Mutant {
        name: "drift-of-a-source-ignored",
        breaks: Rule(9),
        harm: "the daemon corrects 250 ppm, and bounds are carried by 200",
        changes: &[Change {
            file: DRIVER,
            from: "filter_map(|condition| condition.drift_ppm).max();",
            to: "filter_map(|condition| condition.drift_ppm.filter(|_| false)).max();",
        }],
        caught_by: unit(&[
            "an_oscillator_beyond_a2_widens_the_pace_and_what_was_carried_before_is_dropped",
        ]),
    },
    Mutant {
        name: "wider-drift-keeps-what-was-carried",
        breaks: Rule(9),
        harm: "a bound that was carried by a rate which is refuted is used further",
        changes: &[Change {
            file: DRIVER,
            from: "self.estimator.widen_rates(tick, rates, granularity_ns);",
            to: "let _ = (tick, granularity_ns);\n        self.estimator.set_rates(rates);",
        }],
        caught_by: unit(&[
            "an_oscillator_beyond_a2_widens_the_pace_and_what_was_carried_before_is_dropped",
        ]),
    },
    Mutant {
        name: "child-forgets-the-drift",
        breaks: Rule(9),
        harm: "the child of a fork carries bounds by A2, which its parent has seen refuted",
        changes: &[Change {
            file: DRIVER,
            from: "clamp(self.least_drift_ppm, LARGEST_DRIFT_PPM)",
            to: "clamp(self.limits.max_drift_ppm, LARGEST_DRIFT_PPM)",
        }],
        caught_by: unit(&[
            "a_child_that_lost_its_driver_carries_bounds_by_the_drift_that_its_parent_was_shown",
        ]),
    },
    Mutant {
        name: "update-interval-not-passed-on",
        breaks: Rule(7),
        harm: "the right side of a contradiction is given up before the daemon has found out",
        changes: &[Change {
            file: DRIVER,
            from: "self.estimator.set_update_interval(interval);",
            to: "let _ = interval;",
        }],
        caught_by: unit(&["the_update_interval_of_a_source_sets_how_long_a_contradiction_is_held"]),
    },
    Mutant {
        name: "raw-clock-stopped-and-used",
        breaks: Rule(10),
        harm: "the raw clock stands still, and with it the interval",
        changes: &[Change {
            file: DRIVER,
            from: "self.forget(Reason::CounterStopped);\n                Err(Invalidation::RawClockStopped)",
            to: "Ok(())",
        }],
        caught_by: unit(&["a_raw_clock_that_stands_still_ends_readings_on_any_counter"]),
    },
];
