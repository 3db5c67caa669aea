//! [`ChronyFit`]: what chronyd's estimate rests on, of all that it tells of its sources.

use std::time::Duration;

use super::source_stats::SourceStats;
use super::sources::{ChronySource, NewestMeasurement, SourceMode, SourceState};

/// The longest poll interval that chronyd can be set to, in log2 s.
const LONGEST_POLL: i16 = 24;

/// What chronyd's estimate rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChronyFit {
    /// To how many polls of the server that it follows it has fitted its line.
    pub(crate) samples: u32,
    /// The longest span of the polls of one source.
    pub(crate) span: Duration,
    /// The newest measurement of the source that it follows.
    pub(crate) newest: Option<NewestMeasurement>,
    /// Over how long a time that is a mean.
    pub(crate) averaged: Duration,
}

impl ChronyFit {
    /// What follows from the sources of a chronyd and their statistics.
    pub(crate) fn of(sources: &[(ChronySource, SourceStats)]) -> Option<ChronyFit> {
        let span = sources.iter().map(|(_, stats)| stats.span).max()?;
        let is_selected = |source: &ChronySource| source.state == SourceState::Selected;
        let selected = sources.iter().find(|(source, _)| is_selected(source));
        let samples = match selected {
            Some((_, stats)) => stats.samples,
            None => sources.iter().map(|(_, stats)| stats.samples).max()?,
        };
        let newest = selected.and_then(|(source, _)| source.newest);
        let averaged = match selected.map(|(source, _)| (source.mode, source.poll)) {
            Some((SourceMode::Server | SourceMode::Peer, _)) => Some(Duration::ZERO),
            Some((SourceMode::ReferenceClock, poll)) => {
                Some(Duration::from_secs_f64(2f64.powi(poll.clamp(-8, LONGEST_POLL).into())))
            }
            _ => None,
        };
        let newest = newest.filter(|_| averaged.is_some());
        Some(ChronyFit { samples, span, newest, averaged: averaged.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::chrony::source_stats::tests::stats;

    #[test]
    fn the_longest_span_counts_and_the_newest_poll_of_the_server_that_is_followed() {
        let source = |state, mode, span_s, offset_ns| {
            let source = crate::source::chrony::sources::tests::source(state, mode, offset_ns);
            (source, stats(12, span_s))
        };
        let other = source(SourceState::Unselected, SourceMode::Server, 640, 1);
        let of = |mode| ChronyFit::of(&[other, source(SourceState::Selected, mode, 99, 2)]);
        let server = of(SourceMode::Server).expect("two sources");
        assert_eq!((server.span, server.samples), (Duration::from_secs(640), 12));
        assert_eq!(server.newest.map(|newest| newest.offset_ns), Some(2));
        assert_eq!(server.averaged, Duration::ZERO);
        // A reference clock is measured by a mean over its poll interval, here 64 s.
        let clock = of(SourceMode::ReferenceClock).expect("two sources");
        assert_eq!((clock.newest, clock.averaged), (server.newest, Duration::from_secs(64)));
        assert_eq!(of(SourceMode::Other).expect("two sources").newest, None);
        assert_eq!(ChronyFit::of(&[other]).expect("one source").newest, None, "it is not followed");
        assert_eq!(ChronyFit::of(&[]), None);
    }
}
