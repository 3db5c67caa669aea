//! A PTP hardware clock (PHC), read directly: the clock of a network card, or of the hypervisor.
//!
//! A PHC shows a time and nothing of its error. So three things have to come from elsewhere.
//!
//! - **The error.** AWS's driver states it in sysfs (`phc_error_bound`, see
//!   `src/source/phc_error.rs`). Elsewhere the operator does, with [`Phc::error`]. With neither,
//!   the source states no bound.
//! - **The scale.** Most cards under ptp4l show TAI. AWS's, and those of KVM and Hyper-V, show
//!   UTC, and a card that nobody sets shows whatever it began with. Nothing tells which, so
//!   [`PhcScale`] is an argument. It is checked against the wall clock: 0 s or 37 s apart (today's
//!   TAI − UTC) where it should be the other is an error that names the other choice.
//! - **The moment.** The reading takes place somewhere between two reads of the counter. The
//!   narrowest of a few such brackets counts. It is never wider than the truth and never moved to
//!   its middle. Where the driver pairs the device's time with the raw clock
//!   (`PTP_SYS_OFFSET_PRECISE`), the bracket is narrowed to where the raw clock showed that.
//!
//! Hence, if the device showed `t` at some moment between the counter's `before` and `after`, true
//! time at that moment was from `t` − error to `t` + error + the device's own step.
//!
//! # Clocks that run wrong
//!
//! A card's clock may be reset by its driver, set by another program, or simply run wrong: the one
//! that qemu gives its `e1000e` runs 2.6 times too fast. Such a clock would contradict every other
//! source, and nothing would show which of them is wrong. So each reading is compared with the
//! oscillator first (`pace`). A clock whose pace is off by more than 1000 ppm is refused by name. A
//! clock that was set, and runs well, is believed again: what it says then agrees with the other
//! evidence, or it is a contradiction.
//!
//! # What a reading costs
//!
//! A read over the bus takes some µs, at most five are made, and no further one after 1 ms. Some
//! cards take longer for one (`ptp_ocp` up to a ms). It is made on the clock's own thread, so no
//! reader waits for it. The first reading, and each one after the clock was set, takes 2 ms more.
//!
//! Under a driver that limits the rate of readings (AWS: 125 a second, for all programs together) a
//! reading may be refused. The last sample then counts, as it ages, for 2 s. A card that is
//! unplugged is opened again when one with the same name in sysfs (`clock_name`) appears.

mod device;
mod error;
mod list;
mod pace;
mod scale;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::counter::{Counter, CounterKind};
use crate::evidence::{Reason, Sample, Source, SourceError};
use crate::host::ptp::{self, PtpReading};
use crate::host::{HostClock, HostError};
use crate::interval::Interval;
use crate::scale::LeapTable;
use crate::source::phc_error::StatedBound;
use crate::source::realtime::{PendingLeap, Realtime};
use crate::source::wall_clock::{RealtimeScale, WallClock};
use crate::timestamp::{NANOS_PER_SECOND, Timestamp, duration_nanos};

use device::{Device, HostDevice};
pub use error::PhcError;
pub use list::{PhcInfo, devices};
use pace::{Mark, Pace, Verdict};
pub use scale::PhcScale;
use scale::{PLAUSIBLE_FROM_NS, is_ahead_by};

/// How many readings are made for one sample, at most.
const TRIES: u32 = 5;
/// No further reading is made when they have taken so long, in ns.
const LONG_NS: i64 = 1_000_000;
/// The device shows its last step, and may stand just before the next. Nothing states how long a
/// step is, so it is taken to be that of a card which counts at 10 MHz.
const STEP: Duration = Duration::from_nanos(100);
/// For how long the last sample stands in for one that the device refuses, in ns.
const KEPT_NS: i64 = 2 * NANOS_PER_SECOND;
/// How long is waited between the first two readings: a pace that is 1000 ppm off shows then.
const TO_COMPARE: Duration = Duration::from_millis(2);
/// The largest error that an operator may state, as everywhere else.
const MAX_ERROR: Duration = Duration::from_secs(86_400);

/// A PTP hardware clock as a source of time.
///
/// ```no_run
/// use std::time::Duration;
/// use truechimer::Clock;
/// use truechimer::source::phc::{Phc, PhcScale};
///
/// // A card that ptp4l keeps within 1 µs of its grandmaster, as its operator knows.
/// let phc = Phc::new("/dev/ptp0", PhcScale::Tai)?.error(Duration::from_micros(1));
/// let clock = Clock::builder().source(phc).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Phc {
    name: String,
    device: Box<dyn Device>,
    scale: PhcScale,
    wall_clock: WallClock,
    error: Option<Duration>,
    pace: Pace,
    pending_leap: Option<PendingLeap>,
    last: Option<Kept>,
    details: String,
}

