//! Agreement of clocks, quorums, and the verdict on one's own clock.

use crate::mutant::Broken::Promise;
use crate::mutant::{Mutant, file, unit};
use crate::patched::Change;

const AGREEMENT: &str = "src/agreement.rs";
const EXCHANGE: &str = "src/peers/exchange.rs";
const PEERS: &str = "src/peers/peer_clocks.rs";
const MEMBER: &str = "src/peers/member.rs";
const QUORUM: &str = "src/quorum.rs";
const VERDICT: &str = "src/peers/peer_verdict.rs";

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "agree-with-one-less",
        breaks: Promise("at most f wrong clocks never move the answer off the truth"),
        harm: "one wrong clock more than allowed for is needed to be right, so the answer excludes the truth",
        changes: &[Change {
            file: AGREEMENT,
            from: "let needed = inputs.checked_sub(faulty)?;",
            to: "let needed = inputs.checked_sub(faulty.saturating_sub(1))?;",
        }],
        caught_by: file("agreement", &["every_small_case_agrees_with_the_definition"]),
    },
    Mutant {
        name: "agree-with-half",
        breaks: Promise("at most f wrong clocks never move the answer off the truth"),
        harm: "half of the clocks may be wrong together, and move the answer anywhere",
        changes: &[Change {
            file: AGREEMENT,
            from: "(needed > faulty).then_some(needed)",
            to: "(needed >= faulty).then_some(needed)",
        }],
        caught_by: file(
            "agreement",
            &["every_small_case_agrees_with_the_definition", "cases_by_hand"],
        ),
    },
    Mutant {
        name: "agree-on-open-intervals",
        breaks: Promise("at most f wrong clocks never move the answer off the truth"),
        harm: "two intervals that touch have the moment in common",
        changes: &[Change {
            file: AGREEMENT,
            from: "while ends[ended] < start {",
            to: "while ends[ended] <= start && ended < i {",
        }],
        caught_by: file("agreement", &["every_small_case_agrees_with_the_definition"]),
    },
    Mutant {
        name: "falseticker-in-a-gap-is-undecided",
        breaks: Promise("at most f wrong clocks never move the answer off the truth"),
        harm: "an interval between the pieces is certainly wrong, and is not called so",
        changes: &[Change {
            file: AGREEMENT,
            from: "Some(piece) if piece.overlaps(interval) => Classification::Undecided,",
            to: "Some(_) => Classification::Undecided,",
        }],
        caught_by: file(
            "agreement",
            &["a_wrong_input_inside_the_hull_but_between_the_pieces_is_found"],
        ),
    },
    Mutant {
        name: "majority-is-half",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "two halves of a cluster decide without each other",
        changes: &[Change {
            file: QUORUM,
            from: "Quorum::of(members, members / 2 + 1)",
            to: "Quorum::of(members, members / 2 + members % 2)",
        }],
        caught_by: unit(&["sizes_are_the_smallest_that_suffice"]),
    },
    Mutant {
        name: "byzantine-quorum-of-a-majority",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "two quorums share none but faulty members",
        changes: &[Change {
            file: QUORUM,
            from: "members / 2 + faulty / 2 + (members & faulty & 1) + 1",
            to: "members / 2 + 1 + faulty * 0",
        }],
        caught_by: unit(&["sizes_are_the_smallest_that_suffice"]),
    },
    Mutant {
        name: "doubled-vote-counts",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "a vote that is counted twice makes a majority",
        changes: &[Change {
            file: QUORUM,
            from: "self.size <= votes && votes <= self.members",
            to: "self.size <= votes",
        }],
        caught_by: unit(&["a_vote_counted_twice_decides_nothing"]),
    },
    Mutant {
        name: "majority-of-those-heard",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "a node that hears few goes on with their majority",
        changes: &[Change {
            file: VERDICT,
            from: "let outcome = if heard.len() < needed {",
            to: "let needed = heard.len() / 2 + 1;
    let majority = Quorum::majority(heard.len()).unwrap_or(majority);
    let outcome = if heard.len() < needed {",
        }],
        caught_by: file("agreement", &["a_majority_of_the_answers_is_not_enough"]),
    },
    Mutant {
        name: "unheard-counts-as-against-us",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "a right clock is told to stop because others were not heard",
        changes: &[Change {
            file: VERDICT,
            from: "all.extend(peers.iter().map(|peer| peer.unwrap_or(Interval::EVERYTHING)));",
            to: "all.extend(peers.iter().copied().flatten());",
        }],
        caught_by: file("agreement", &["up_to_the_limit_no_right_clock_is_blamed_or_stopped"]),
    },
    Mutant {
        name: "round-trip-halved",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "a peer that answers over an uneven path is called wrong",
        changes: &[Change {
            file: EXCHANGE,
            from: "let latest = counter.carry_latest(self.theirs.latest(), self.sent, at);",
            to: "let middle = self.sent + (self.received - self.sent) / 2;
        let latest = counter.carry_latest(self.theirs.latest(), middle, at);",
        }],
        caught_by: file("agreement", &["asymmetry_within_the_round_trip_calls_no_clock_wrong"]),
    },
    Mutant {
        name: "answer-counts-twice",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "a replayed answer makes a right peer seem to lag",
        changes: &[Change {
            file: MEMBER,
            from: "self.open.remove(place).map(|(_, sent)| sent)",
            to: "self.open.get(place).map(|(_, sent)| *sent)",
        }],
        caught_by: file("agreement", &["a_replayed_answer_is_refused"]),
    },
    Mutant {
        name: "old-evidence-votes",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "a peer that died while it was right goes on as a vote",
        changes: &[Change {
            file: MEMBER,
            from: "at.saturating_sub(exchange.received()) <= limits.max_age",
            to: "at.saturating_sub(exchange.received()) <= limits.max_age.max(at)",
        }],
        caught_by: file(
            "agreement",
            &["old_evidence_widens_by_the_drift_and_then_no_longer_counts"],
        ),
    },
    Mutant {
        name: "member-named-twice",
        breaks: Promise("a right clock is not told to stop, and a wrong one does not go on"),
        harm: "one peer has two votes",
        changes: &[Change {
            file: PEERS,
            from: "if members.iter().any(|member| member.peer == peer) {",
            to: "if false {",
        }],
        caught_by: file("agreement", &["members_are_counted_once_and_other_nodes_not_at_all"]),
    },
];
