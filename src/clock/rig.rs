//! What the tests of the core and of its driver have in common: a source that knows the truth of a
//! scripted host, and a core that reads it.

use std::sync::Arc;

use crate::clock::core::{ClockCore, Parts};
use crate::clock::driver::SourceKind;
use crate::clock::report::Limits;
use crate::clock::vmclock::VmClockSetup;
use crate::counter::{Counter, CounterKind};
use crate::evidence::{Sample, Source, SourceError};
use crate::host::scripted::ScriptedHost;
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::{RealtimeScale, WallClock};
use crate::timestamp::Timestamp;

/// A source that knows the truth of a scripted host, and states it exactly.
pub(super) struct Honest(pub(super) Arc<ScriptedHost>);

impl Source for Honest {
    fn name(&self) -> &str {
        "honest"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let before = counter.read();
        let truth = Timestamp::from_tai_nanos(self.0.truth_ns());
        Ok(Sample::new(before, counter.read(), truth.into()))
    }
}

/// This source, as evidence.
pub(super) fn evidence(source: impl Source + 'static) -> SourceKind {
    SourceKind::Evidence(Box::new(source))
}

/// A wall clock that shows UTC.
pub(super) fn utc() -> Arc<WallClock> {
    Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc))
}

/// The parts of a core with these sources, which makes no others and has no VMClock. It carries
/// bounds by A2 alone, so that widths are easy to foresee.
pub(super) fn parts(sources: Vec<SourceKind>) -> Parts {
    Parts {
        limits: Limits { max_wander_ppm: None, ..Limits::default() },
        kind: CounterKind::Auto,
        wall_clock: utc(),
        sources,
        make_sources: Box::new(Vec::new),
        vmclock: VmClockSetup::default(),
    }
}

/// A core with these sources.
pub(super) fn core(
    host: &Arc<ScriptedHost>,
    sources: Vec<SourceKind>,
) -> ClockCore<Arc<ScriptedHost>> {
    ClockCore::new(host.clone(), parts(sources)).expect("Auto never fails")
}

/// Reads the clock, and holds the reading against the truth.
pub(super) fn check(core: &ClockCore<Arc<ScriptedHost>>, host: &ScriptedHost) -> Interval {
    let before = Timestamp::from_tai_nanos(host.truth_ns());
    let now = core.now().expect("there is evidence");
    let after = Timestamp::from_tai_nanos(host.truth_ns());
    assert!(now.earliest() <= after && before <= now.latest(), "{now} at {before}");
    now
}