/// The last sample, by which counter, and when it was taken by the raw clock.
#[derive(Clone, Copy, Debug)]
struct Kept {
    sample: Sample,
    kind: CounterKind,
    raw_ns: i64,
}

/// A reading of the device between two of the counter, and two of the raw clock around those.
#[derive(Clone, Copy, Debug)]
struct Bracketed {
    raw: (i64, i64),
    before: u64,
    reading: PtpReading,
    after: u64,
}

impl Bracketed {
    /// Where the driver pairs its clock with the raw clock: between which ticks the raw clock showed
    /// that.
    ///
    /// When the counter showed `before`, the raw clock had shown `raw.0` already. So no more ticks
    /// can have followed than fit between that and the moment of the pair, and likewise back from
    /// `after`. This needs no fit of the two clocks: the times are those of some readings, in which
    /// A2 is worth less than a nanosecond.
    fn narrowed_by_raw(self, counter: &Counter) -> Bracketed {
        let (Some(at_ns), Some(ageing)) = (self.reading.raw_ns, counter.ageing()) else {
            return self;
        };
        // The driver pairs with the host's raw clock, and a time namespace shows another.
        if !counter.host().time_namespace().is_zero() {
            return self;
        }
        let passed = |from: i64, to: i64| u64::try_from(to.checked_sub(from)?).ok();
        let (since, until) = (passed(self.raw.0, at_ns), passed(at_ns, self.raw.1));
        // A pair that is outside of the call is no pair.
        let (Some(since), Some(until)) = (since, until) else { return self };
        let ticks = |ns: u64| ageing.rates.most_ticks(ns.saturating_add(ageing.granularity_ns));
        let before = self.before.max(self.after.saturating_sub(ticks(until)));
        let after = self.after.min(self.before.saturating_add(ticks(since)));
        if before <= after { Bracketed { before, after, ..self } } else { self }
    }
}

impl Phc {
    /// Opens the clock at `path` (`/dev/ptp0`, or a name that udev gives it such as
    /// `/dev/ptp_ena`), which counts `scale`. The leap table is the builtin one.
    ///
    /// # Errors
    ///
    /// If the device cannot be opened for reading, or is no PTP clock. What it shows, and whether
    /// anybody states its error, is checked at each sample.
    pub fn new(path: impl AsRef<Path>, scale: PhcScale) -> Result<Phc, PhcError> {
        let path = path.as_ref();
        let device = HostDevice::open(path, Path::new("/"))?;
        Ok(Phc::of(format!("phc {}", path.display()), Box::new(device), scale))
    }

    fn of(name: String, device: Box<dyn Device>, scale: PhcScale) -> Phc {
        Phc {
            name,
            device,
            scale,
            wall_clock: wall_clock(LeapTable::builtin(), scale),
            error: None,
            pace: Pace::default(),
            pending_leap: None,
            last: None,
            details: String::new(),
        }
    }

    /// The operator states how far this clock may be from true time. More than 0, at most a day.
    ///
    /// This is assumption A1 ([`_design`](crate::_design#the-assumptions)). Where the driver
    /// states an error too, the larger one counts. A driver that has a statement to make and says
    /// that it does not know is not overruled.
    #[must_use]
    pub fn error(mut self, error: Duration) -> Phc {
        self.error = Some(error);
        self
    }

    /// The leap seconds by which a clock that counts UTC is converted.
    #[must_use]
    pub fn leap_table(mut self, leaps: LeapTable) -> Phc {
        self.wall_clock = wall_clock(leaps, self.scale);
        self
    }

    /// The narrowest of a few readings.
    fn read(&mut self, counter: &Counter) -> Result<Bracketed, Failure> {
        let raw_ns = || counter.host().nanos(HostClock::MonotonicRaw);
        let began_ns = raw_ns()?;
        let mut best = self.read_once(counter);
        for _ in 1..TRIES {
            let is_over = best.as_ref().is_err_and(Failure::is_lasting);
            if is_over || raw_ns()?.saturating_sub(began_ns) > LONG_NS {
                break;
            }
            let width = |read: &Bracketed| read.after.wrapping_sub(read.before);
            match (&best, self.read_once(counter)) {
                (Ok(narrowest), Ok(next)) if width(&next) >= width(narrowest) => {}
                // A reading that was made counts, whatever became of the next.
                (Ok(_), Err(_)) => break,
                (_, next) => best = next,
            }
        }
        best
    }

