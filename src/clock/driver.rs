//! [`Driver`]: samples the sources, checks the counter, publishes the result.
//!
//! The order matters. A sample is valid only if the counter counted during all of it. So the
//! driver checks the counter *after* each sample and before it uses the sample. At the same
//! place it checks for a suspend, because counters may stand still in one. If the earlier
//! evidence is invalid, the published snapshot is replaced before any other source is sampled.
//! A source may block, and readers must not see a stale bound while it does. Evidence from
//! before the suspend is refused, however late it arrives.
//!
//! Each sample is published at once and not at the end of the round. So a source that blocks
//! delays the sources after it, but not the evidence from before it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::clock::report::{Answer, Limits, Record};
use crate::clock::sample_error::{Invalidation, SampleError, malformed, stale};
use crate::counter::calibration::Calibration;
use crate::counter::{Ageing, Counter, CounterError};
use crate::estimator::bound::Bound;
use crate::estimator::{Estimator, Fused, Learning};
use crate::evidence::{Reason, Role, Sample, Source, SourceCondition, SourceError};
use crate::fork::Mutex;
use crate::host::{Host, HostClock, HostError, SUSPEND_NOISE_NS, suspended_ns};
use crate::interval::Interval;
use crate::snapshot::published::Published;
use crate::snapshot::{Snapshot, SnapshotFlags, Status};
use crate::source::assume::Assumed;
use crate::timestamp::Timestamp;

/// What kind of evidence a source gives.
pub(crate) enum SourceKind {
    /// The operator's statement, which makes the clock `Assumed`.
    Operator(Box<Assumed>),
    /// Evidence, which makes it `Synchronized`.
    Evidence(Box<dyn Source>),
}

impl SourceKind {
    fn source(&self) -> &dyn Source {
        match self {
            SourceKind::Operator(assumed) => &**assumed,
            SourceKind::Evidence(source) => &**source,
        }
    }

    fn source_mut(&mut self) -> &mut dyn Source {
        match self {
            SourceKind::Operator(assumed) => &mut **assumed,
            SourceKind::Evidence(source) => &mut **source,
        }
    }
}

/// A source, and the outcome of its last sample.
struct SourceSlot {
    name: String,
    kind: SourceKind,
    role: Role,
    last: Result<(), Reason>,
    condition: SourceCondition,
}

impl SourceSlot {
    fn new(kind: SourceKind) -> SourceSlot {
        // They are read once, and here, where one that panics does no harm.
        let known = || (kind.source().name().to_owned(), kind.source().role());
        let known = catch_unwind(AssertUnwindSafe(known));
        let (name, role) = known.unwrap_or_else(|_| ("unnamed".to_owned(), Role::default()));
        let condition = SourceCondition::default();
        SourceSlot { name, kind, role, last: Err(Reason::NotSampled), condition }
    }

    /// Samples the source, and asks for its condition.
    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let source = self.kind.source_mut();
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let sample = source.sample(counter);
            (sample, source.condition())
        }));
        match answer {
            Ok((sample, condition)) => {
                self.condition = condition;
                sample
            }
            // A panic takes back nothing of what the source knew, a wider drift above all.
            Err(panic) => Err(SourceError::Panicked(panic_message(&*panic))),
        }
    }

    /// Tells the source that the machine was moved or restored.
    fn disrupted(&mut self) {
        let source = self.kind.source_mut();
        let told = catch_unwind(AssertUnwindSafe(|| source.disrupted()));
        // One that panics is asked again all the same: its evidence from before is refused.
        drop(told);
        self.condition = SourceCondition::default();
    }

    /// Like every call into a source, it may panic.
    fn details(&self) -> Option<String> {
        let source = AssertUnwindSafe(self.kind.source());
        catch_unwind(|| source.details()).unwrap_or(None)
    }

    fn is_evidence(&self) -> bool {
        matches!(self.kind, SourceKind::Evidence(_)) && !self.is_cross_check()
    }

    fn is_cross_check(&self) -> bool {
        self.role == Role::CrossCheck
    }
}

/// Rates hold drifts of up to a tenth (see [`RateBounds`](crate::counter::RateBounds)).
const LARGEST_DRIFT_PPM: u32 = 100_000;

