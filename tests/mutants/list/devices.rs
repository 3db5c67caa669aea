//! What a PTP hardware clock and ClockBound's segment show, and what of it is believed.

use crate::mutant::Broken::Rule;
use crate::mutant::{Mutant, unit};
use crate::patched::Change;

const PHC: &str = "src/source/phc.rs";
const PHC_ERROR: &str = "src/source/phc_error.rs";
const PACE: &str = "src/source/phc/pace.rs";
const DEVICE: &str = "src/source/phc/device.rs";
const SCALE: &str = "src/source/phc/scale.rs";
const CLOCKBOUND: &str = "src/source/clockbound.rs";
const SEGMENT: &str = "src/source/clockbound/segment.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "pair-with-the-raw-clock-from-the-wrong-end",
        breaks: Rule(1),
        harm: "the device is taken to have been read at another part of a slow call",
        changes: &[Change {
            file: PHC,
            from: "self.before.max(self.after.saturating_sub(ticks(until)))",
            to: "self.before.max(self.after.saturating_sub(ticks(since)))",
        }],
        caught_by: unit(&[
            "a_pair_with_the_raw_clock_shows_where_within_a_slow_call_the_device_was_read",
        ]),
    },
    Mutant {
        name: "pair-of-another-moment-believed",
        breaks: Rule(1),
        harm: "a driver's pair that belongs to no moment of the call moves the sample",
        changes: &[Change {
            file: PHC,
            from: "let (Some(since), Some(until)) = (since, until) else { return self };",
            to: "let (since, until) = (since.unwrap_or(0), until.unwrap_or(0));",
        }],
        caught_by: unit(&[
            "a_pair_with_the_raw_clock_shows_where_within_a_slow_call_the_device_was_read",
        ]),
    },
    Mutant {
        name: "phc-error-of-0",
        breaks: Rule(3),
        harm: "a driver that does not know its clock's error writes 0, and it is taken for exact",
        changes: &[Change {
            file: PHC_ERROR,
            from: "if (1..=NANOS_PER_SECOND.unsigned_abs()).contains(&nanos) => {",
            to: "if (0..=NANOS_PER_SECOND.unsigned_abs()).contains(&nanos) => {",
        }],
        caught_by: unit(&["the_largest_bound_counts_and_each_device_must_state_one"]),
    },
    Mutant {
        name: "phc-error-of-nobody",
        breaks: Rule(2),
        harm: "a clock whose error nobody has stated is taken to be as good as its step",
        changes: &[Change {
            file: PHC,
            from: "(_, StatedBound::Absent) => None,",
            to: "(_, StatedBound::Absent) => Some(1),",
        }],
        caught_by: unit(&["only_a_stated_error_is_one_and_the_larger_counts"]),
    },
    Mutant {
        name: "phc-error-before-the-reading-only",
        breaks: Rule(2),
        harm: "the card lost its own time source just before it was read",
        changes: &[Change {
            file: PHC,
            from: "=> Some(before.max(after)),",
            to: "=> Some(before.min(after)),",
        }],
        caught_by: unit(&["only_a_stated_error_is_one_and_the_larger_counts"]),
    },
    Mutant {
        name: "phc-driver-overruled",
        breaks: Rule(3),
        harm: "the driver states that the clock is 20 µs off, and the operator had said 3 µs",
        changes: &[Change {
            file: PHC,
            from: "by_driver.max(by_operator)",
            to: "by_operator.or(by_driver)",
        }],
        caught_by: unit(&["only_a_stated_error_is_one_and_the_larger_counts"]),
    },
    Mutant {
        name: "phc-operators-error-of-0",
        breaks: Rule(3),
        harm: "an error of 0 that an operator has configured by mistake is a bound",
        changes: &[Change {
            file: PHC,
            from: "Some(error) if error.is_zero() || error > MAX_ERROR =>",
            to: "Some(error) if error > MAX_ERROR =>",
        }],
        caught_by: unit(&["only_a_stated_error_is_one_and_the_larger_counts"]),
    },
    Mutant {
        name: "phc-read-outside-its-bracket",
        breaks: Rule(1),
        harm: "the counter is read twice after the device, so the sample is of a later moment",
        changes: &[Change {
            file: PHC,
            from: "        let before = counter.try_read()?;\n        let reading = self.device.read().map_err(Failure::Device)?;\n",
            to: "        let reading = self.device.read().map_err(Failure::Device)?;\n        let before = counter.try_read()?;\n",
        }],
        caught_by: unit(&["a_sample_is_what_the_clock_showed_within_its_error_and_its_step"]),
    },
    Mutant {
        name: "phc-ends-before-the-reading",
        breaks: Rule(1),
        harm: "the reading may have taken place after the end of the bracket",
        changes: &[Change {
            file: PHC,
            from: "        let reading = self.device.read().map_err(Failure::Device)?;\n        let after = counter.try_read()?;\n",
            to: "        let after = counter.try_read()?;\n        let reading = self.device.read().map_err(Failure::Device)?;\n",
        }],
        caught_by: unit(&["a_sample_is_what_the_clock_showed_within_its_error_and_its_step"]),
    },
    Mutant {
        name: "phc-widest-reading",
        breaks: Rule(2),
        harm: "the reading that was interrupted counts",
        changes: &[Change {
            file: PHC,
            from: "if width(&next) >= width(narrowest) => {}",
            to: "if width(&next) <= width(narrowest) => {}",
        }],
        caught_by: unit(&["of_several_readings_the_narrowest_counts"]),
    },
    Mutant {
        name: "phc-step-left-out",
        breaks: Rule(1),
        harm: "the device shows its last step, and may stand just before the next",
        changes: &[Change {
            file: PHC,
            from: "time.latest().saturating_add(STEP)",
            to: "time.latest()",
        }],
        caught_by: unit(&["a_sample_is_what_the_clock_showed_within_its_error_and_its_step"]),
    },
    Mutant {
        name: "phc-scale-unchecked",
        breaks: Rule(2),
        harm: "a clock that shows UTC is taken for TAI, and every reading is 37 s wrong",
        changes: &[Change {
            file: PHC,
            from: "PhcScale::Tai if as_utc && !as_tai =>",
            to: "PhcScale::Tai if as_utc && as_tai =>",
        }],
        caught_by: unit(&["a_scale_that_the_wall_clock_excludes_is_refused_with_the_right_one"]),
    },
    Mutant {
        name: "phc-scale-guessed-widely",
        breaks: Rule(2),
        harm: "a clock that is minutes off is told to be on the other scale",
        changes: &[Change {
            file: SCALE,
            from: "&& clock_ns.saturating_sub(realtime_after_ns) <= seconds(most, 1)",
            to: "&& clock_ns.saturating_sub(realtime_after_ns) <= seconds(most, 1_000)",
        }],
        caught_by: unit(&["the_scale_is_guessed_only_where_one_choice_fits"]),
    },
    Mutant {
        name: "phc-reset-believed",
        breaks: Rule(10),
        harm: "a card that began again at 0 shows the time since then, from 1970 on",
        changes: &[Change {
            file: PHC,
            from: "        if clock_ns < PLAUSIBLE_FROM_NS {",
            to: "        if clock_ns < i64::MIN + PLAUSIBLE_FROM_NS {",
        }],
        caught_by: unit(&["a_clock_that_was_reset_shows_no_time"]),
    },
    Mutant {
        name: "phc-pace-unchecked",
        breaks: Rule(9),
        harm: "a clock that runs 2.6 times too fast contradicts every source that is right",
        changes: &[Change {
            file: PACE,
            from: "        if !fits(first, second, 0) {",
            to: "        if !fits(first, second, i64::MAX) {",
        }],
        caught_by: unit(&["a_clock_that_runs_wrong_is_refused_by_name"]),
    },
    Mutant {
        name: "phc-pace-checked-once",
        breaks: Rule(9),
        harm: "a clock that runs wrong from some moment on is believed for ever",
        changes: &[Change {
            file: PACE,
            from: "        if !fits(&last, now, slack_ns) {",
            to: "        if slack_ns < 0 {",
        }],
        caught_by: unit(&[
            "a_clock_that_runs_wrong_later_is_refused_then",
            "a_reading_may_be_off_by_twice_the_error_and_what_the_oscillator_drifts",
        ]),
    },
    Mutant {
        name: "phc-pace-of-a-perfect-clock",
        breaks: Rule(2),
        harm: "a clock that moves within its stated error is taken for one that was set",
        changes: &[Change {
            file: PACE,
            from: "error_ns.saturating_mul(2)",
            to: "error_ns.saturating_mul(0)",
        }],
        caught_by: unit(&[
            "a_reading_may_be_off_by_twice_the_error_and_what_the_oscillator_drifts",
        ]),
    },
    Mutant {
        name: "phc-kept-for-ever",
        breaks: Rule(6),
        harm: "a device that answers no more looks as if it did",
        changes: &[Change {
            file: PHC,
            from: "(0..=KEPT_NS).contains(&age_ns)",
            to: "(0..=i64::MAX).contains(&age_ns)",
        }],
        caught_by: unit(&["a_device_that_is_busy_leaves_the_last_sample_for_a_while"]),
    },
    Mutant {
        name: "phc-kept-over-a-change-of-counter",
        breaks: Rule(10),
        harm: "ticks of the counter that was given up are taken for those of the new one",
        changes: &[Change {
            file: PHC,
            from: "self.last.filter(|last| last.kind == counter.kind())?",
            to: "self.last?",
        }],
        caught_by: unit(&["a_device_that_is_busy_leaves_the_last_sample_for_a_while"]),
    },
    Mutant {
        name: "phc-kept-after-a-refusal",
        breaks: Rule(6),
        harm: "what a clock showed before it was found to run wrong counts again",
        changes: &[Change {
            file: PHC,
            from: "                self.last = None;\n                Err(error)",
            to: "                Err(error)",
        }],
        caught_by: unit(&["a_clock_that_runs_wrong_later_is_refused_then"]),
    },
    Mutant {
        name: "phc-another-card-in-its-place",
        breaks: Rule(6),
        harm: "of two cards with one name the wrong one may be opened",
        changes: &[Change {
            file: DEVICE,
            from: "(Some(folder), None) => Ok(folder),",
            to: "(Some(folder), _) => Ok(folder),",
        }],
        caught_by: unit(&["a_device_is_found_again_by_its_name_if_no_other_has_it"]),
    },
    Mutant {
        name: "phc-utc-without-the-kernels-leap",
        breaks: Rule(6),
        harm: "a leap second that the table does not list puts the clock a second off",
        changes: &[Change {
            file: PHC,
            from: "self.wall_clock.tai(&realtime, error, kernel.as_ref(), self.pending_leap)?",
            to: "self.wall_clock.tai(&realtime, error, None, None)?",
        }],
        caught_by: unit(&["a_leap_second_that_only_the_kernel_knows_of_is_covered"]),
    },
    Mutant {
        name: "segment-generation-unchecked",
        breaks: Rule(10),
        harm: "a half-written segment is read: the time of one write with the bound of another",
        changes: &[Change {
            file: SEGMENT,
            from: "if generation % 2 == 1 {",
            to: "if generation == u16::MAX {",
        }],
        caught_by: unit(&["each_field_is_checked"]),
    },
    Mutant {
        name: "segment-of-a-daemon-that-begins",
        breaks: Rule(2),
        harm: "what was in the file before the daemon's first write is taken for its statement",
        changes: &[Change {
            file: SEGMENT,
            from: "        if generation == 0 {\n            return Err(SegmentError::NeverWritten);\n        }\n",
            to: "",
        }],
        caught_by: unit(&["each_field_is_checked"]),
    },
    Mutant {
        name: "segment-read-once",
        breaks: Rule(10),
        harm: "a write begins while the file is read, and the read is torn",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "        if after == before {",
            to: "        if after.len() == before.len() {",
        }],
        caught_by: unit(&["bytes_count_when_two_reads_agree"]),
    },
    Mutant {
        name: "segment-bound-of-0",
        breaks: Rule(3),
        harm: "a bound of 0 is not a bound",
        changes: &[Change {
            file: SEGMENT,
            from: "segment.bound_ns < 0 || (states_a_bound && segment.bound_ns == 0)",
            to: "segment.bound_ns < 0",
        }],
        caught_by: unit(&["each_field_is_checked"]),
    },
    Mutant {
        name: "segment-bound-below-0",
        breaks: Rule(10),
        harm: "a bound below 0 becomes a number that says something else",
        changes: &[Change {
            file: SEGMENT,
            from: "segment.bound_ns < 0 || (states_a_bound && segment.bound_ns == 0)",
            to: "states_a_bound && segment.bound_ns == 0",
        }],
        caught_by: unit(&["each_field_is_checked"]),
    },
    Mutant {
        name: "segment-of-any-status",
        breaks: Rule(2),
        harm: "a daemon that says of itself that it knows nothing is believed",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "            status => return refuse(format!(\"the daemon says of itself that it is {status}\")),",
            to: "            _ => {}",
        }],
        caught_by: unit(&["what_states_nothing_is_refused_with_the_reason"]),
    },
    Mutant {
        name: "segment-of-a-tick-to-come",
        breaks: Rule(10),
        harm: "a segment of another machine, whose counter is ahead of this one's",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "segment.as_of_tick == 0 || segment.as_of_tick > tick",
            to: "segment.as_of_tick == 0",
        }],
        caught_by: unit(&["what_states_nothing_is_refused_with_the_reason"]),
    },
    Mutant {
        name: "segment-of-an-old-tick",
        breaks: Rule(6),
        harm: "a segment whose time and tick are not of one moment is believed",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "let is_fresh = segment.age_ns(tick) <= FRESH_NS.unsigned_abs().into()\n            && ",
            to: "let is_fresh = ",
        }],
        caught_by: unit(&["what_states_nothing_is_refused_with_the_reason"]),
    },
    Mutant {
        name: "segment-of-an-old-time",
        breaks: Rule(6),
        harm: "a daemon that was killed leaves its segment as it was",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "            && (-AHEAD_NS..=FRESH_NS).contains(&by_clock_ns)\n",
            to: "",
        }],
        caught_by: unit(&["what_states_nothing_is_refused_with_the_reason"]),
    },
    Mutant {
        name: "segment-after-its-end",
        breaks: Rule(2),
        harm: "the daemon says from when on its statement is void",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "\n            && unix_ns <= segment.void_after_ns;",
            to: ";",
        }],
        caught_by: unit(&["its_statement_ends_when_it_says_so"]),
    },
    Mutant {
        name: "segment-of-another-marker",
        breaks: Rule(6),
        harm: "a machine that was migrated goes on by what was true on the other host",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "Ok(present) if present == marker => {}",
            to: "Ok(present) if present >= marker => {}",
        }],
        caught_by: unit(&["a_segment_of_before_a_migration_is_void"]),
    },
    Mutant {
        name: "segment-without-the-vmclock",
        breaks: Rule(6),
        harm: "the daemon relies on a VMClock that this process cannot see",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "                Err(error) => {\n                    return refuse(format!(",
            to: "                Err(_) if marker > 0 => {}\n                Err(error) => {\n                    return refuse(format!(",
        }],
        caught_by: unit(&["a_segment_of_before_a_migration_is_void"]),
    },
    Mutant {
        name: "segment-by-another-counter",
        breaks: Rule(10),
        harm: "a tick of the processor's counter is taken for one of CLOCK_MONOTONIC_RAW",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "if !matches!(kind, CounterKind::Tsc | CounterKind::Cntvct) {",
            to: "if kind == CounterKind::Auto {",
        }],
        caught_by: unit(&["a_clock_that_counts_otherwise_has_no_use_for_it"]),
    },
    Mutant {
        name: "segment-follows-leap-seconds",
        breaks: Rule(6),
        harm: "the daemon ignores leap seconds, and its servers smear them",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "WallClock::new(leaps, RealtimeScale::Unknown)",
            to: "WallClock::new(leaps, RealtimeScale::Utc)",
        }],
        caught_by: unit(&["near_a_leap_second_its_utc_may_be_a_second_off"]),
    },
    Mutant {
        name: "segment-flag-of-any-byte",
        breaks: Rule(10),
        harm: "a byte that is no flag is taken for one: the segment is damaged",
        changes: &[Change {
            file: SEGMENT,
            from: "[other] => Err(wrong(field, other)),",
            to: "[_] => Ok(false),",
        }],
        caught_by: unit(&["each_field_is_checked"]),
    },
    Mutant {
        name: "clockbound-statement-of-before-a-move",
        breaks: Rule(6),
        harm: "what ClockBound stated before the machine was moved is read by the counter of another machine",
        changes: &[Change {
            file: CLOCKBOUND,
            from: "if self.void_tick == Some(segment.as_of_tick) {",
            to: "if false {",
        }],
        caught_by: unit(&["a_segment_of_before_a_migration_is_void"]),
    },
    Mutant {
        name: "phc-sample-of-before-a-move",
        breaks: Rule(6),
        harm: "the last sample stands in for a busy device, although its tick is of another machine's counter",
        changes: &[Change {
            file: PHC,
            from: "        // Its tick is of the counter of before.\n        self.last = None;",
            to: "",
        }],
        caught_by: unit(&["a_device_that_is_busy_leaves_the_last_sample_for_a_while"]),
    },
];
