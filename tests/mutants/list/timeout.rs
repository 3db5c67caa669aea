//! Timeouts, deadlines, suspicion, and keys of requests.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file};
use crate::patched::Change;

const DEADLINE: &str = "src/timeout/deadline.rs";
const KEY: &str = "src/timeout/idempotency_key.rs";
const PHI: &str = "src/timeout/phi_detector.rs";
const RETRY: &str = "src/timeout/retries.rs";
const RTO: &str = "src/timeout/rto.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "rto-below-its-floor",
        breaks: Promise("a timeout follows the delays that were seen, and its own limits"),
        harm: "a fast server is asked again while its answer is on the way",
        changes: &[Change {
            file: RTO,
            from: "once.clamp(min, max)",
            to: "once.min(max.max(min))",
        }],
        caught_by: file("timeout", &["clamps_hold_at_both_ends_and_however_often_it_was_doubled"]),
    },
    Mutant {
        name: "rto-learns-from-retries",
        breaks: Promise("a timeout follows the delays that were seen, and its own limits"),
        harm: "an answer to the second attempt is taken for a very fast one to the first",
        changes: &[Change { file: RTO, from: "if attempts > 1 {", to: "if false {" }],
        caught_by: file("timeout", &["the_rules_of_rfc_6298_in_order"]),
    },
    Mutant {
        name: "rto-without-the-spread",
        breaks: Promise("a timeout follows the delays that were seen, and its own limits"),
        harm: "each timeout fires at once when queues fill",
        changes: &[Change {
            file: RTO,
            from: "Duration::from_nanos(srtt_8 / 8).saturating_add(spread)",
            to: "Duration::from_nanos(srtt_8 / 8).saturating_add(spread.min(granularity))",
        }],
        caught_by: file("timeout", &["the_rules_of_rfc_6298_in_order"]),
    },
    Mutant {
        name: "phi-counts-our-own-pause",
        breaks: Promise("a timeout follows the delays that were seen, and its own limits"),
        harm: "a process that was stopped suspects every peer",
        changes: &[Change {
            file: PHI,
            from: "now.saturating_sub(self.last).saturating_sub(self.paused)",
            to: "now.saturating_sub(self.last)",
        }],
        caught_by: file("timeout", &["our_own_pause_does_not_count_as_silence_of_the_peer"]),
    },
    Mutant {
        name: "phi-on-an-empty-window",
        breaks: Promise("a timeout follows the delays that were seen, and its own limits"),
        harm: "before its first heartbeats a peer is suspected at once",
        changes: &[Change {
            file: PHI,
            from: "window.push(first - first / 4);
        window.push(first + first / 4);",
            to: "let _ = first;",
        }],
        caught_by: file("timeout", &["before_any_heartbeat_the_first_interval_is_expected"]),
    },
    Mutant {
        name: "phi-learns-an-absence",
        breaks: Promise("a timeout follows the delays that were seen, and its own limits"),
        harm: "one absence of a peer hides the next",
        changes: &[Change {
            file: PHI,
            from: "nanos_up_to(gap.min(self.suspects_after()), MAX_GAP_NS)",
            to: "nanos_up_to(gap, MAX_GAP_NS)",
        }],
        caught_by: file(
            "timeout",
            &["a_peer_that_slows_down_for_good_is_learned_and_one_absence_is_not"],
        ),
    },
    Mutant {
        name: "deadline-left-by-earliest",
        breaks: Promise("time that is certainly left is left"),
        harm: "work goes on after its deadline, by the width of the interval",
        changes: &[Change {
            file: DEADLINE,
            from: "match self.0.duration_since(now.latest()) {",
            to: "match self.0.duration_since(now.earliest()) {",
        }],
        caught_by: file(
            "timeout",
            &[
                "a_deadline_has_passed_for_certain_or_perhaps_or_not",
                "the_budget_is_whole_at_home_and_shrinks_by_uncertainty_elsewhere",
            ],
        ),
    },
    Mutant {
        name: "retry-without-time",
        breaks: Promise("time that is certainly left is left"),
        harm: "an attempt is made that cannot end before the deadline",
        changes: &[Change {
            file: RETRY,
            from: "Ok(self.random.between(Duration::ZERO, room))",
            to: "Ok(delay)",
        }],
        caught_by: file("timeout", &["a_retry_always_leaves_the_time_it_needs"]),
    },
    Mutant {
        name: "idempotency-key-reused",
        breaks: Promise("no two requests have one key"),
        harm: "a second request is taken for a retry of the first, and is not done",
        changes: &[Change {
            file: KEY,
            from: "Ok(IdempotencyKey::from_bytes(bytes))",
            to: "Ok(IdempotencyKey(IdempotencyKey::from_bytes(bytes).0 >> 64))",
        }],
        caught_by: file("timeout", &["no_two_random_keys_meet_and_every_bit_takes_part"]),
    },
];