/// Requests to the driver, which do not wait for a round to end. A forked child finds its
/// parent's requests here.
#[derive(Debug)]
pub(crate) struct PendingRequests {
    /// The operator has stated the error of the wall clock again.
    pub(crate) renew: AtomicBool,
    /// The evidence so far is wrong and must be forgotten.
    pub(crate) forget: AtomicBool,
    /// The process was restored from a checkpoint: `ClockCore::round` carries it out.
    pub(crate) restart: AtomicBool,
    /// How long the host had been suspended in all at the last check; [`NO_SUSPENDS`] where
    /// no clock shows it.
    suspended_ns: AtomicI64,
}

/// This host has no clock that shows suspends, or it could not be read yet.
const NO_SUSPENDS: i64 = i64::MIN;

impl PendingRequests {
    pub(crate) fn new(host: &(impl Host + ?Sized)) -> PendingRequests {
        let suspended = suspended_ns(host).ok().flatten().unwrap_or(NO_SUSPENDS);
        PendingRequests {
            renew: AtomicBool::new(false),
            forget: AtomicBool::new(false),
            restart: AtomicBool::new(false),
            suspended_ns: AtomicI64::new(suspended),
        }
    }

    /// Whether the evidence so far is void, and not forgotten yet.
    pub(crate) fn are_pending(&self) -> bool {
        [&self.renew, &self.forget, &self.restart].iter().any(|flag| flag.load(Ordering::SeqCst))
    }

    /// Whether the host was suspended since the last call.
    fn was_suspended(&self, host: &dyn Host) -> Result<bool, HostError> {
        let Some(now) = suspended_ns(host)? else { return Ok(false) };
        let before = self.suspended_ns.load(Ordering::Relaxed);
        if before != NO_SUSPENDS && now.saturating_sub(before) <= SUSPEND_NOISE_NS {
            return Ok(false);
        }
        self.suspended_ns.store(now, Ordering::Relaxed);
        Ok(before != NO_SUSPENDS)
    }
}

/// Turns evidence into published snapshots.
pub(crate) struct Driver {
    slots: Vec<SourceSlot>,
    calibration: Calibration,
    estimator: Estimator,
    limits: Limits,
    /// How far the counter's rate may be from nominal: by A2, or by a source's evidence that it
    /// is further.
    drift_ppm: u32,
    /// By A2, or by what another driver was shown before.
    least_drift_ppm: u32,
    /// The last tick that was read.
    last_tick: u64,
    /// It changes whenever ticks from before can no longer be carried on by the present rates.
    generation: u64,
}

/// Where a round publishes, where it records, and where it finds requests.
#[derive(Clone, Copy)]
pub(crate) struct RoundContext<'a> {
    pub(crate) published: &'a Published,
    pub(crate) record: &'a Mutex<Record>,
    pub(crate) requests: &'a PendingRequests,
}

/// Why a driver begins again on what may be another machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beginning {
    /// The process was restored from a checkpoint. The host's own daemons were not.
    Restored,
    /// The whole machine was moved or restored, with all that runs on it.
    Disrupted,
}

impl Beginning {
    /// What has happened.
    fn what(self) -> &'static str {
        match self {
            Beginning::Restored => "the process was restored from a checkpoint",
            Beginning::Disrupted => {
                "the hypervisor moved this machine to another host, or restored it from a snapshot"
            }
        }
    }
}

impl Driver {
    pub(crate) fn new(
        sources: Vec<SourceKind>,
        calibration: Calibration,
        limits: Limits,
    ) -> Driver {
        let granularity_ns = calibration.granularity_ns(limits.max_drift_ppm);
        let rates = calibration.rates(limits.max_drift_ppm);
        let estimator = Estimator::new(rates, granularity_ns, limits.max_width)
            .learning_rate(limits.max_wander_ppm);
        let slots = sources.into_iter().map(SourceSlot::new).collect();
        let drift_ppm = limits.max_drift_ppm;
        Driver {
            slots,
            calibration,
            estimator,
            limits,
            drift_ppm,
            least_drift_ppm: drift_ppm,
            last_tick: 0,
            generation: 1,
        }
    }

