//! Leases: when a holder may act, and when another may be granted what it has.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, serde, unit, unit_serde};
use crate::patched::Change;

const HOLDER: &str = "src/lease/holder.rs";
const STATE: &str = "src/lease/lease_state.rs";
const DRIFT: &str = "src/lease/drift.rs";
const DURATION: &str = "src/lease/duration_lease.rs";
const GRANTOR: &str = "src/lease/grantor.rs";
const LEASE: &str = "src/lease/lease.rs";
const OUTCOME: &str = "src/lease/section_outcome.rs";
const ANSWERS: &str = "src/lease/answers.rs";
const ABANDONED: &str = "src/lease/abandoned.rs";
const FORM: &str = "src/lease/grantor_form.rs";
const DURABLE: &str = "src/lease/durable_grantor.rs";
const STOPWATCH: &str = "src/lease/boot_clock.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "grantor-tells-what-is-not-stored",
        breaks: Promise("a lease that was granted is known after a crash of the grantor"),
        harm: "a grantor that crashes grants the same lease to somebody else",
        changes: &[Change {
            file: DURABLE,
            from: "self.store.persist(&seal(KIND, &state)).map_err(DurableGrantorError::Store)?;",
            to: "let _ = seal(KIND, &state);",
        }],
        caught_by: unit_serde(&["no_crash_lets_a_lease_be_granted_twice"]),
    },
    Mutant {
        name: "grantor-ignores-a-failing-store",
        breaks: Promise("a lease that was granted is known after a crash of the grantor"),
        harm: "on a full disk leases are granted that nobody knows of after a crash",
        changes: &[Change {
            file: DURABLE,
            from: "self.store.persist(&seal(KIND, &state)).map_err(DurableGrantorError::Store)?;",
            to: "let _ = self.store.persist(&seal(KIND, &state));",
        }],
        caught_by: unit_serde(&["a_decision_that_was_not_stored_was_not_made"]),
    },
    Mutant {
        name: "holder-judges-by-the-midpoint",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the lease may be over for half of the width while its holder acts",
        changes: &[Change {
            file: LEASE,
            from: "(expires.tai_nanos(), now.latest().tai_nanos())",
            to: "(expires.tai_nanos(), now.midpoint().tai_nanos())",
        }],
        caught_by: file("lease", &["the_holder_acts_only_while_the_latest_is_before_the_expiry"]),
    },
    Mutant {
        name: "holder-judges-by-earliest",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the lease may be over for the whole width while its holder acts",
        changes: &[Change {
            file: LEASE,
            from: "(expires.tai_nanos(), now.latest().tai_nanos())",
            to: "(expires.tai_nanos(), now.earliest().tai_nanos())",
        }],
        caught_by: file("lease", &["the_holder_acts_only_while_the_latest_is_before_the_expiry"]),
    },
    Mutant {
        name: "held-at-its-expiry",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the holder acts in the nanosecond in which its lease ends",
        changes: &[Change { file: LEASE, from: "if latest < end {", to: "if latest <= end {" }],
        caught_by: file("lease", &["the_holder_acts_only_while_the_latest_is_before_the_expiry"]),
    },
    Mutant {
        name: "section-not-checked-afterwards",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a section that outlived its lease is trusted",
        changes: &[Change {
            file: OUTCOME,
            from: "Err(error) => SectionOutcome::Overran { result, error },",
            to: "Err(_) => SectionOutcome::Covered(result),",
        }],
        caught_by: file(
            "lease",
            &["a_section_does_not_run_without_a_lease_and_is_reported_if_it_overruns_it"],
        ),
    },
    Mutant {
        name: "renewal-moves-the-expiry-back",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a renewal that comes late shortens or lengthens the wrong lease",
        changes: &[Change {
            file: LEASE,
            from: "self.expires.fetch_max(offered.tai_nanos(), Ordering::Relaxed)",
            to: "self.expires.swap(offered.tai_nanos(), Ordering::Relaxed)",
        }],
        caught_by: file(
            "lease",
            &["the_answer_to_a_renewal_moves_the_expiry_forward_or_not_at_all"],
        ),
    },
    Mutant {
        name: "granted-at-latest",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the lease is granted anew while its holder may still have it",
        changes: &[Change {
            file: STATE,
            from: "if let Some(current) = self.current.filter(|current| now.earliest <= current.expires) {",
            to: "if let Some(current) = self.current.filter(|current| now.latest <= current.expires) {",
        }],
        caught_by: file(
            "lease",
            &["the_lease_is_granted_anew_only_when_the_earliest_is_after_the_expiry"],
        ),
    },
    Mutant {
        name: "granted-at-its-expiry",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the lease is granted anew in the nanosecond in which it ends",
        changes: &[Change {
            file: STATE,
            from: "if let Some(current) = self.current.filter(|current| now.earliest <= current.expires) {",
            to: "if let Some(current) = self.current.filter(|current| now.earliest < current.expires) {",
        }],
        caught_by: file(
            "lease",
            &["the_lease_is_granted_anew_only_when_the_earliest_is_after_the_expiry"],
        ),
    },
    Mutant {
        name: "no-quiet-term",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a grantor that lost its state grants what somebody still has",
        changes: &[Change {
            file: GRANTOR,
            from: "no_larger(now), Some(all_expired(term, now)))",
            to: "no_larger(now), Some(all_expired(term, now)).filter(|_| false))",
        }],
        caught_by: file(
            "lease",
            &["a_restart_without_state_is_quiet_until_every_earlier_lease_has_expired"],
        ),
    },
    Mutant {
        name: "quiet-term-from-earliest",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the quiet term ends before the last lease that may have been granted",
        changes: &[Change {
            file: GRANTOR,
            from: "now.latest().saturating_add(term.into())",
            to: "now.earliest().saturating_add(term.into())",
        }],
        caught_by: file(
            "lease",
            &["a_restart_without_state_is_quiet_until_every_earlier_lease_has_expired"],
        ),
    },
    Mutant {
        name: "longest-term-forgotten",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "after a shorter term was set, the quiet term is shorter than a lease that is still held",
        changes: &[Change {
            file: GRANTOR,
            from: "let longest = self.longest.max(self.term);
        let state",
            to: "let longest = self.term;
        let state",
        }],
        caught_by: file(
            "lease",
            &[
                "a_shorter_term_does_not_shorten_the_quiet_time_after_a_longer_one",
                "the_longest_term_is_remembered_through_any_number_of_restarts",
            ],
        ),
    },
    Mutant {
        name: "grant-accepted-twice",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a grant that comes again revives a lease that was given back",
        changes: &[Change { file: HOLDER, from: "offered <= accepted", to: "offered < accepted" }],
        caught_by: file("lease", &["a_released_lease_does_not_come_back"]),
    },
    Mutant {
        name: "token-of-the-present-lease-unchecked",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a former holder renews or releases the lease of its successor",
        changes: &[Change {
            file: STATE,
            from: ".filter(|_| token == self.last_token)",
            to: ".filter(|_| token <= self.last_token)",
        }],
        caught_by: file(
            "lease",
            &[
                "a_released_lease_does_not_come_back",
                "a_transfer_keeps_the_expiry_or_moves_it_forward_and_fences_the_giver",
            ],
        ),
    },
    Mutant {
        name: "duration-counted-from-the-answer",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a lease of a duration is counted from when its answer came, and the grantor's from before",
        changes: &[Change {
            file: DURATION,
            from: "let (sent, max_drift_ppm) = (now.earliest, stopwatch.max_drift_ppm());",
            to: "let (sent, max_drift_ppm) = (now.latest, stopwatch.max_drift_ppm());",
        }],
        caught_by: file("lease", &["at_every_moment_of_true_time_there_is_at_most_one_holder"]),
    },
    Mutant {
        name: "holders-stopwatch-runs-true",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a slow stopwatch shows a lease as held that is over",
        changes: &[Change {
            file: DRIFT,
            from: "let kept = MILLION.saturating_sub(u128::from(ppm));",
            to: "let kept = MILLION - u128::from(ppm.min(0));",
        }],
        caught_by: unit(&["drift_is_rounded_so_that_the_holder_stops_early_and_the_grantor_late"]),
    },
    Mutant {
        name: "grantors-term-rounded-down",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "the grantor's term ends before the holder's, by rounding",
        changes: &[Change {
            file: DRIFT,
            from: "duration_from_nanos((duration.as_nanos() * parts).div_ceil(MILLION))",
            to: "duration_from_nanos(duration.as_nanos() * parts / MILLION)",
        }],
        caught_by: unit(&["drift_is_rounded_so_that_the_holder_stops_early_and_the_grantor_late"]),
    },
    Mutant {
        name: "grant-for-another-request",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a lease is counted from a request that was sent later than the one that is answered",
        changes: &[Change {
            file: HOLDER,
            from: "if !request.is_answered_by(grant) {
            return",
            to: "if false {
            return",
        }],
        caught_by: file("lease", &["a_grant_is_accepted_only_with_the_request_that_it_answers"]),
    },
    Mutant {
        name: "sleep-left-out",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a lease outlives a suspend of its holder",
        changes: &[Change {
            file: STOPWATCH,
            from: "latest: read.raw.saturating_add(most).saturating_add(error),",
            to: "latest: read.raw.saturating_add(most.min(self.slept_before.1)).saturating_add(error),",
        }],
        caught_by: unit(&["sleep_is_counted_and_its_error_too"]),
    },
    Mutant {
        name: "stamp-beyond-the-lease",
        breaks: Promise("commit stamps keep their order when a lease moves"),
        harm: "a stamp at or after the lease's end is above those of the next holder",
        changes: &[Change {
            file: LEASE,
            from: "if stamp >= expires {",
            to: "if stamp > expires.saturating_add(Duration::from_secs(1)) {",
        }],
        caught_by: file(
            "lease",
            &["a_stamp_that_would_reach_the_end_is_refused_and_not_remembered"],
        ),
    },
    Mutant {
        name: "hand-over-without-the-wait",
        breaks: Promise("commit stamps keep their order when a lease moves"),
        harm: "the next holder takes an earlier stamp for a later transaction",
        changes: &[Change {
            file: LEASE,
            from: "Ok(earliest) if earliest > stamp => return Ok(self),",
            to: "Ok(_) => return Ok(self),
            #[allow(unreachable_patterns)]",
        }],
        caught_by: file(
            "lease",
            &[
                "the_next_holder_takes_a_later_stamp_than_the_one_before",
                "a_transfer_waits_for_the_greatest_stamp_too",
            ],
        ),
    },
    Mutant {
        name: "handed-over-at-its-stamp",
        breaks: Promise("commit stamps keep their order when a lease moves"),
        harm: "the next holder may take the same stamp",
        changes: &[Change {
            file: LEASE,
            from: "Ok(earliest) if earliest > stamp => return Ok(self),",
            to: "Ok(earliest) if earliest >= stamp => return Ok(self),",
        }],
        caught_by: file("lease", &["the_next_holder_takes_a_later_stamp_than_the_one_before"]),
    },
    Mutant {
        name: "only-the-last-stamp-remembered",
        breaks: Promise("commit stamps keep their order when a lease moves"),
        harm: "a stamp of another thread is not waited out",
        changes: &[Change {
            file: LEASE,
            from: "self.newest_stamp.fetch_max(stamp.tai_nanos(), Ordering::Relaxed);",
            to: "let _ = self.newest_stamp.compare_exchange(NO_STAMP, stamp.tai_nanos(), Ordering::Relaxed, Ordering::Relaxed);",
        }],
        caught_by: file("lease", &["a_transfer_waits_for_the_greatest_stamp_too"]),
    },
    Mutant {
        name: "repeat-decided-anew",
        breaks: Promise("a repeated command gets the same decision"),
        harm: "a late copy of an acquire takes the lease for a holder that gave it back",
        changes: &[Change {
            file: STATE,
            from: "self.answers.remember(command, answer, self.last_token);",
            to: "",
        }],
        caught_by: file("lease", &["a_late_copy_of_an_acquire_takes_the_lease_from_nobody"]),
    },
    Mutant {
        name: "forgotten-acquire-granted-again",
        breaks: Promise("a repeated command gets the same decision"),
        harm: "a copy of a request that was forgotten takes the lease for a term",
        changes: &[Change {
            file: ANSWERS,
            from: "self.forgotten = self.forgotten.max(last_token);",
            to: "let _ = last_token;",
        }],
        caught_by: file("lease", &["a_forgotten_request_is_not_granted_again"]),
    },
    Mutant {
        name: "restart-forgets-what-may-be-repeated",
        breaks: Promise("a repeated command gets the same decision"),
        harm: "a copy from before a restart takes the lease for a term",
        changes: &[Change {
            file: GRANTOR,
            from: "    token_at(now.latest())",
            to: "    token_at(now.latest()).min(FencingToken::MIN)",
        }],
        caught_by: file("lease", &["a_grantor_without_its_state_grants_no_earlier_request_again"]),
    },
    Mutant {
        name: "answers-without-bound",
        breaks: Promise("a grantor's memory is bounded"),
        harm: "every process that ever asked stays in the state",
        changes: &[Change {
            file: ANSWERS,
            from: "None if self.last.len() >= REMEMBERED => {",
            to: "None if self.last.len() == usize::MAX => {",
        }],
        caught_by: file("lease", &["the_memory_of_a_grantor_is_bounded"]),
    },
    Mutant {
        name: "async-section-not-checked-afterwards",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a write of a future that ended after the lease is trusted",
        changes: &[Change {
            file: LEASE,
            from: "let result = section(self.token).await;
        under_way.end();
        Ok(SectionOutcome::new(result, self.check(clock)))",
            to: "let held = self.check(clock);
        let result = section(self.token).await;
        under_way.end();
        Ok(SectionOutcome::new(result, held))",
        }],
        caught_by: file("lease", &["the_lease_is_checked_when_the_future_has_ended"]),
    },
    Mutant {
        name: "dropped-section-not-counted",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "nobody learns of a section that was dropped half-way",
        changes: &[Change {
            file: ABANDONED,
            from: "self.0.0.fetch_add(1, Ordering::Relaxed);",
            to: "self.0.0.fetch_add(0, Ordering::Relaxed);",
        }],
        caught_by: file("lease", &["a_dropped_future_is_counted_if_its_section_began"]),
    },
    Mutant {
        name: "missing-state-read-as-free",
        breaks: Promise("at most one holder acts under a lease at any true moment"),
        harm: "a stored state without its present lease is read as one that grants at once",
        changes: &[Change {
            file: FORM,
            from: "#[serde(deserialize_with = \"written_out\")]
    current",
            to: "#[serde(default)]
    current",
        }],
        caught_by: serde("lease", &["a_state_that_lacks_any_field_at_any_depth_is_refused"]),
    },
];
