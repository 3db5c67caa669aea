//! What timesyncd publishes of its exchanges, and what of it is believed.

use crate::mutant::Broken::{Promise, Rule};
use crate::mutant::{Mutant, file, sim, unit};
use crate::patched::Change;

const EXCHANGE: &str = "src/source/timesyncd/exchange.rs";
const LATE: &str = "src/source/timesyncd/late.rs";
const MESSAGE: &str = "src/source/timesyncd/message.rs";
const PAIRS: &str = "src/source/timesyncd/pairs.rs";
const WATCH: &str = "src/source/timesyncd/watch.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "stamps-looked-up-in-another-wall-clock",
        breaks: Rule(2),
        harm: "under libfaketime timesyncd's stamps are of another clock than the one that was looked at",
        changes: &[Change {
            file: PAIRS,
            from: "if self.shows_other_time || earlier.shows_other_time {",
            to: "if false {",
        }],
        caught_by: unit(&["a_process_that_is_shown_another_wall_clock_looks_nothing_up_in_it"]),
    },
    Mutant {
        name: "stamps-looked-up-in-another-wall-clock-in-worlds",
        breaks: Rule(2),
        harm: "under libfaketime timesyncd's stamps are of another clock than the one that was looked at",
        changes: &[Change {
            file: PAIRS,
            from: "if self.shows_other_time || earlier.shows_other_time {",
            to: "if false {",
        }],
        caught_by: sim("sim", &["no_reading_is_wrong_where_clocks_hear_timesyncd"]),
    },
    Mutant {
        name: "late-exchange-by-another-wall-clock",
        breaks: Rule(2),
        harm: "under libfaketime the time since an earlier exchange is that of another clock",
        changes: &[Change { file: LATE, from: "if pair.shows_other_time {", to: "if false {" }],
        caught_by: unit(&["a_process_that_is_shown_another_wall_clock_looks_nothing_up_in_it"]),
    },
    Mutant {
        name: "child-waits-for-its-parents-line",
        breaks: Promise("a forked child samples by itself"),
        harm: "the thread that listens to the bus does not exist in the child, which hears of no exchange again",
        changes: &[Change {
            file: "src/source/timesyncd/mod.rs",
            from: "if self.line.is_inherited() {",
            to: "if false {",
        }],
        caught_by: file("forks", &["a_forked_child_asks_the_bus_itself"]),
    },
    Mutant {
        name: "round-trip-by-the-wall-clock",
        breaks: Rule(2),
        harm: "T1 and T4 are stamps of a clock that is slewed by up to 12.5 %, and their difference is not the time that passed",
        changes: &[Change {
            file: EXCHANGE,
            from: "let elapsed = arrived.raw.1.saturating_sub(sent.raw.0);",
            to: "let elapsed = (message.destination_us - message.origin_us) * 1_000;",
        }],
        caught_by: unit(&[
            "an_exchange_in_a_slew_is_counted_by_the_counter_and_not_by_the_wall_clock",
        ]),
    },
    Mutant {
        name: "wall-clock-goes-on-from-t4",
        breaks: Rule(2),
        harm: "the wall clock since T4 is taken for the time that passed, although it is slewed and stepped",
        changes: &[Change {
            file: WATCH,
            from: "self.known.filter(|known| known.exchange.counter == counter)",
            to: "self.known.filter(|known| known.exchange.counter == counter).map(|mut known| {\n            let Some(pair) = self.pairs.last() else { return known };\n            let passed = pair.read.unix_ns - known.message.destination_us * 1_000;\n            known.exchange.unix_ns.0 += passed;\n            known.exchange.unix_ns.1 += passed;\n            (known.exchange.before, known.exchange.after) = (pair.read.before, pair.read.after);\n            known\n        })",
        }],
        caught_by: unit(&["no_exchange_that_was_watched_misses_the_truth"]),
    },
    Mutant {
        name: "wall-clock-goes-on-from-t4-in-worlds",
        breaks: Rule(2),
        harm: "the wall clock since T4 is taken for the time that passed, although it is slewed and stepped",
        changes: &[Change {
            file: WATCH,
            from: "self.known.filter(|known| known.exchange.counter == counter)",
            to: "self.known.filter(|known| known.exchange.counter == counter).map(|mut known| {\n            let Some(pair) = self.pairs.last() else { return known };\n            let passed = pair.read.unix_ns - known.message.destination_us * 1_000;\n            known.exchange.unix_ns.0 += passed;\n            known.exchange.unix_ns.1 += passed;\n            (known.exchange.before, known.exchange.after) = (pair.read.before, pair.read.after);\n            known\n        })",
        }],
        caught_by: sim("sim", &["no_reading_is_wrong_where_clocks_hear_timesyncd"]),
    },
    Mutant {
        name: "root-distance-not-rounded",
        breaks: Rule(1),
        harm: "timesyncd has rounded the root delay down to a whole microsecond",
        changes: &[Change {
            file: MESSAGE,
            from: "self.root_delay_us.saturating_add(1).saturating_mul(1_000).div_ceil(2)",
            to: "self.root_delay_us.saturating_mul(1_000) / 2",
        }],
        caught_by: unit(&["every_quantity_was_rounded_down_and_counts_with_what_it_may_have_lost"]),
    },
    Mutant {
        name: "a-step-breaks-no-segment",
        breaks: Rule(6),
        harm: "after a backward step the wall clock shows T4 a second time, in another bracket",
        changes: &[Change { file: PAIRS, from: "if broken.is_some() {", to: "if false {" }],
        caught_by: unit(&["an_exchange_about_a_step_is_dropped_and_the_next_one_counts"]),
    },
    Mutant {
        name: "judged-before-it-was-looked-at",
        breaks: Rule(6),
        harm: "a step before the exchange is not seen by looks that were all taken before it",
        changes: &[Change { file: WATCH, from: "if now < heard_raw {", to: "if false {" }],
        caught_by: unit(&["a_stamp_from_before_a_backward_step_is_not_looked_up_after_it"]),
    },
    Mutant {
        name: "broken-since-the-last-message",
        breaks: Rule(6),
        harm: "the exchange may be from before a step, after which the clock shows T4 again",
        changes: &[Change {
            file: EXCHANGE,
            from: "if pairs.since_raw() > known_raw.saturating_sub(PUBLISHED_WITHIN_NS) {",
            to: "if false {",
        }],
        caught_by: unit(&["a_stamp_from_before_a_backward_step_is_not_looked_up_after_it"]),
    },
    Mutant {
        name: "first-message-looked-up",
        breaks: Rule(2),
        harm: "the first message that is heard may be from any time before the process",
        changes: &[Change {
            file: WATCH,
            from: "before.map(|(_, known_raw)| Pending { message, known_raw, heard_raw });",
            to: "Some(Pending { message, known_raw: i64::MAX, heard_raw });",
        }],
        caught_by: unit(&["the_last_message_of_before_the_process_is_not_looked_up"]),
    },
    Mutant {
        name: "slew-left-out-of-the-bracket",
        breaks: Rule(2),
        harm: "between two looks the wall clock runs up to 12.5 % off its frequency",
        changes: &[Change {
            file: PAIRS,
            from: "        slew.min(FASTEST_SLEW_PPB)\n",
            to: "        slew.min(0)\n",
        }],
        caught_by: unit(&[
            "an_exchange_in_a_slew_is_counted_by_the_counter_and_not_by_the_wall_clock",
        ]),
    },
    Mutant {
        name: "unwatched-time-trusted",
        breaks: Rule(6),
        harm: "in a time in which nobody looked, the clock may have been stepped there and back",
        changes: &[Change { file: PAIRS, from: "gap > LONGEST_GAP_NS", to: "gap > i64::MAX - 1" }],
        caught_by: unit(&["nothing_is_made_of_a_time_in_which_nobody_looked"]),
    },
    Mutant {
        name: "known-across-a-suspend",
        breaks: Rule(6),
        harm: "the counter may have stood still in the suspend",
        changes: &[Change {
            file: WATCH,
            from: "let slept = Pair::was_suspended(known.exchange.suspended_ns, pair.suspended_ns);",
            to: "let slept = false;",
        }],
        caught_by: unit(&["what_was_known_before_a_suspend_is_void_after_it"]),
    },
    Mutant {
        name: "spike-with-a-written-offset",
        breaks: Rule(2),
        harm: "at a spike timesyncd writes nothing, so the kernel corrects another offset than that of the message",
        changes: &[Change {
            file: LATE,
            from: "true => slewed_since_spike(before, after, off_s, turns),",
            to: "true => slewed_since_write(before, after, offset, age),",
        }],
        caught_by: unit(&["no_exchange_of_before_the_process_misses_the_truth"]),
    },
    Mutant {
        name: "previous-correction-left-out",
        breaks: Rule(2),
        harm: "the previous correction runs on to the end of the second, and cannot be seen any more",
        changes: &[Change {
            file: LATE,
            from: "let error = unseen_ns(before, look.poll_min_s, unseen);",
            to: "let error = unseen_ns(before, look.poll_min_s, 0);",
        }],
        caught_by: unit(&["the_previous_correction_counts_that_ran_on_unseen"]),
    },
    Mutant {
        name: "jump-ignored",
        breaks: Rule(6),
        harm: "timesyncd has stepped the clock by this exchange, so T4 is of the clock before",
        changes: &[Change {
            file: LATE,
            from: "let jump = if has_jumped { offset } else { 0 };",
            to: "let jump = 0;",
        }],
        caught_by: unit(&[
            "a_jump_of_timesyncd_s_own_is_taken_off_and_what_is_near_its_limit_is_refused",
        ]),
    },
    Mutant {
        name: "near-the-limit-guessed",
        breaks: Rule(2),
        harm: "within the rounding of 0.4 s it is not known whether timesyncd stepped",
        changes: &[Change {
            file: LATE,
            from: "let is_near = offset.abs_diff(STEPS_FROM_NS) <= OFFSET_ERROR_NS.unsigned_abs();",
            to: "let is_near = false;",
        }],
        caught_by: unit(&[
            "a_jump_of_timesyncd_s_own_is_taken_off_and_what_is_near_its_limit_is_refused",
        ]),
    },
    Mutant {
        name: "other-seconds-ignored",
        breaks: Rule(2),
        harm: "the kernel counts other seconds since the write than the wall clock, so another exchange or program wrote it",
        changes: &[Change { file: LATE, from: "if age < 0 || !is_possible {", to: "if age < 0 {" }],
        caught_by: unit(&[
            "an_exchange_of_before_the_process_is_carried_on_only_if_the_kernel_confirms_it",
        ]),
    },
    Mutant {
        name: "carried-over-a-suspend",
        breaks: Rule(6),
        harm: "a short suspend does not show in the kernel's seconds",
        changes: &[Change {
            file: LATE,
            from: "if Pair::was_suspended(pair.suspended_ns.map(|_| 0), pair.suspended_ns) {",
            to: "if false {",
        }],
        caught_by: unit(&["what_was_known_before_a_suspend_is_void_after_it"]),
    },
    Mutant {
        name: "a-corrected-second-is-a-second",
        breaks: Rule(2),
        harm: "a second that the kernel shortens by a correction has room for less of it",
        changes: &[Change {
            file: LATE,
            from: "let part = (part / NANOS_PER_SECOND as f64).min(0.5);",
            to: "let part = (part / NANOS_PER_SECOND as f64).min(0.0);",
        }],
        caught_by: unit(&["a_large_correction_is_less_than_what_the_kernel_takes_off"]),
    },
    Mutant {
        name: "next-era-is-the-past",
        breaks: Rule(8),
        harm: "from 2036 on the server's stamps wrap",
        changes: &[Change {
            file: MESSAGE,
            from: "server_us.wrapping_add(ERA_US)",
            to: "server_us",
        }],
        caught_by: unit(&["a_stamp_of_the_next_era_is_after_2036"]),
    },
    Mutant {
        name: "local-clock-believed",
        breaks: Rule(3),
        harm: "a server that follows its own clock states next to nothing of its error",
        changes: &[Change {
            file: MESSAGE,
            from: "if self.reference[..2] == [127, 127] || self.reference == *b\"LOCL\" {",
            to: "if false {",
        }],
        caught_by: unit(&["what_is_not_an_exchange_with_a_synchronised_server_is_refused"]),
    },
    Mutant {
        name: "ticks-taken-for-nanoseconds",
        breaks: Rule(2),
        harm: "the counter is faster than the raw clock, so the moment of T4 is taken for an earlier one",
        changes: &[Change {
            file: PAIRS,
            from: "let least = i128::from((raw.0 - a.raw.1).max(0)) * ticks / most_raw;\n        let most = i128::from((raw.1 - a.raw.0).max(0)) * (ticks + 1) / least_raw + 1;",
            to: "let least = i128::from((raw.0 - a.raw.1).max(0));\n        let most = i128::from((raw.1 - a.raw.0).max(0)) + 1;",
        }],
        caught_by: unit(&["no_exchange_that_was_watched_misses_the_truth"]),
    },
    Mutant {
        name: "drift-left-out-of-the-round-trip",
        breaks: Rule(1),
        harm: "true time passes faster than the oscillator by up to max_drift_ppm, also between T1 and T4",
        changes: &[Change {
            file: EXCHANGE,
            from: "        .saturating_add(drift_of(elapsed, max_drift_ppm));",
            to: ";",
        }],
        caught_by: unit(&["the_oscillator_may_be_slow_between_t1_and_t4"]),
    },
    Mutant {
        name: "moved-exchange-is-carried-on",
        breaks: Rule(6),
        harm: "an exchange of before the machine was moved is carried on by the kernel's state, which shows nothing of the move",
        changes: &[Change {
            file: WATCH,
            from: "self.known.is_none() && self.pending.is_none() && !self.is_moved",
            to: "self.known.is_none() && self.pending.is_none()",
        }],
        caught_by: unit(&["after_a_move_of_the_machine_only_an_exchange_made_since_counts"]),
    },
];