    /// Continues from the last snapshot of another driver, which carried its bounds by
    /// `drift_ppm` if a source had shown one, and had learnt so much of the rate.
    pub(crate) fn resume_from(
        &mut self,
        snapshot: &Snapshot,
        drift_ppm: Option<u32>,
        learning: Option<Learning>,
    ) {
        // What has refuted A3 once is still under the counter.
        if let Some(Learning { wander_ppm, .. }) = learning {
            self.estimator.learn_anew(wander_ppm);
        }
        // The new sources have not seen what showed the drift, so it holds for good.
        self.least_drift_ppm = drift_ppm.unwrap_or(0).max(self.limits.max_drift_ppm);
        self.drift_ppm = self.least_drift_ppm;
        self.estimator.set_rates(self.calibration.rates(self.drift_ppm));
        if snapshot.counter() == self.calibration.counter.id() {
            // Up to now readers have carried it by the snapshot's own rates, which may have been
            // learnt and are lost with the other driver.
            let tick = self.calibration.counter.try_read().unwrap_or(0);
            let shown = snapshot.interval_at(tick).map(|time| Bound { origin: tick, time });
            let bound = shown.or(snapshot.bound());
            self.estimator.resume(bound, snapshot.estimate(), snapshot.epoch());
        } else {
            self.estimator.resume_after(snapshot.epoch());
        }
    }

