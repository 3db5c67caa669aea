//! [`SampleError`]: why the driver does not use a sample, in the words of the report.

use crate::counter::CounterError;
use crate::evidence::{Reason, Sample, SourceError};
use crate::host::HostError;

/// Why the earlier evidence no longer holds as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Invalidation {
    Suspended,
    CounterGivenUp(CounterError),
    /// The clock that the counter is compared with, or that is the counter, stands still.
    RawClockStopped,
    /// A clock that the checks need cannot be read, so a suspend or a counter's fault
    /// could go unseen.
    HostDenies(HostError),
    /// The oscillator may be off by so many ppm, which is more than was assumed.
    DriftExceeded(u32),
    Requested,
    /// The disruption marker has changed: `ClockCore::round` begins again.
    Disrupted,
}

/// Why a sample was not taken into account.
pub(crate) enum SampleError {
    Refused(SourceError),
    Invalidated(Invalidation),
}

impl SampleError {
    pub(crate) fn into_source_error(self) -> SourceError {
        match self {
            SampleError::Refused(error) => error,
            SampleError::Invalidated(Invalidation::HostDenies(error)) => error.into(),
            SampleError::Invalidated(Invalidation::Suspended) => SourceError::no_bound(
                Reason::Suspended,
                "the sample was dropped, because the host was suspended while it was taken",
            ),
            SampleError::Invalidated(Invalidation::CounterGivenUp(why)) => {
                SourceError::failed(format_args!("the counter failed during the sample: {why}"))
            }
            SampleError::Invalidated(Invalidation::RawClockStopped) => {
                SourceError::no_bound(Reason::CounterStopped, CounterError::RawClockStopped)
            }
            SampleError::Invalidated(Invalidation::DriftExceeded(ppm)) => SourceError::no_bound(
                Reason::OscillatorBeyondDrift,
                format_args!(
                    "the sample was dropped, because the oscillator was found to be off by up to \
                     {ppm} ppm"
                ),
            ),
            SampleError::Invalidated(Invalidation::Disrupted) => SourceError::no_bound(
                Reason::Disrupted,
                "the sample was dropped, because the machine was moved or restored while it was taken",
            ),
            SampleError::Invalidated(Invalidation::Requested) => SourceError::no_bound(
                Reason::NotSampled,
                "the sample was dropped, because the clock was told to forget its evidence meanwhile",
            ),
        }
    }
}

/// The ticks of a sample are out of order at this tick.
pub(crate) fn malformed(sample: &Sample, tick: u64) -> SourceError {
    SourceError::failed(format_args!(
        "the source returned a sample whose ticks are out of order (before {}, after {}, now {tick}): \
         both must come from the counter that it is given, `before` first",
        sample.before, sample.after,
    ))
}

/// A sample is of ticks that can no longer be carried on.
pub(crate) fn stale() -> SourceError {
    SourceError::no_bound(
        Reason::Suspended,
        "the sample was taken before the host was suspended, or before the counter was changed",
    )
}
