//! [`Relation`]: whether a peer's clock and ours can both be right.

use std::time::Duration;

use crate::interval::Interval;

/// What one exchange proves about a peer's clock and ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relation {
    /// Both may be right.
    Consistent,
    /// They cannot both be right: the peer's clock is ahead of ours, by at least this much.
    Ahead(Duration),
    /// They cannot both be right: the peer's clock is behind ours, by at least this much.
    Behind(Duration),
}

impl Relation {
    /// The relation of `theirs` to `ours`, both at the same moment.
    pub(super) fn between(theirs: &Interval, ours: &Interval) -> Relation {
        match (
            theirs.earliest().duration_since(ours.latest()),
            ours.earliest().duration_since(theirs.latest()),
        ) {
            (Some(gap), _) if !gap.is_zero() => Relation::Ahead(gap),
            (_, Some(gap)) if !gap.is_zero() => Relation::Behind(gap),
            _ => Relation::Consistent,
        }
    }
}

/// Compares a peer's clock with ours in one exchange, by readings of our clock alone.
///
/// `sent` is our clock before the request left, and `received` our clock after the answer
/// arrived. If we are right, the peer read its clock between `sent.earliest()` and
/// `received.latest()`, and no narrower bounds can be known. The result is `None` if our
/// own two readings contradict each other, because then nothing follows about the peer.
///
/// This compares one exchange only. To decide with several peers, use
/// [`PeerClocks`](super::PeerClocks), which carries evidence by a counter.
///
/// ```
/// use std::time::Duration;
/// use truechimer::{Interval, Timestamp, peers::{Relation, compare}};
///
/// let ms = |a, b| {
///     let at = |ms: i64| Timestamp::from_tai_nanos(ms * 1_000_000);
///     Interval::new(at(a), at(b)).expect("in order")
/// };
/// let (sent, received) = (ms(100, 104), ms(140, 144));
/// assert_eq!(compare(&sent, &ms(144, 150), &received), Some(Relation::Consistent));
/// let ahead = Relation::Ahead(Duration::from_millis(6));
/// assert_eq!(compare(&sent, &ms(150, 151), &received), Some(ahead));
/// ```
pub fn compare(sent: &Interval, theirs: &Interval, received: &Interval) -> Option<Relation> {
    let ours = Interval::new(sent.earliest(), received.latest())?;
    Some(Relation::between(theirs, &ours))
}