    fn read_once(&mut self, counter: &Counter) -> Result<Bracketed, Failure> {
        let host = counter.host();
        let raw_before = host.nanos(HostClock::MonotonicRaw)?;
        let before = counter.try_read()?;
        let reading = self.device.read().map_err(Failure::Device)?;
        let after = counter.try_read()?;
        let raw_after = host.nanos(HostClock::MonotonicRaw)?;
        let read = Bracketed { raw: (raw_before, raw_after), before, reading, after };
        Ok(read.narrowed_by_raw(counter))
    }

    /// Whether what it shows can be on its scale at all.
    fn check_scale(&self, reading: &PtpReading) -> Result<(), SourceError> {
        let PtpReading { realtime_before_ns, clock_ns, .. } = *reading;
        if clock_ns < PLAUSIBLE_FROM_NS {
            return Err(SourceError::failed(format_args!(
                "{}: it shows a moment {} s after 1970, so it was reset or never set: set it with \
                 ptp4l or phc2sys",
                self.name,
                clock_ns.div_euclid(NANOS_PER_SECOND)
            )));
        }
        let leaps = self.wall_clock.leaps();
        let shown = realtime_before_ns.div_euclid(NANOS_PER_SECOND);
        let Some((least, most)) = leaps.offsets_near(shown, 2) else { return Ok(()) };
        let as_tai = is_ahead_by(reading, least, most);
        let as_utc = is_ahead_by(reading, 0, 0);
        let other = match self.scale {
            PhcScale::Tai if as_utc && !as_tai => "PhcScale::Utc",
            PhcScale::Utc | PhcScale::Smeared(_) if as_tai && !as_utc => "PhcScale::Tai",
            _ => return Ok(()),
        };
        let ahead_ms = clock_ns.saturating_sub(realtime_before_ns) / 1_000_000;
        Err(SourceError::failed(format_args!(
            "{}: it is {ahead_ms} ms ahead of CLOCK_REALTIME, so it does not show {} as it was said \
             to: if it was not reset, and not set by mistake, use {other}",
            self.name, self.scale,
        )))
    }

    /// How far it may be off, in ns, by its driver before and after the reading and by the
    /// operator.
    fn error_ns(&self, before: StatedBound, after: StatedBound) -> Result<u64, SourceError> {
        let refuse = |detail: String| {
            Err(SourceError::no_bound(
                Reason::ReferenceStatesNoBound,
                format_args!("{}: {detail}", self.name),
            ))
        };
        let by_driver = match (before, after) {
            (StatedBound::Useless(why), _) | (_, StatedBound::Useless(why)) => {
                return refuse(format!("its driver has phc_error_bound, and {why}"));
            }
            (_, StatedBound::Absent) => None,
            (StatedBound::Absent, StatedBound::Nanos(nanos)) => Some(nanos),
            // The driver changed its mind around the reading: either may have held then.
            (StatedBound::Nanos(before), StatedBound::Nanos(after)) => Some(before.max(after)),
        };
        let by_operator = self.error.map(duration_nanos);
        match self.error {
            Some(error) if error.is_zero() || error > MAX_ERROR => refuse(format!(
                "its error() is {error:?}: it must be more than 0 and at most {MAX_ERROR:?}"
            )),
            _ => by_driver.max(by_operator).map_or_else(
                || {
                    refuse(
                        "its driver has no phc_error_bound in sysfs, and no error() is stated for it"
                            .to_owned(),
                    )
                },
                Ok,
            ),
        }
    }

    /// Where true time was at the reading, if the clock may be off by `error`.
    fn tai(
        &mut self,
        read: &Bracketed,
        error: Duration,
        counter: &Counter,
    ) -> Result<Interval, SourceError> {
        let shown_ns = read.reading.clock_ns;
        let time = match self.scale {
            PhcScale::Tai => Interval::from(Timestamp::from_tai_nanos(shown_ns)).widen(error),
            PhcScale::Utc | PhcScale::Smeared(_) => {
                let realtime = Realtime {
                    before: read.before,
                    unix_ns: shown_ns,
                    after: read.after,
                    offset: (0, 0),
                };
                // The kernel may have been told of a leap second that the table does not list.
                let kernel = counter.host().kernel_state().ok();
                let leaps = self.wall_clock.leaps();
                if let Some(kernel) = &kernel {
                    self.pending_leap =
                        PendingLeap::update(self.pending_leap, &leaps, &realtime, kernel);
                }
                self.wall_clock.tai(&realtime, error, kernel.as_ref(), self.pending_leap)?
            }
        };
        Ok(Interval::from_ordered(time.earliest(), time.latest().saturating_add(STEP)))
    }

