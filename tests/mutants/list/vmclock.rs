//! What the hypervisor's VMClock shows: moves of the machine, and the time.

use crate::mutant::Broken::Rule;
use crate::mutant::{Mutant, loom, sim, unit};
use crate::patched::Change;

const AFTER_MOVE: &str = "src/source/after_move.rs";
const CORE: &str = "src/clock/core.rs";
const DRIVER: &str = "src/clock/driver.rs";
const KERNEL: &str = "src/source/kernel.rs";
const PAGE: &str = "src/host/vmclock.rs";
const PUBLISHED: &str = "src/snapshot/published.rs";
const SOURCE: &str = "src/source/vmclock.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "marker-not-compared-in-now",
        breaks: Rule(6),
        harm: "after a migration now() is wrong by all the time that it took",
        changes: &[Change {
            file: CORE,
            from: "let tick = self.host.ticks_fenced();
        if self.published.is_disrupted_since(marker) {",
            to: "let tick = self.host.ticks_fenced();
        if marker == u64::MAX {",
        }],
        caught_by: unit(&["a_machine_that_was_moved_has_no_reading_until_it_is_sampled_again"]),
    },
    Mutant {
        name: "marker-not-compared-in-earliest",
        breaks: Rule(6),
        harm: "after a migration earliest() is wrong where the other host's counter is ahead",
        changes: &[Change {
            file: CORE,
            from: "let tick = self.host.ticks_unordered();
        if self.published.is_disrupted_since(marker) {",
            to: "let tick = self.host.ticks_unordered();
        if marker == u64::MAX {",
        }],
        caught_by: unit(&["a_machine_that_was_moved_has_no_reading_until_it_is_sampled_again"]),
    },
    Mutant {
        name: "marker-not-compared-on-the-raw-clock",
        breaks: Rule(6),
        harm: "a clock on CLOCK_MONOTONIC_RAW is wrong after a migration",
        changes: &[Change {
            file: CORE,
            from: "let tick = snapshot.counter().read_ordered(&self.host).map_err(denied)?;
        if self.published.is_disrupted_since(marker) {",
            to: "let tick = snapshot.counter().read_ordered(&self.host).map_err(denied)?;
        if marker == u64::MAX {",
        }],
        caught_by: unit(&["a_machine_that_was_moved_has_no_reading_until_it_is_sampled_again"]),
    },
    Mutant {
        name: "marker-compared-before-the-counter",
        breaks: Rule(6),
        harm: "a machine that is moved between the two gives a wrong reading",
        changes: &[Change {
            file: CORE,
            from: "let tick = self.host.ticks_fenced();
        if self.published.is_disrupted_since(marker) {
            return self.read_again();
        }",
            to: "if self.published.is_disrupted_since(marker) {
            return self.read_again();
        }
        let tick = self.host.ticks_fenced();",
        }],
        caught_by: unit(&["a_machine_that_is_moved_during_a_reading_gives_none"]),
    },
    Mutant {
        name: "marker-not-compared-in-the-status",
        breaks: Rule(6),
        harm: "the status is synchronised while no reading is to be had",
        changes: &[Change {
            file: CORE,
            from: "if self.published.is_disrupted_since(marker) {
            self.wake_sampler();
            return Status::",
            to: "if marker == u64::MAX {
            self.wake_sampler();
            return Status::",
        }],
        caught_by: unit(&["a_machine_that_was_moved_has_no_reading_until_it_is_sampled_again"]),
    },
    Mutant {
        name: "disruption-wakes-nobody",
        breaks: Rule(6),
        harm: "after a migration there is no reading until the next poll, which may be an hour away",
        changes: &[Change {
            file: CORE,
            from: "            wake();\n",
            to: "            let _ = wake;\n",
        }],
        caught_by: unit(&["a_reader_that_finds_a_disruption_wakes_the_sampler"]),
    },
    Mutant {
        name: "new-marker-before-the-empty-snapshot",
        breaks: Rule(6),
        harm: "a reader accepts evidence of the old machine under the new one's marker",
        changes: &[Change {
            file: PUBLISHED,
            from: "self.publish(nothing); // [M4]
        self.marker.store(marker, Ordering::Release); // [M5], pairs with [M1]",
            to: "self.marker.store(marker, Ordering::Release);
        self.publish(nothing);",
        }],
        caught_by: loom(&["loom_marked_a_reader_accepts_no_evidence_from_before_a_disruption"]),
    },
    Mutant {
        name: "marker-loaded-after-the-snapshot",
        breaks: Rule(6),
        harm: "a reader holds an old snapshot against the new marker",
        changes: &[Change {
            file: PUBLISHED,
            from: "let marker = self.marker.load(Ordering::Acquire); // [M1], pairs with [M5]
        (marker, read(&self.ring)) // [M2]",
            to: "let words = read(&self.ring);
        (self.marker.load(Ordering::Acquire), words)",
        }],
        caught_by: loom(&["loom_marked_a_reader_accepts_no_evidence_from_before_a_disruption"]),
    },
    Mutant {
        name: "sample-kept-over-a-move",
        breaks: Rule(6),
        harm: "a sample whose end was on another machine is published",
        changes: &[
            Change {
                file: DRIVER,
                from: "if context.published.is_disrupted() {
            return Err(Invalidation::Disrupted);
        }",
                to: "",
            },
            Change {
                file: DRIVER,
                from: "if context.requests.are_pending() || context.published.is_disrupted() {",
                to: "if context.requests.are_pending() {",
            },
        ],
        caught_by: unit(&["a_sample_during_which_the_machine_was_moved_is_dropped"]),
    },
    Mutant {
        name: "move-begins-anew-under-the-old-marker",
        breaks: Rule(6),
        harm: "after one migration there is no reading any more",
        changes: &[Change {
            file: CORE,
            from: "self.published.begin(marker, self.nothing(Reason::Disrupted));",
            to: "let _ = marker;",
        }],
        caught_by: unit(&["a_machine_that_was_moved_has_no_reading_until_it_is_sampled_again"]),
    },
    Mutant {
        name: "slow-page-in-every-reading",
        breaks: Rule(4),
        harm: "where the hypervisor maps the page uncached, each reading takes a microsecond",
        changes: &[Change {
            file: "src/clock/vmclock.rs",
            from: "self.load_ns.is_some_and(|ns| ns <= SLOWEST_LOAD_NS)",
            to: "self.load_ns.is_some()",
        }],
        caught_by: unit(&["a_page_that_is_slow_to_read_is_left_to_the_sampler"]),
    },
    Mutant {
        name: "sources-not-told-of-a-move",
        breaks: Rule(6),
        harm: "the kernel's bound is believed although its daemon has not noticed the migration",
        changes: &[Change {
            file: DRIVER,
            from: "            slot.disrupted();\n",
            to: "            let _ = slot;\n",
        }],
        caught_by: unit(&[
            "each_source_is_told_and_one_that_panics_does_no_harm",
            "a_daemon_that_was_moved_with_its_machine_is_believed_after_several_updates",
        ]),
    },
    Mutant {
        name: "kernel-believed-after-a-move",
        breaks: Rule(3),
        harm: "a daemon that has not noticed the migration is believed",
        changes: &[Change {
            file: KERNEL,
            from: "self.after_move = Some(AfterMove::default());",
            to: "",
        }],
        caught_by: unit(&[
            "a_daemon_that_was_moved_with_its_machine_is_believed_after_several_updates",
        ]),
    },
    Mutant {
        name: "report-alone-believed-after-a-move",
        breaks: Rule(3),
        harm: "where adjtimex is denied, a chronyd that has not noticed the migration is believed",
        changes: &[Change { file: KERNEL, from: "self.chrony_alone.disrupted();", to: "" }],
        caught_by: unit(&["after_a_move_of_the_machine_the_report_counts_after_many_updates"]),
    },
    Mutant {
        name: "step-taken-for-a-daemons-start",
        breaks: Rule(3),
        harm: "after a migration and a step by another program the daemon's next word is believed",
        changes: &[Change {
            file: AFTER_MOVE,
            from: "        if was_stepped {",
            to: "        if was_stepped && has_bound {",
        }],
        caught_by: unit(&["a_step_takes_the_bound_away_too_and_proves_nothing"]),
    },
    Mutant {
        name: "new-sources-forget-the-move",
        breaks: Rule(6),
        harm: "after a fork the kernel's bound is believed although its daemon was moved",
        changes: &[Change {
            file: CORE,
            from: "self.was_moved.store(true, Ordering::SeqCst);",
            to: "",
        }],
        caught_by: unit(&[
            "sources_that_are_made_after_a_move_do_not_believe_a_daemon_that_was_moved",
        ]),
    },
    Mutant {
        name: "page-read-while-it-is-written",
        breaks: Rule(10),
        harm: "fields of two updates become one interval",
        changes: &[Change {
            file: PAGE,
            from: "if sequence() == before {",
            to: "if before % 2 == 0 {",
        }],
        caught_by: unit(&["a_page_that_is_being_written_is_read_again_and_not_for_ever"]),
    },
    Mutant {
        name: "unfinished-page-is-read",
        breaks: Rule(10),
        harm: "a hypervisor that was stopped in the middle of an update gives half of one",
        changes: &[Change {
            file: PAGE,
            from: "if before % 2 == 0 {",
            to: "if before < u32::MAX {",
        }],
        caught_by: unit(&[
            "a_page_that_is_being_written_is_read_again_and_not_for_ever",
            "a_page_that_states_no_bound_is_refused_with_the_reason",
        ]),
    },
    Mutant {
        name: "status-not-looked-at",
        breaks: Rule(3),
        harm: "a hypervisor that says that its clock is unknown or unreliable is believed",
        changes: &[Change {
            file: SOURCE,
            from: "if !matches!(fields.status, SYNCHRONIZED | FREE_RUNNING) {",
            to: "if fields.status > 4 {",
        }],
        caught_by: unit(&["a_page_that_states_no_bound_is_refused_with_the_reason"]),
    },
    Mutant {
        name: "error-flags-not-looked-at",
        breaks: Rule(3),
        harm: "numbers that the hypervisor does not call maximum errors are taken for bounds",
        changes: &[Change {
            file: SOURCE,
            from: "if fields.flags & needed != needed {",
            to: "if needed == 0 {",
        }],
        caught_by: unit(&["a_page_that_states_no_bound_is_refused_with_the_reason"]),
    },
    Mutant {
        name: "drift-rounded-down",
        breaks: Rule(1),
        harm: "the interval is a nanosecond too narrow",
        changes: &[Change {
            file: SOURCE,
            from: "let drifted_ns = nanos_up(",
            to: "let drifted_ns = nanos_down(",
        }],
        caught_by: unit(&["the_smallest_drift_is_rounded_up_to_a_nanosecond"]),
    },
    Mutant {
        name: "page-does-not-age",
        breaks: Rule(1),
        harm: "a page that is no longer updated is believed as if it were of now",
        changes: &[Change {
            file: SOURCE,
            from: "i128::from(fields.time_max_error_ns) + drifted_ns;",
            to: "i128::from(fields.time_max_error_ns) + drifted_ns.min(0);",
        }],
        caught_by: unit(&[
            "the_interval_is_what_the_page_states_at_the_counter_that_was_read",
            "the_smallest_drift_is_rounded_up_to_a_nanosecond",
        ]),
    },
    Mutant {
        name: "moves-not-noticed-in-worlds",
        breaks: Rule(6),
        harm: "machines that are moved read a time that is wrong by minutes",
        changes: &[Change {
            file: PUBLISHED,
            from: "self.shown.load() != marker // [M3]",
            to: "self.shown.load() == u64::MAX && marker == 0",
        }],
        caught_by: sim("sim", &["no_reading_misses_in_worlds_whose_machines_are_moved"]),
    },
];
