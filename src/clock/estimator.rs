//! [`Estimator`]: samples in, one bound out.
//!
//! Averaging is what clocks do with samples that disagree: a filter, a vote, a
//! least-squares line. The result is near the truth most of the time, and says
//! nothing about when it is not. Here a sample is a statement with a bound, and
//! statements are not averaged but *combined*: what is true of both is in their
//! intersection, and that is never wider than either.
//!
//! If two statements have no moment in common, one of them is false, and
//! nobody here can know which. That is a **contradiction**. It is counted, and
//! for [`HOLD`] the published bound covers both sides (their hull), since the
//! truth is in one of them. When the newer side has stood unopposed for that
//! long the older one is given up.
//!
//! An **epoch** ends when what is published stops being consistent with what
//! was published before: then a timestamp taken earlier may be one that this
//! clock would now call impossible, and callers who kept such stamps want to know.
//!
//! It is a pure state machine over ticks. The simulator runs this same code.

use std::time::Duration;

use crate::clock::block::{Block, Label};
use crate::clock::bound::{Bound, Pace, Sample};
use crate::clock::counter::Counter;
use crate::clock::status::Status;
use crate::interval::Interval;

/// How long both sides of a contradiction are published after it last showed.
///
/// Long enough for monitoring to see the status, and for a time daemon that
/// was itself deceived to notice within its own poll interval (16 s to 64 s).
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// What became of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fused {
    /// It agrees with what was known, which may have become narrower.
    Agrees,
    /// It cannot be true together with what was known.
    Contradicts,
    /// Its ticks are in the wrong order, or not reached yet: its source has a fault.
    Malformed,
}

/// The older side of a contradiction, until it is given up.
#[derive(Clone, Copy, Debug)]
struct Rival {
    bound: Bound,
    until: u64,
}

/// What is known at this moment, and how it came to be known.
#[derive(Clone, Debug)]
pub(crate) struct Estimator {
    pace: Pace,
    granularity_ns: u64,
    max_width: Duration,
    fused: Option<Bound>,
    rival: Option<Rival>,
    contradictions: u64,
    published: Option<Block>,
    epoch: u32,
}

impl Estimator {
    pub(crate) fn new(pace: Pace, granularity_ns: u64, max_width: Duration) -> Estimator {
        Estimator {
            pace,
            granularity_ns,
            max_width,
            fused: None,
            rival: None,
            contradictions: 0,
            published: None,
            epoch: 0,
        }
    }

    /// Takes over what another estimator has published.
    pub(crate) fn resume_from(&mut self, block: &Block) {
        self.fused = block.bound();
        self.published = Some(*block);
        self.epoch = block.epoch();
    }

    /// Combines a sample with what is known when the counter shows `tick`.
    pub(crate) fn fuse(&mut self, sample: &Sample, tick: u64) -> Fused {
        let new = Bound::from_sample(sample, &self.pace, self.granularity_ns);
        // A bound that starts in the future would turn every reading until
        // then into an error.
        let Some(new) = new.filter(|new| new.origin <= tick) else {
            return Fused::Malformed;
        };
        self.give_up_rival(new.origin);
        let Some(old) = self.fused else {
            self.fused = Some(new);
            return Fused::Agrees;
        };
        let Some((old, new)) = Bound::aligned(&old, &new, &self.pace) else {
            return Fused::Malformed;
        };
        if let Some(time) = old.time.intersect(&new.time) {
            self.fused = Some(Bound { origin: new.origin, time });
            return Fused::Agrees;
        }
        self.contradictions += 1;
        let older_side = self.rival.map_or(old, |rival| self.hull(rival.bound, old));
        let until = new.origin.saturating_add(self.pace.most_ticks(HOLD.as_nanos() as u64));
        self.rival = Some(Rival { bound: older_side, until });
        self.fused = Some(new);
        Fused::Contradicts
    }

    /// Forgets everything: the counter did not count for a while, so nothing can be carried on.
    pub(crate) fn forget(&mut self) {
        if self.fused.take().is_some() {
            self.epoch += 1;
        }
        self.rival = None;
        self.published = None;
    }

    /// What is known, as it is to be published when the counter shows `tick`.
    ///
    /// `status` is what the sources are worth; a contradiction overrides it.
    pub(crate) fn publish(&mut self, tick: u64, counter: Counter, status: Status) -> Block {
        self.give_up_rival(tick);
        let Some(fused) = self.fused else {
            return Block::empty(self.pace, Label::new(counter, status, self.epoch));
        };
        let (bound, status) = match self.rival {
            Some(rival) => (self.hull(fused, rival.bound), Status::Contradicted),
            None => (fused, status),
        };
        let block = |epoch| {
            Block::new(bound, self.pace, self.max_width, Label::new(counter, status, epoch))
        };
        if self.published.is_some_and(|old| !old.contains(&block(self.epoch))) {
            self.epoch += 1;
        }
        let block = block(self.epoch);
        self.published = Some(block);
        block
    }

    /// Learns the rate better. What is known was carried by the old pace, which
    /// held too: only `pace`s that lie inside it may follow.
    pub(crate) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Goes over to another counter, which showed `to` while the old one went
    /// from `from.0` to `from.1`.
    pub(crate) fn change_counter(
        &mut self,
        from: (u64, u64),
        to: u64,
        pace: Pace,
        granularity_ns: u64,
    ) {
        let old_pace = self.pace;
        let slack = Duration::from_nanos(granularity_ns);
        let convert = |bound: Bound| {
            // At some tick of the old counter's range the new one showed `to`:
            // the ends are taken where each of them is furthest out.
            let earliest = bound.carried_to(from.0.max(bound.origin), &old_pace)?.time.earliest();
            let latest = bound.carried_to(from.1.max(bound.origin), &old_pace)?.time.latest();
            // If the bound is newer than the comparison, it cannot be carried back.
            let known = bound.origin <= from.0;
            let time = Interval::new(earliest, latest).filter(|_| known)?.widen(slack);
            Some(Bound { origin: to, time })
        };
        self.fused = self.fused.and_then(convert);
        // Ticks of the old counter mean nothing now: the hold begins again.
        let until = to.saturating_add(pace.most_ticks(HOLD.as_nanos() as u64));
        let rival = self.rival.and_then(|rival| convert(rival.bound));
        self.rival = rival.map(|bound| Rival { bound, until });
        self.pace = pace;
        self.granularity_ns = granularity_ns;
        self.published = None;
    }

    /// How many samples could not be true together with what was known.
    pub(crate) fn contradictions(&self) -> u64 {
        self.contradictions
    }

    /// Whether there is anything to publish.
    pub(crate) fn has_evidence(&self) -> bool {
        self.fused.is_some()
    }

    fn give_up_rival(&mut self, tick: u64) {
        self.rival = self.rival.filter(|rival| tick < rival.until);
    }

    /// Both bounds' times at the later of their origins, and everything in between.
    fn hull(&self, a: Bound, b: Bound) -> Bound {
        match Bound::aligned(&a, &b, &self.pace) {
            Some((a, b)) => Bound { origin: a.origin, time: a.time.hull(&b.time) },
            None => Bound { origin: a.origin.max(b.origin), time: Interval::EVERYTHING },
        }
    }
}