    /// Begins again on another machine: with a counter that was measured there, and with
    /// sources that have seen nothing of the old one.
    ///
    /// The sources that the program has given are kept, because only the program can make
    /// them. The operator's statement was of the old machine, so it has ended.
    pub(crate) fn restart(
        &mut self,
        beginning: Beginning,
        calibration: Calibration,
        sources: Vec<SourceKind>,
    ) {
        let max_drift_ppm = self.limits.max_drift_ppm;
        self.calibration = calibration;
        // What showed a larger drift was the old machine's oscillator.
        self.drift_ppm = max_drift_ppm;
        self.least_drift_ppm = max_drift_ppm;
        // Nothing can be carried over, because no tick of the old counter is known in the new.
        self.estimator.change_counter(
            (0, 0),
            0,
            self.calibration.rates(max_drift_ppm),
            self.calibration.granularity_ns(max_drift_ppm),
        );
        self.estimator.learn_anew(self.limits.max_wander_ppm);
        for new in sources.into_iter().map(SourceSlot::new) {
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == new.name) {
                *slot = new;
            }
        }
        for slot in &mut self.slots {
            if let SourceKind::Operator(assumed) = &mut slot.kind {
                assumed.end(beginning.what());
            }
        }
        self.last_tick = 0;
        self.forget(match beginning {
            Beginning::Restored => Reason::NotSampled,
            Beginning::Disrupted => Reason::Disrupted,
        });
    }

    /// Tells all sources that the machine was moved: its daemons have moved with it, and do not know.
    pub(crate) fn tell_of_disruption(&mut self) {
        for slot in &mut self.slots {
            slot.disrupted();
        }
    }

    /// The names of the sources.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.name.as_str())
    }

    /// Samples every source once, and publishes after each.
    pub(crate) fn round(&mut self, context: RoundContext<'_>) {
        // Invalidations come first: a source may block, and readers must not see a
        // stale bound while it does.
        let _ = self.apply_invalidations(context);
        for i in 0..self.slots.len() {
            // All of this machine's evidence is void, so the rest of the round is too.
            if context.published.is_disrupted() {
                return;
            }
            let now_ns = self.monotonic_ns();
            let SourceSlot { name, role, .. } = &self.slots[i];
            context.record.lock().begin(i, (name, *role), now_ns);
            let outcome = self.sample(i, context);
            self.publish(context);
            let details = self.slots[i].details();
            let holdover = self.slots[i].condition.holdover.clone();
            let mut record = context.record.lock();
            record.end(i, &outcome, (details, holdover), self.monotonic_ns());
            record.contradictions = self.estimator.contradictions();
            record.calibration = Some(self.calibration.clone());
            record.drift_ppm = Some(self.drift_ppm);
            record.learning = Some(self.estimator.learning());
        }
    }

    fn host(&self) -> &dyn Host {
        self.calibration.counter.host()
    }

    fn monotonic_ns(&self) -> Option<i64> {
        self.host().nanos(HostClock::Monotonic).ok()
    }

    /// Samples one source; once more if something invalidated the first sample.
    fn sample(&mut self, i: usize, context: RoundContext<'_>) -> Result<Answer, SourceError> {
        let mut outcome = self.sample_once(i, context);
        let is_moved = |why: &Invalidation| *why == Invalidation::Disrupted;
        if matches!(&outcome, Err(SampleError::Invalidated(why)) if !is_moved(why)) {
            outcome = self.sample_once(i, context);
        }
        let outcome = outcome.map_err(SampleError::into_source_error);
        self.slots[i].last = outcome.as_ref().map(|_| ()).map_err(SourceError::reason);
        outcome
    }

    fn sample_once(&mut self, i: usize, context: RoundContext<'_>) -> Result<Answer, SampleError> {
        let ageing = Ageing {
            rates: self.calibration.rates(self.drift_ppm),
            widening_ppb: (self.estimator.learning().rate_error_ppb * 2.0) as u64,
            granularity_ns: self.calibration.granularity_ns(self.drift_ppm),
            generation: self.generation,
        };
        let counter = self.calibration.counter.clone().with_ageing(ageing);
        let answer = self.slots[i].sample(&counter);
        let tick = counter.try_read().map_err(|error| SampleError::Refused(error.into()))?;
        self.apply_invalidations(context).map_err(SampleError::Invalidated)?;
        self.follow_conditions(context, tick).map_err(SampleError::Invalidated)?;
        let sample = answer.map_err(SampleError::Refused)?;
        let (least, most) = self.slots[i].condition.unaccounted_ns;
        let later =
            |t: Timestamp, ns: i64| Timestamp::from_tai_nanos(t.tai_nanos().saturating_add(ns));
        let stated =
            Interval::new(later(sample.time.earliest(), most), later(sample.time.latest(), least));
        let fused = match self.slots[i].role {
            Role::Evidence => self.estimator.fuse(i, &sample, stated.unwrap_or(sample.time), tick),
            Role::CrossCheck => self.estimator.cross_check(&sample, tick),
        };
        match fused {
            Fused::Agrees => Ok(Answer { sample, contradicts: false }),
            Fused::Contradicts => Ok(Answer { sample, contradicts: true }),
            Fused::Malformed => Err(SampleError::Refused(malformed(&sample, tick))),
            Fused::Stale => Err(SampleError::Refused(stale())),
        }
    }

    /// Applies what invalidates the evidence since the last call, and shows it to readers
    /// at once.
    fn apply_invalidations(&mut self, context: RoundContext<'_>) -> Result<(), Invalidation> {
        if context.published.is_disrupted() {
            return Err(Invalidation::Disrupted);
        }
        let requested = self.take_requests(context.requests);
        let outcome = requested.and(self.check_counter(context.requests));
        if outcome.is_err() {
            self.publish(context);
        }
        outcome
    }

    /// Takes into account what the sources know beside their samples.
    fn follow_conditions(
        &mut self,
        context: RoundContext<'_>,
        tick: u64,
    ) -> Result<(), Invalidation> {
        // A cross-check that is wrong need not be given time to notice it: it is not evidence.
        let evidence = self.slots.iter().filter(|slot| !slot.is_cross_check());
        let interval = evidence.filter_map(|slot| slot.condition.update_interval).max();
        let conditions = || self.slots.iter().map(|slot| &slot.condition);
        let drift_ppm = conditions().filter_map(|condition| condition.drift_ppm).max();
        self.estimator.set_update_interval(interval);
        // Beyond the largest the rates' own format ends.
        let drift_ppm = drift_ppm.unwrap_or(0).clamp(self.least_drift_ppm, LARGEST_DRIFT_PPM);
        let before = std::mem::replace(&mut self.drift_ppm, drift_ppm);
        if drift_ppm == before {
            return Ok(());
        }
        self.generation += 1;
        let rates = self.calibration.rates(drift_ppm);
        if drift_ppm < before {
            self.estimator.narrow_rates(tick, rates);
            return Ok(());
        }
        // What is known was carried by rates that the oscillator has exceeded.
        let granularity_ns = self.calibration.granularity_ns(drift_ppm);
        self.estimator.widen_rates(tick, rates, granularity_ns);
        self.publish(context);
        Err(Invalidation::DriftExceeded(drift_ppm))
    }

    /// Carries out the program's requests.
    fn take_requests(&mut self, requests: &PendingRequests) -> Result<(), Invalidation> {
        let mut begin_anew = requests.forget.swap(false, Ordering::SeqCst);
        if requests.renew.swap(false, Ordering::SeqCst) {
            for slot in &mut self.slots {
                if let SourceKind::Operator(assumed) = &mut slot.kind {
                    assumed.renew();
                    // The evidence so far rests on the old statement.
                    begin_anew = true;
                }
            }
        }
        if begin_anew {
            self.forget(Reason::NotSampled);
            return Err(Invalidation::Requested);
        }
        Ok(())
    }

    /// Forgets all evidence up to now.
    fn forget(&mut self, why: Reason) {
        // Where the counter cannot be read, readers cannot read it either.
        self.last_tick = self.calibration.counter.try_read().unwrap_or(self.last_tick);
        self.estimator.forget(self.last_tick);
        self.generation += 1;
        for slot in &mut self.slots {
            slot.last = Err(why);
        }
    }

    /// Checks that the counter has counted all the way up to now.
    fn check_counter(&mut self, requests: &PendingRequests) -> Result<(), Invalidation> {
        match requests.was_suspended(self.host()) {
            Ok(false) => {}
            Ok(true) => {
                self.forget(Reason::Suspended);
                return match self.calibration.restart_comparison() {
                    Ok(()) => Err(Invalidation::Suspended),
                    Err(error) => Err(Invalidation::HostDenies(error)),
                };
            }
            Err(error) => return Err(self.deny(error)),
        }
        match self.calibration.check() {
            Ok(()) => {
                self.estimator.set_rates(self.calibration.rates(self.drift_ppm));
                Ok(())
            }
            Err(CounterError::Host(error)) => Err(self.deny(error)),
            // There is no other clock to go over to.
            Err(CounterError::RawClockStopped) => {
                self.forget(Reason::CounterStopped);
                Err(Invalidation::RawClockStopped)
            }
            Err(why) => {
                self.give_up_counter(why.clone());
                Err(Invalidation::CounterGivenUp(why))
            }
        }
    }

    /// Forgets all evidence, because a clock that every check needs cannot be read.
    fn deny(&mut self, error: HostError) -> Invalidation {
        self.forget(Reason::Denied);
        Invalidation::HostDenies(error)
    }

    /// Goes over to the raw clock. What was known is kept, as of the last good comparison.
    fn give_up_counter(&mut self, why: CounterError) {
        self.generation += 1;
        let last_good = self.calibration.last_good;
        let host = self.calibration.counter.shared_host();
        self.calibration = Calibration::monotonic_raw(&host, Some(why));
        self.estimator.change_counter(
            (last_good.before, last_good.after),
            last_good.raw,
            self.calibration.rates(self.drift_ppm),
            self.calibration.granularity_ns(self.drift_ppm),
        );
    }

    /// Shows the present estimate to readers.
    ///
    /// Not while a request is pending: then it rests on evidence that is void, and the request
    /// has published so. The record's lock keeps the two in order.
    fn publish(&mut self, context: RoundContext<'_>) {
        let _turn = context.record.lock();
        if context.requests.are_pending() || context.published.is_disrupted() {
            return;
        }
        // Where the counter cannot be read, readers cannot read it either, and what was
        // published last is refused by their own attempt.
        self.last_tick = self.calibration.counter.try_read().unwrap_or(self.last_tick);
        let status = self.status();
        let estimate = self.estimator.publish(self.last_tick);
        let status = if estimate.is_contradicted { Status::Contradicted } else { status };
        let flags = SnapshotFlags::new(self.calibration.counter.id(), status, estimate.epoch);
        let snapshot = match estimate.bound {
            Some(bound) => Snapshot::new(bound, estimate.rates, self.limits.max_width, flags)
                .until(estimate.until),
            None => Snapshot::empty(estimate.rates, flags),
        };
        context.published.publish(snapshot);
    }

    /// The status that follows from the sources' last answers.
    fn status(&self) -> Status {
        let evidence = |is_updated: bool| {
            self.slots.iter().any(|slot| {
                let is_updated_now = slot.condition.holdover.is_none();
                slot.last.is_ok() && slot.is_evidence() && is_updated_now == is_updated
            })
        };
        let is_operator = |slot: &SourceSlot| matches!(slot.kind, SourceKind::Operator(_));
        let is_assumed = self.slots.iter().any(|slot| slot.last.is_ok() && is_operator(slot));
        if evidence(true) {
            Status::Synchronized
        } else if evidence(false) {
            Status::Holdover
        } else if is_assumed {
            Status::Assumed
        } else if self.estimator.has_evidence() {
            Status::Holdover
        } else {
            let evidence = self.slots.iter().filter(|slot| !slot.is_cross_check());
            let first = evidence.filter_map(|slot| slot.last.err()).next();
            Status::Unsynchronized(first.unwrap_or(Reason::NotSampled))
        }
    }
}

/// The text of a panic, if it was text.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
