//! [`PeerVerdict`]: which clocks are wrong, and whether ours is one of them.
//!
//! The [module](super)'s essay explains the rule and proves it. This file has the rule as
//! a pure function of intervals at one moment.

use std::time::Duration;

use super::error::PeerError;
use super::relation::Relation;
use crate::agreement::{self, Agreement, Classification};
use crate::interval::Interval;
use crate::quorum::Quorum;

/// What follows from all evidence: continue, or stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerVerdict<P> {
    /// Continue: a majority, ourselves included, shares a moment, and no clock is proved wrong.
    Agree,
    /// Continue: a majority, ourselves included, shares a moment, but the clocks of these
    /// peers are certainly wrong. Do not follow their timestamps.
    PeersWrong(Vec<P>),
    /// Stop: a majority shares a moment, and our interval contains no such moment. Our clock
    /// is wrong, whatever status it reports. Give up leases and leadership, and issue no
    /// stamps, until the clock has been repaired.
    StepDown(Correction),
    /// Nothing can be decided: [`PeerError::TooFewHeard`], [`PeerError::Split`] or
    /// [`PeerError::TooManyWrong`]. This does not prove that our clock is wrong, nor that it
    /// is right.
    NoQuorum(PeerError),
}

/// What the majority states in place of our clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Correction {
    /// True time at the moment of the verdict.
    pub true_time: Interval,
    /// The distance from our interval to the nearest moment that may be true. Our error is at
    /// least this large.
    pub off_by: Duration,
}

/// What follows for one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerReport<P> {
    /// The peer.
    pub peer: P,
    /// True time according to this peer, at the moment of the verdict. `None` if it has not
    /// answered within `max_age`.
    pub interval: Option<Interval>,
    /// What is certain about that interval. `None` if there is none, or if more clocks are
    /// wrong than was assumed.
    pub classification: Option<Classification>,
    /// This peer's clock compared with ours. `None` if it has not answered within `max_age`.
    pub against_ours: Option<Relation>,
    /// How often an answer of this peer contradicted its earlier ones.
    pub self_contradictions: u64,
}

/// What follows for all members. Index 0 is us.
pub(super) struct Assessment {
    pub(super) outcome: Outcome,
    pub(super) agreement: Option<Agreement>,
}

/// A verdict in which the peers have no names yet.
pub(super) enum Outcome {
    Continue,
    StepDown(Correction),
    NoQuorum(PeerError),
}

/// Applies the rule to our interval and each peer's, all at one moment. A peer without fresh
/// evidence is `None`.
pub(super) fn assess(
    ours: Interval,
    peers: &[Option<Interval>],
    faulty: usize,
    majority: Quorum,
) -> Assessment {
    // A silent peer may be right whatever the truth is, so it counts as an interval of all time.
    let mut all = vec![ours];
    all.extend(peers.iter().map(|peer| peer.unwrap_or(Interval::EVERYTHING)));
    let heard: Vec<Interval> =
        std::iter::once(ours).chain(peers.iter().copied().flatten()).collect();
    let needed = majority.size();

    let Ok(agreement) = agreement::examine(&all, faulty) else {
        let wrong = heard.len() - agreement::most_at_once(&heard);
        let outcome = Outcome::NoQuorum(PeerError::TooManyWrong { wrong, faulty });
        return Assessment { outcome, agreement: None };
    };
    let within_ours: Vec<_> = heard.iter().filter_map(|peer| peer.intersect(&ours)).collect();
    let with_us = agreement::most_at_once(&within_ours);
    let we_are_wrong = agreement.classify(&ours) == Classification::Falseticker;
    let outcome = if heard.len() < needed {
        Outcome::NoQuorum(PeerError::TooFewHeard { heard: heard.len(), needed })
    } else if we_are_wrong && majority.is_met_by(agreement::most_at_once(&heard)) {
        Outcome::StepDown(correction(&ours, &agreement))
    } else if !we_are_wrong && majority.is_met_by(with_us) {
        Outcome::Continue
    } else {
        Outcome::NoQuorum(PeerError::Split { with_us, needed })
    };
    Assessment { outcome, agreement: Some(agreement) }
}

/// The correction for an interval that contains no possible moment.
fn correction(ours: &Interval, agreement: &Agreement) -> Correction {
    let gap = |piece: &Interval| match Relation::between(piece, ours) {
        Relation::Consistent => Duration::ZERO,
        Relation::Ahead(by) | Relation::Behind(by) => by,
    };
    let off_by = agreement.pieces().iter().map(gap).min().unwrap_or_default();
    Correction { true_time: agreement.interval(), off_by }
}