    /// The reading, or one right after it, if the clock keeps its pace.
    fn paced(
        &mut self,
        read: Bracketed,
        error_ns: u64,
        counter: &Counter,
    ) -> Result<Bracketed, Failure> {
        let mark = self.mark(&read, counter)?;
        if self.pace.agrees(&mark, error_ns) {
            return Ok(read);
        }
        // It was set, or it runs wrong. Its own pace shows which.
        counter.host().sleep(TO_COMPARE);
        let read = self.read(counter)?;
        self.check_scale(&read.reading)?;
        let later = self.mark(&read, counter)?;
        match self.pace.begin(&mark, &later) {
            Verdict::Steady => Ok(read),
            Verdict::Runs { thousandths } => Err(self.runs_wrong(thousandths).into()),
        }
    }

    fn runs_wrong(&self, thousandths: u64) -> SourceError {
        let (times, rest) = (thousandths / 1000, thousandths % 1000);
        SourceError::failed(format_args!(
            "{}: it runs {times}.{rest:03} times as fast as CLOCK_MONOTONIC_RAW, or was set just \
             now, so no time is taken from it",
            self.name,
        ))
    }

    /// What the comparison of the pace needs of a reading.
    fn mark(&mut self, read: &Bracketed, counter: &Counter) -> Result<Mark, SourceError> {
        Ok(Mark { shown: self.tai(read, Duration::ZERO, counter)?, raw: read.raw })
    }

    fn sample_now(&mut self, counter: &Counter) -> Result<Sample, Failure> {
        let stated_before = self.device.stated_bound();
        let read = self.read(counter)?;
        self.check_scale(&read.reading)?;
        let expected_ns = self.error_ns(stated_before.clone(), stated_before.clone())?;
        let read = self.paced(read, expected_ns, counter)?;
        let stated_after = self.device.stated_bound();
        let error_ns = self.error_ns(stated_before, stated_after)?;
        let error = Duration::from_nanos(error_ns);
        let time = self.tai(&read, error, counter)?;
        self.details = format!(
            "{}shows {}, within {error:?}{}",
            self.device.describe(),
            self.scale,
            self.pace
        );
        let sample = Sample::new(read.before, read.after, time);
        self.last = Some(Kept { sample, kind: counter.kind(), raw_ns: read.raw.0 });
        Ok(sample)
    }

    /// The last sample, while it may stand in for one that the device refused.
    fn kept(&self, counter: &Counter) -> Option<Sample> {
        let last = self.last.filter(|last| last.kind == counter.kind())?;
        let age_ns =
            counter.host().nanos(HostClock::MonotonicRaw).ok()?.checked_sub(last.raw_ns)?;
        (0..=KEPT_NS).contains(&age_ns).then_some(last.sample)
    }
}

impl Source for Phc {
    fn name(&self) -> &str {
        &self.name
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let mut outcome = self.sample_now(counter);
        if outcome.as_ref().is_err_and(Failure::is_gone) {
            // What is found in its place may have been set meanwhile.
            self.pace = Pace::default();
            outcome = match self.device.reopen() {
                Ok(()) => self.sample_now(counter),
                Err(error) => Err(Failure::Device(error)),
            };
        }
        match outcome {
            Ok(sample) => Ok(sample),
            Err(Failure::Device(error)) => self.kept(counter).ok_or_else(|| {
                SourceError::failed(format_args!("{}: it cannot be read: {error}", self.name))
            }),
            Err(Failure::Source(error)) => {
                self.last = None;
                Err(error)
            }
        }
    }

    fn disrupted(&mut self) {
        // Its tick is of the counter of before.
        self.last = None;
    }

    fn details(&self) -> Option<String> {
        Some(self.details.clone()).filter(|details| !details.is_empty())
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phc")
            .field("name", &self.name)
            .field("scale", &self.scale)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Why there is no new sample.
enum Failure {
    /// The device was not read, so what it showed before still holds, as it ages.
    Device(io::Error),
    /// It was, and is not to be believed.
    Source(SourceError),
}

impl Failure {
    /// Whether another try right after it would be in vain.
    fn is_lasting(&self) -> bool {
        match self {
            Failure::Device(error) => !ptp::is_passing(error),
            Failure::Source(_) => true,
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self, Failure::Device(error) if ptp::is_gone(error))
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Failure {
        Failure::Source(error)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Failure {
        Failure::Source(error.into())
    }
}

/// By what a clock that counts UTC becomes TAI.
fn wall_clock(leaps: LeapTable, scale: PhcScale) -> WallClock {
    let shows = match scale {
        PhcScale::Tai | PhcScale::Utc => RealtimeScale::Utc,
        PhcScale::Smeared(smear) => RealtimeScale::Smeared(smear),
    };
    WallClock::new(leaps, shows)
}

#[cfg(test)]
mod tests;
