//! How samples become one bound: contradictions, epochs, and what is forgotten.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, unit};
use crate::patched::Change;

const COUNTER: &str = "src/counter/calibration.rs";
const ESTIMATOR: &str = "src/estimator/mod.rs";
const MOVEMENT: &str = "src/counter/movement.rs";
const RATE: &str = "src/estimator/rate.rs";
const REFINE: &str = "src/estimator/refine.rs";
const DRIVER: &str = "src/clock/driver.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "sample-from-the-future",
        breaks: Rule(2),
        harm: "a source that returns a counter reading to come makes each reading until then an error",
        changes: &[Change {
            file: ESTIMATOR,
            from: "if sample.before == 0 || sample.after > tick {",
            to: "if sample.before == 0 {",
        }],
        caught_by: unit(&["what_is_malformed_changes_nothing"]),
    },
    Mutant {
        name: "sample-from-before-a-suspend",
        breaks: Rule(6),
        harm: "a sample that was taken before the host slept is carried over the sleep",
        changes: &[Change {
            file: ESTIMATOR,
            from: "if sample.before < self.valid_from {",
            to: "if false {",
        }],
        caught_by: unit(&["after_a_suspend_nothing_is_left_and_an_epoch_begins"]),
    },
    Mutant {
        name: "suspend-keeps-the-bound",
        breaks: Rule(6),
        harm: "what was known before a suspend is read after it",
        changes: &[Change {
            file: ESTIMATOR,
            from: "if self.fused.take().is_some() {",
            to: "if self.fused.is_some() {",
        }],
        caught_by: unit(&["after_a_suspend_nothing_is_left_and_an_epoch_begins"]),
    },
    Mutant {
        name: "learnt-rate-does-not-end",
        breaks: Rule(6),
        harm: "a rate is used for longer than the two hours for which it is known",
        changes: &[Change {
            file: RATE,
            from: "estimate.until.min(anchor.since.saturating_add(window));",
            to: "estimate.until.min(anchor.since.saturating_add(window).max(u64::MAX));",
        }],
        caught_by: unit(&["what_is_learnt_ends_two_hours_after_the_oldest_sample_it_rests_on"]),
    },
    Mutant {
        name: "counter-changed-at-a-newer-bound",
        breaks: Rule(6),
        harm: "a bound is carried back over a time in which its counter was not compared",
        changes: &[Change {
            file: ESTIMATOR,
            from: "let known = bound.origin <= from.0;",
            to: "let known = bound.origin <= from.0.max(bound.origin);",
        }],
        caught_by: unit(&["another_counter_takes_over_what_was_known"]),
    },
    Mutant {
        name: "counter-changed-at-one-tick",
        breaks: Rule(6),
        harm: "the new counter's reading was somewhere in the old one's bracket, not at its beginning",
        changes: &[Change {
            file: ESTIMATOR,
            from: "bound.carried_to(from.1.max(bound.origin), &old_rates)?",
            to: "bound.carried_to(from.0.max(bound.origin), &old_rates)?",
        }],
        caught_by: unit(&["another_counter_takes_over_what_was_known"]),
    },
    Mutant {
        name: "contradiction-swallowed",
        breaks: Rule(7),
        harm: "a source that was wrong is never reported",
        changes: &[Change {
            file: ESTIMATOR,
            from: "self.contradict(old, stated);
        self.remember(source, stated);
        Fused::Contradicts",
            to: "self.fused = Some(sampled);
        Fused::Agrees",
        }],
        caught_by: unit(&["a_contradiction_covers_both_sides_and_begins_an_epoch"]),
    },
    Mutant {
        name: "newest-wins",
        breaks: Rule(7),
        harm: "of two sides that contradict each other the newer is believed",
        changes: &[Change {
            file: ESTIMATOR,
            from: "(Some(fused), Some(other)) => Some(self.hull(fused, other.bound)),",
            to: "(Some(fused), Some(_)) => Some(fused),",
        }],
        caught_by: unit(&["a_contradiction_covers_both_sides_and_begins_an_epoch"]),
    },
    Mutant {
        name: "hold-of-zero",
        breaks: Rule(7),
        harm: "the older side of a contradiction is given up at once",
        changes: &[Change {
            file: ESTIMATOR,
            from: "let until = self.hold_until(new.origin, self.hold);",
            to: "let until = new.origin;",
        }],
        caught_by: unit(&[
            "a_contradiction_covers_both_sides_and_begins_an_epoch",
            "the_older_side_is_given_up_when_the_newer_has_stood_for_the_hold",
        ]),
    },
    Mutant {
        name: "epoch-kept-at-a-contradiction",
        breaks: Rule(7),
        harm: "a caller is not told that its earlier timestamps may be impossible",
        changes: &[Change {
            file: ESTIMATOR,
            from: "_ => {
                self.epoch = self.epoch.wrapping_add(1);",
            to: "_ => {",
        }],
        caught_by: unit(&["a_contradiction_covers_both_sides_and_begins_an_epoch"]),
    },
    Mutant {
        name: "epoch-kept-after-a-suspend",
        breaks: Rule(7),
        harm: "stamps from before a suspend look like stamps of now",
        changes: &[Change {
            file: ESTIMATOR,
            from: "if self.fused.take().is_some() {
            self.epoch = self.epoch.wrapping_add(1);",
            to: "if self.fused.take().is_some() {
            self.epoch = self.epoch.wrapping_add(0);",
        }],
        caught_by: unit(&["after_a_suspend_nothing_is_left_and_an_epoch_begins"]),
    },
    Mutant {
        name: "rate-change-not-noticed",
        breaks: Rule(9),
        harm: "a rate that the samples have refuted is used further",
        changes: &[
            Change {
                file: RATE,
                from: "Some(before) => before.intersect(allowed).ok_or(Refuted)?,",
                to: "Some(before) => before.intersect(allowed).unwrap_or(before),",
            },
            Change {
                file: RATE,
                from: "estimate.rates.intersect(allowed).ok_or(Refuted)?",
                to: "estimate.rates.intersect(allowed).unwrap_or(estimate.rates)",
            },
        ],
        caught_by: unit(&["a_rate_that_changed_by_more_than_the_allowance_is_noticed"]),
    },
    Mutant {
        name: "old-means-count-for-ever",
        breaks: Rule(6),
        harm: "means of hours ago limit the rate of today",
        changes: &[Change {
            file: RATE,
            from: "self.anchors.retain(|anchor| anchor.since.saturating_add(memory) > tick);",
            to: "self.anchors.retain(|anchor| anchor.since.saturating_add(memory) > tick || true);",
        }],
        caught_by: unit(&["what_is_learnt_ends_two_hours_after_the_oldest_sample_it_rests_on"]),
    },
    Mutant {
        name: "merged-anchor-counts-as-new",
        breaks: Rule(6),
        harm: "what a sample of two hours ago has shown is used for as long as newer ones are merged into it",
        changes: &[Change {
            file: RATE,
            from: "            self.bound = later.bound;",
            to: "            self.bound = later.bound;\n            self.since = later.since;",
        }],
        caught_by: unit(&["what_rests_on_a_sample_ends_with_it_whatever_takes_its_place"]),
    },
    Mutant {
        name: "wander-refuted-by-nothing",
        breaks: Rule(9),
        harm: "a sample that the learnt rate excludes is overlooked, and readings stay wrong",
        changes: &[Change {
            file: REFINE,
            from: "            _ => {
                self.refutations += 1;",
            to: "            (None, Ok(_)) => Ok(()),
            _ => {
                self.refutations += 1;",
        }],
        caught_by: unit(&[
            "a_sample_that_the_learnt_rate_excludes_refutes_a3_though_all_means_agree",
        ]),
    },
    Mutant {
        name: "refuted-wander-not-widened",
        breaks: Rule(9),
        harm: "an oscillator that strays further than assumed makes readings wrong again and again",
        changes: &[Change {
            file: REFINE,
            from: "            self.learner.widen();",
            to: "            self.learner.forget();",
        }],
        caught_by: unit(&["a_rate_that_strays_further_refutes_a3_and_no_source"]),
    },
    Mutant {
        name: "refuted-wander-in-the-same-epoch",
        breaks: Rule(7),
        harm: "readings since the rate changed may have been wrong, and nobody is told",
        changes: &[Change {
            file: ESTIMATOR,
            from: "if shown.is_some_and(|shown| shown.estimate.is_learnt()) {",
            to: "if shown.is_some_and(|shown| shown.estimate.is_learnt() && false) {",
        }],
        caught_by: unit(&["a_rate_that_strays_further_refutes_a3_and_no_source"]),
    },
    Mutant {
        name: "learnt-from-both-sides",
        breaks: Rule(7),
        harm: "while one of two sides is wrong, readings are narrowed by a rate that may be of it",
        changes: &[
            Change {
                file: ESTIMATOR,
                from: "        if self.conflicting.is_some() {
            return;
        }",
                to: "",
            },
            Change {
                file: ESTIMATOR,
                from: "let refined = if self.is_contradicted() { None } else { self.refined(tick) };",
                to: "let refined = self.refined(tick);",
            },
        ],
        caught_by: unit(&["nothing_is_learnt_while_both_sides_of_a_contradiction_are_published"]),
    },
    Mutant {
        name: "learnt-rate-outlives-a-suspend",
        breaks: Rule(6),
        harm: "what was learnt before the host slept is used after it",
        changes: &[Change {
            file: REFINE,
            from: "        self.learner.forget();
        self.refined = None;",
            to: "        self.learner.forget();",
        }],
        caught_by: unit(&["what_was_learnt_ends_with_a_suspend"]),
    },
    Mutant {
        name: "moved-machine-keeps-the-refuted-wander",
        breaks: Promise("on another machine the assumptions are those that were set"),
        harm: "after one move every later host's readings are wider than they need be",
        changes: &[Change {
            file: DRIVER,
            from: "        self.estimator.learn_anew(self.limits.max_wander_ppm);",
            to: "",
        }],
        caught_by: unit(&["another_machine_begins_with_what_was_set"]),
    },
    Mutant {
        name: "child-forgets-the-refuted-wander",
        breaks: Rule(9),
        harm: "the child of a fork assumes again what its parent has seen refuted",
        changes: &[Change {
            file: DRIVER,
            from: "            self.estimator.learn_anew(wander_ppm);",
            to: "            let _ = wander_ppm;",
        }],
        caught_by: unit(&["a_child_that_lost_its_driver_keeps_what_was_refuted"]),
    },
    Mutant {
        name: "cross-check-against-a2-alone",
        breaks: Rule(9),
        harm: "a cross-check that excludes what readers are shown is overlooked",
        changes: &[
            Change {
                file: ESTIMATOR,
                from: "let newer_side = refined.map(|refined| refined.bound).or(self.fused);",
                to: "let newer_side = self.fused;",
            },
            Change {
                file: ESTIMATOR,
                from: "let rates = refined.map_or(self.base, |refined| refined.estimate.rates);",
                to: "let rates = refined.map_or(self.base, |_| self.base);",
            },
        ],
        caught_by: unit(&["what_is_learnt_is_held_against_cross_checks"]),
    },
    Mutant {
        name: "counter-rate-not-compared",
        breaks: Rule(9),
        harm: "a counter whose rate has changed is trusted",
        changes: &[Change {
            file: COUNTER,
            from: "self.ratio = self.ratio.intersect(seen).ok_or(CounterError::RateChanged)?;",
            to: "self.ratio = self.ratio.intersect(seen).unwrap_or(self.ratio);",
        }],
        caught_by: unit(&["a_counter_that_fails_is_noticed"]),
    },
    Mutant {
        name: "counter-backwards-not-noticed",
        breaks: Rule(9),
        harm: "a counter that ran backwards is trusted",
        changes: &[Change {
            file: COUNTER,
            from: "if now.before < self.last_good.before || now.after < now.before {",
            to: "if false {",
        }],
        caught_by: unit(&["a_counter_that_fails_is_noticed"]),
    },
    Mutant {
        name: "tick-of-zero-accepted",
        breaks: Rule(10),
        harm: "a sample whose counter could not be read is taken for one of the boot",
        changes: &[Change {
            file: ESTIMATOR,
            from: "if sample.before == 0 || sample.after > tick {",
            to: "if sample.after > tick {",
        }],
        caught_by: unit(&["what_is_malformed_changes_nothing"]),
    },
    Mutant {
        name: "third-side-forgotten",
        breaks: Rule(7),
        harm: "of three sources that contradict each other the first is no longer covered",
        changes: &[Change {
            file: ESTIMATOR,
            from: "self.conflicting.map_or(old, |other| self.hull(other.bound, old))",
            to: "self.conflicting.map_or(old, |_| old)",
        }],
        caught_by: unit(&["of_three_sides_that_contradict_each_other_none_is_forgotten"]),
    },
    Mutant {
        name: "published-bound-not-compared",
        breaks: Rule(7),
        harm: "a bound that lies outside of the published one begins no epoch",
        changes: &[Change {
            file: ESTIMATOR,
            from: "let bound = known.map(|bound| self.within_published(bound));",
            to: "let bound = known;",
        }],
        caught_by: unit(&["a_contradiction_covers_both_sides_and_begins_an_epoch"]),
    },
    Mutant {
        name: "published-bound-exceeded-by-a-rounding",
        breaks: Rule(7),
        harm: "a newer reading lies a nanosecond outside of an older one, within one epoch",
        changes: &[Change {
            file: ESTIMATOR,
            from: "Some(time) if is_rounding || !is_disputed => Bound { time, ..bound },",
            to: "Some(_) if is_rounding || !is_disputed => bound,",
        }],
        caught_by: unit(&[
            "a_bound_that_was_carried_in_more_steps_is_not_wider_than_the_published_one",
        ]),
    },
    Mutant {
        name: "epoch-kept-at-another-counter",
        breaks: Rule(7),
        harm: "readings since the last good comparison may have been wrong, and nobody is told",
        changes: &[Change {
            file: ESTIMATOR,
            from: "self.epoch = self.epoch.wrapping_add(1);
        self.unlearn();",
            to: "self.unlearn();",
        }],
        caught_by: unit(&["a_counter_that_fails_is_given_up_and_what_was_known_is_kept"]),
    },
    Mutant {
        name: "hold-not-longer-than-a-minute",
        breaks: Rule(7),
        harm: "at a poll of 64 s the right side of a contradiction is given up at the daemon's first update",
        changes: &[Change {
            file: ESTIMATOR,
            from: "self.hold = updates.max(SHORTEST_HOLD);",
            to: "self.hold = updates.min(SHORTEST_HOLD).max(SHORTEST_HOLD);",
        }],
        caught_by: unit(&["a_contradiction_is_held_for_several_updates_of_the_sources"]),
    },
    Mutant {
        name: "newer-side-keeps-what-was-taken-back",
        breaks: Rule(7),
        harm: "what a source stated wrongly, and corrected since, stays in the intersection",
        changes: &[Change {
            file: ESTIMATOR,
            from: "Some(_) => self.newer_side(source, only_stated),",
            to: "Some(_) => {
                self.newer_side(source, only_stated).and(old.time.intersect(&only_stated.time))
            }",
        }],
        caught_by: unit(&["what_a_source_has_taken_back_is_not_part_of_the_newer_side"]),
    },
    Mutant {
        name: "older-side-given-up-in-silence",
        breaks: Rule(7),
        harm: "a false side is published alone, although its source has fallen silent",
        changes: &[Change {
            file: ESTIMATOR,
            from: "        let known = match (self.fused, self.conflicting)",
            to: "        self.give_up_conflicting(tick);
        let known = match (self.fused, self.conflicting)",
        }],
        caught_by: unit(&["while_no_source_speaks_for_the_newer_side_the_older_is_kept"]),
    },
    Mutant {
        name: "overlooked-step-believed-away",
        breaks: Rule(7),
        harm: "where what is known excludes the daemon's statement, a step is taken for the reason",
        changes: &[Change {
            file: ESTIMATOR,
            from: "None => old.time.intersect(&new.time).filter(|_| is_possible),",
            to: "None => old.time.intersect(&new.time),",
        }],
        caught_by: unit(&["a_step_that_its_author_may_overlook_is_covered_or_a_contradiction"]),
    },
    Mutant {
        name: "overlooked-step-forgotten-with-the-hold",
        breaks: Rule(7),
        harm: "the right side is given up while the daemon still overlooks the step",
        changes: &[Change {
            file: ESTIMATOR,
            from: "other.until = other.until.max(until);",
            to: "other.until = other.until.min(until);",
        }],
        caught_by: unit(&["a_step_that_its_author_may_overlook_is_covered_or_a_contradiction"]),
    },
    Mutant {
        name: "published-as-of-its-sample",
        breaks: Promise("a clock whose sources still answer is not in holdover"),
        harm: "a source that repeats its sample between two polls is in holdover",
        changes: &[Change {
            file: ESTIMATOR,
            from: "known.and_then(|bound| bound.carried_to(tick.max(bound.origin), &self.base));",
            to: "known.and_then(|bound| bound.carried_to(bound.origin, &self.base));",
        }],
        caught_by: unit(&["a_source_that_repeats_its_sample_is_current_and_its_bound_widens"]),
    },
    Mutant {
        name: "resumed-by-a2",
        breaks: Rule(7),
        harm: "the child of a fork publishes a wider interval than readers were shown",
        changes: &[Change {
            file: ESTIMATOR,
            from: "Published { bound, estimate: shown, is_contradicted: false }",
            to: "Published { bound, estimate: RateEstimate { rates: self.base, ..shown }, is_contradicted: false }",
        }],
        caught_by: unit(&["what_is_resumed_stays_within_what_readers_were_shown"]),
    },
    Mutant {
        name: "raw-clock-never-stopped",
        breaks: Rule(10),
        harm: "a clock that stands still is used as a counter",
        changes: &[Change {
            file: MOVEMENT,
            from: "self.is_stopped = counted < passed.unsigned_abs() / 2;",
            to: "self.is_stopped = counted > u64::MAX - passed.unsigned_abs() / 2;",
        }],
        caught_by: unit(&[
            "a_raw_clock_that_stops_is_noticed_within_a_tenth_of_a_second_and_so_is_its_return",
        ]),
    },
    Mutant {
        name: "raw-clock-moves-from-the-beginning",
        breaks: Rule(10),
        harm: "a rate is measured against a clock that never moves",
        changes: &[Change {
            file: MOVEMENT,
            from: "is_stopped: !is_seen_to_move(host).unwrap_or(true)",
            to: "is_stopped: !is_seen_to_move(host).unwrap_or(true) && false",
        }],
        caught_by: unit(&["a_raw_clock_that_never_moves_is_stopped_from_the_beginning"]),
    },
    Mutant {
        name: "learnt-rate-is-not-ended",
        breaks: Rule(6),
        harm: "what was learnt is used after the two hours, if no sample comes",
        changes: &[Change {
            file: REFINE,
            from: "if tick >= until {",
            to: "if tick > until && tick < until {",
        }],
        caught_by: unit(&["a_learnt_rate_holds_for_as_long_as_a3_says_and_a2_holds_from_there"]),
    },
    Mutant {
        name: "an-epoch-each-round",
        breaks: Promise(
            "an epoch ends when a reading may contradict an earlier one, and at nothing else",
        ),
        harm: "while two sides are too far apart to be read, each round ends an epoch",
        changes: &[Change {
            file: ESTIMATOR,
            from: "self.published = None;\n                bound",
            to: "bound",
        }],
        caught_by: unit(&["while_both_sides_are_too_far_apart_to_be_read_one_epoch_begins"]),
    },
    Mutant {
        name: "clocksource-not-looked-at",
        breaks: Rule(10),
        harm: "a counter that the kernel has found unstable is used",
        changes: &[Change {
            file: COUNTER,
            from: "if current == wanted {",
            to: "if current == wanted || true {",
        }],
        caught_by: unit(&[
            "a_counter_by_which_the_kernel_does_not_keep_time_or_that_traps_is_refused",
        ]),
    },
    Mutant {
        name: "comparison-goes-on-over-a-suspend",
        breaks: Rule(10),
        harm: "the counter went on in a suspend and the raw clock did not, so the counter is given up",
        changes: &[Change {
            file: COUNTER,
            from: "self.last_good = self.anchor;",
            to: "self.anchor = self.last_good;",
        }],
        caught_by: unit(&[
            "a_counter_that_went_on_in_a_suspend_while_the_raw_clock_stood_still_is_kept",
        ]),
    },
];
