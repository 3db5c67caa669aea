//! [`Verdict`]: who is wrong, and whether it is us.
//!
//! The rule is written out, and proved, in the [module](super)'s essay. This
//! file is the rule as a pure function of intervals at one moment.

use std::time::Duration;

use crate::agreement::{self, Agreement, Standing};
use crate::interval::Interval;
use crate::quorum::Quorum;

use super::exchange::Relation;

/// Who to believe, judged from all that has been heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict<P> {
    /// Go on: a majority, ourselves included, shares a moment, and nobody is proved wrong.
    Agree,
    /// Go on: a majority, ourselves included, shares a moment, and these peers
    /// are wrong for certain. Do not follow their timestamps.
    PeersWrong(Vec<P>),
    /// Stop: a majority shares a moment, and no such moment is in our interval.
    /// Our clock is wrong, whatever it says of itself. Give up leases and
    /// leadership, and stamp nothing, until the clock is mended.
    StepDown(Correction),
    /// Nothing can be decided, and why. This proves nothing against us; it also
    /// supports nobody.
    NoQuorum(NoQuorum),
}

/// What the majority says in place of our clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Correction {
    /// True time at the moment of the verdict.
    pub true_time: Interval,
    /// How far our interval is from the nearest moment that may be true: our error, at least.
    pub off_by: Duration,
}

/// Why there is no verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoQuorum {
    /// Too few members, ourselves included, have been heard lately.
    #[error("{heard} members have been heard lately, a majority is {needed}: ask the others")]
    TooFewHeard {
        /// How many, ourselves included.
        heard: usize,
        /// How many make a majority of the members.
        needed: usize,
    },
    /// Enough were heard, but a majority does not share a moment with us, nor
    /// is it certain that we are the one to blame.
    #[error(
        "{with_us} members share a moment with our clock, a majority is {needed}, and it is not \
         certain who is wrong: ask those that have not answered"
    )]
    Split {
        /// The most, ourselves included, at any moment of our interval.
        with_us: usize,
        /// How many make a majority of the members.
        needed: usize,
    },
    /// More are wrong than was allowed for, so no conclusion is safe.
    #[error(
        "at least {wrong} clocks are wrong, and only {faulty} were allowed for: nothing can be \
         concluded until they are mended, or more are allowed for"
    )]
    TooManyWrong {
        /// How many are wrong, at least.
        wrong: usize,
        /// How many were allowed for.
        faulty: usize,
    },
}

/// What one peer's evidence comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerReport<P> {
    /// Who.
    pub peer: P,
    /// True time by this peer's word, at the moment of the verdict. `None` if
    /// it has not been heard within `max_age`.
    pub says: Option<Interval>,
    /// What is certain about that. `None` if not heard, or if more clocks are
    /// wrong than was allowed for.
    pub standing: Option<Standing>,
    /// This peer's clock against ours. `None` if not heard.
    pub against_ours: Option<Relation>,
    /// How often an answer of this peer contradicted its earlier ones.
    pub contradicted_itself: u64,
}

/// What follows for each member, in a pure form: index 0 is us.
pub(super) struct Judgement {
    pub(super) ruling: Ruling,
    pub(super) agreement: Option<Agreement>,
}

/// A verdict before the peers have names.
pub(super) enum Ruling {
    GoOn,
    StepDown(Correction),
    NoQuorum(NoQuorum),
}

/// `ours` and what each peer says, all at one moment; `None` for who was not heard.
pub(super) fn judge(
    ours: Interval,
    peers: &[Option<Interval>],
    faulty: usize,
    majority: Quorum,
) -> Judgement {
    // Who was not heard may be right whatever the truth is: an interval of everything.
    let unheard = Interval::EVERYTHING;
    let mut all = vec![ours];
    all.extend(peers.iter().map(|says| says.unwrap_or(unheard)));
    let heard: Vec<Interval> =
        std::iter::once(ours).chain(peers.iter().copied().flatten()).collect();
    let needed = majority.size();

    let Ok(agreement) = agreement::examine(&all, faulty) else {
        let wrong = heard.len() - agreement::most_at_once(&heard);
        let ruling = Ruling::NoQuorum(NoQuorum::TooManyWrong { wrong, faulty });
        return Judgement { ruling, agreement: None };
    };
    let within_ours: Vec<_> = heard.iter().filter_map(|says| says.intersect(&ours)).collect();
    let with_us = agreement::most_at_once(&within_ours);
    let we_are_wrong = agreement.standing_of(&ours) == Standing::Falseticker;
    let ruling = if heard.len() < needed {
        Ruling::NoQuorum(NoQuorum::TooFewHeard { heard: heard.len(), needed })
    } else if we_are_wrong && majority.is_met_by(agreement::most_at_once(&heard)) {
        Ruling::StepDown(correction(&ours, &agreement))
    } else if !we_are_wrong && majority.is_met_by(with_us) {
        Ruling::GoOn
    } else {
        Ruling::NoQuorum(NoQuorum::Split { with_us, needed })
    };
    Judgement { ruling, agreement: Some(agreement) }
}

/// What the possible moments say to an interval that holds none of them.
fn correction(ours: &Interval, agreement: &Agreement) -> Correction {
    let gap = |piece: &Interval| match Relation::between(piece, ours) {
        Relation::Consistent => Duration::ZERO,
        Relation::Ahead(by) | Relation::Behind(by) => by,
    };
    let off_by = agreement.pieces().iter().map(gap).min().unwrap_or_default();
    Correction { true_time: agreement.interval(), off_by }
}
