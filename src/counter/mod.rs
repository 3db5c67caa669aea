//! [`Counter`]: what a clock counts with, and whether it may be trusted.
//!
//! A reading is as good as the counter under it. The processor's own counter costs ten
//! nanoseconds to read, and many programs trust it because the processor says that it is
//! invariant. That is not enough: firmware may have written to one core's counter, a
//! hypervisor may trap or emulate it, and the kernel, which compares it with other
//! clocks all day, may have given it up. So it is used only while the *kernel itself*
//! keeps time by it, and it is compared with `CLOCK_MONOTONIC_RAW` at every sample.
//! Where it fails, that clock becomes the counter: slower to read (the vDSO), and right.
//!
//! Read next: `rate_bounds` for how a tick becomes nanoseconds, `calibration` for how
//! the rate is measured, `step` for how far a counter may be ahead of what it shows.

pub(crate) mod calibration;
mod error;
mod movement;
mod rate_bounds;
mod step;

use std::fmt;
use std::sync::Arc;

pub use error::CounterError;
pub(crate) use rate_bounds::{DEFAULT_MAX_DRIFT_PPM, DEFAULT_MAX_WANDER_PPM, RateBounds};

use crate::host::{HardwareKind, Host, HostClock, HostError};

/// Which counter a clock is read from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CounterKind {
    /// The processor's counter where it may be trusted, else `MonotonicRaw`.
    Auto,
    /// The time-stamp counter of x86-64.
    Tsc,
    /// The virtual counter of aarch64, `CNTVCT_EL0`.
    Cntvct,
    /// The kernel's `CLOCK_MONOTONIC_RAW`, which ticks in nanoseconds; on systems other
    /// than Linux, their monotonic clock.
    MonotonicRaw,
}

impl From<HardwareKind> for CounterKind {
    fn from(kind: HardwareKind) -> CounterKind {
        match kind {
            HardwareKind::Tsc => CounterKind::Tsc,
            HardwareKind::Cntvct => CounterKind::Cntvct,
        }
    }
}

impl fmt::Display for CounterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CounterKind::Auto => "auto",
            CounterKind::Tsc => "TSC",
            CounterKind::Cntvct => "CNTVCT",
            CounterKind::MonotonicRaw => "CLOCK_MONOTONIC_RAW",
        })
    }
}

/// One byte that says which counter a snapshot's ticks are of, and how it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CounterId(u8);

impl CounterId {
    /// The kernel's raw clock.
    pub(crate) const MONOTONIC_RAW: CounterId = CounterId(0);
    /// The hardware counter, by [`Host::ticks_ordered`].
    pub(crate) const HARDWARE: CounterId = CounterId(1);
    /// The hardware counter, by [`Host::ticks_fenced`] too.
    pub(crate) const DIRECT: CounterId = CounterId(3);

    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_byte(byte: u8) -> CounterId {
        CounterId(byte)
    }

    #[inline]
    pub(crate) const fn is_hardware(self) -> bool {
        self.0 & CounterId::HARDWARE.0 != 0
    }

    /// Ticks now, after everything that precedes the call. What a `latest` needs.
    #[inline]
    pub(crate) fn read_ordered(self, host: &(impl Host + ?Sized)) -> Result<u64, HostError> {
        if self.is_hardware() { Ok(host.ticks_ordered()) } else { raw_ticks(host) }
    }
}

/// The raw clock as a counter: its nanoseconds are the ticks.
#[inline]
pub(crate) fn raw_ticks(host: &(impl Host + ?Sized)) -> Result<u64, HostError> {
    host.nanos(HostClock::MonotonicRaw).map(|nanos| nanos as u64)
}

/// A counter with which sources bracket their evidence.
///
/// ```
/// # use truechimer::{Counter, Interval, Sample};
/// # fn ask_the_gps() -> Interval { Interval::EVERYTHING }
/// fn sample(counter: &Counter) -> Sample {
///     let before = counter.read();
///     let time = ask_the_gps();
///     Sample::new(before, counter.read(), time)
/// }
/// ```
#[derive(Clone)]
pub struct Counter {
    host: Arc<dyn Host>,
    id: CounterId,
    ageing: Option<Ageing>,
}

/// How evidence is carried from one tick of a counter to a later one, for a source that has to
/// compare several at one tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ageing {
    /// Between how many nanoseconds a tick lasts, by assumption A2.
    pub(crate) rates: RateBounds,
    /// By how many ns a second a reading widens between samples, by what is learnt of the rate too.
    /// For plans only: evidence is carried by `rates`.
    pub(crate) widening_ppb: u64,
    /// How far the counter may be ahead of what it shows.
    pub(crate) granularity_ns: u64,
    /// It changes whenever earlier ticks can no longer be carried to later ones.
    pub(crate) generation: u64,
}

impl Counter {
    pub(crate) fn new(host: Arc<dyn Host>, id: CounterId) -> Counter {
        Counter { host, id, ageing: None }
    }

    /// The same counter, with what is known of its rate now.
    pub(crate) fn with_ageing(self, ageing: Ageing) -> Counter {
        Counter { ageing: Some(ageing), ..self }
    }

    /// What is known of its rate. `None` for a counter that no clock has handed out.
    pub(crate) fn ageing(&self) -> Option<Ageing> {
        self.ageing
    }

    /// The machine that it counts on.
    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }

    pub(crate) fn shared_host(&self) -> Arc<dyn Host> {
        self.host.clone()
    }

    pub(crate) fn id(&self) -> CounterId {
        self.id
    }

    /// Which counter this is; never `Auto`.
    pub fn kind(&self) -> CounterKind {
        match self.host.hardware_counter() {
            Some(hardware) if self.id.is_hardware() => hardware.kind.into(),
            _ => CounterKind::MonotonicRaw,
        }
    }

    /// Ticks now: after everything before the call, and before everything after it.
    ///
    /// 0 if the counter cannot be read (a filter denies the call). A sample with such a
    /// tick is refused, so a source need not check it. [`try_read`](Self::try_read) says why.
    #[inline]
    pub fn read(&self) -> u64 {
        self.try_read().unwrap_or(0)
    }

    /// As [`read`](Self::read), with the reason where the counter cannot be read.
    ///
    /// # Errors
    ///
    /// If the system denies `CLOCK_MONOTONIC_RAW`. A processor's counter always answers.
    #[inline]
    pub fn try_read(&self) -> Result<u64, HostError> {
        let ticks = self.id.read_ordered(&*self.host)?;
        self.host.fence();
        Ok(ticks)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&format_args!("{}", self.kind())).finish()
    }
}
