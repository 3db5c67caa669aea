//! [`MarkStatus`]: what a program can know of its mark before stamps have to wait for it.

use std::time::Duration;

use super::mark_state::MarkState;
use super::stamp::Stamp;
use crate::durable::RecordError;

/// How the high-water mark of a durable [`Hlc`](super::Hlc) stands.
///
/// A write that fails does not fail a stamp: the stamps below the mark are safe, and the
/// write is tried again. So a program that is to warn before the window is used up looks here, or
/// calls [`Hlc::check`](super::Hlc::check).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MarkStatus {
    /// Stamps up to here can be issued without a write.
    pub limit: Stamp,
    /// How far ahead of the stamps the mark is written at present. It is longer than
    /// [`HlcBuilder::window`](super::HlcBuilder::window) if the store is slow.
    pub window: Duration,
    /// The longest that a write took lately. Zero without a thread, which measures nothing.
    pub latency: Duration,
    /// How long the present write has taken so far, if one is under way.
    pub writing: Option<Duration>,
    /// Why the last write failed, if it did.
    pub error: Option<RecordError>,
}

impl MarkStatus {
    pub(super) fn of(mark: &MarkState, now: Duration) -> MarkStatus {
        MarkStatus {
            limit: Stamp::from_bits(mark.limit()),
            window: mark.window.length(),
            latency: mark.window.latency(),
            writing: mark.writing_since().map(|since| now.saturating_sub(since)),
            error: mark.error().cloned(),
        }
    }
}
