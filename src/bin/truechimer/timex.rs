//! [`Timex`]: all that `adjtimex` tells, for people who ask why.
//!
//! The clock needs few of these fields ([`KernelState`] has them), and an
//! operator who wonders what a daemon does to the kernel's clock needs the
//! rest. Units are the trap: some are microseconds always, some are
//! nanoseconds if STA_NANO is set, and rates are parts per million with 16
//! fractional bits. Here each name says its unit.
//!
//! Read: adjtimex(2), and `kernel/time/ntp.c` of Linux for what the manual leaves out.

use nix::errno::Errno;

use crate::source::KernelState;
use crate::sys;

/// The answer of `adjtimex`, every field of it, in units that its names say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Timex {
    /// The fields on which the clock's trust rests.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kernel: KernelState,
    /// The kernel's clock at the call, in nanoseconds of Unix time.
    pub unix_ns: i64,
    /// By how much the oscillator is corrected, in parts per billion (`freq` alone).
    pub freq_ppb: i64,
    /// The length of a 100 Hz tick in microseconds: 10 000, unless the clock is slewed by it.
    pub tick_us: i64,
    /// The PLL's time constant, as a power of two.
    pub constant: i64,
    /// The resolution that the kernel states for its clock, in microseconds.
    pub precision_us: i64,
    /// The largest correction of the frequency, in parts per billion.
    pub tolerance_ppb: i64,
    /// What a pulse-per-second signal showed; all zeros in a kernel without its support.
    pub pps: Pps,
}

/// The kernel's discipline by a pulse per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Pps {
    /// The frequency it shows, in parts per billion.
    pub freq_ppb: i64,
    /// The jitter of its pulses, in nanoseconds.
    pub jitter_ns: i64,
    /// The interval over which it is calibrated, in seconds.
    pub interval_s: i64,
    /// How much the frequency it shows wanders, in parts per billion.
    pub stability_ppb: i64,
    /// Pulses that jittered too much.
    pub jitter_exceeded: i64,
    /// Calibration intervals.
    pub calibrations: i64,
    /// Calibrations that failed.
    pub calibration_errors: i64,
    /// Calibrations that wandered too much.
    pub stability_exceeded: i64,
}

impl Timex {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// `EPERM` or `ENOSYS` where a seccomp filter denies the call.
    pub fn read() -> Result<Timex, Errno> {
        let answer = sys::adjtimex()?;
        // As `KernelState::read` does.
        let pending_us = sys::adjtime_pending_us().unwrap_or(0);
        Ok(Timex::decode(answer.state, &answer.timex, pending_us))
    }

    fn decode(state: i32, timex: &libc::timex, adjtime_us: i64) -> Timex {
        let fraction_ns = if timex.status & libc::STA_NANO != 0 { 1 } else { 1000 };
        let seconds_ns = timex.time.tv_sec.saturating_mul(1_000_000_000);
        Timex {
            kernel: KernelState::decode(state, timex, adjtime_us),
            unix_ns: seconds_ns.saturating_add(timex.time.tv_usec.saturating_mul(fraction_ns)),
            freq_ppb: ppb(timex.freq),
            tick_us: timex.tick,
            constant: timex.constant,
            precision_us: timex.precision,
            tolerance_ppb: ppb(timex.tolerance),
            pps: Pps {
                freq_ppb: ppb(timex.ppsfreq),
                jitter_ns: timex.jitter.saturating_mul(fraction_ns),
                interval_s: 1i64.checked_shl(timex.shift.try_into().unwrap_or(0)).unwrap_or(0),
                stability_ppb: ppb(timex.stabil),
                jitter_exceeded: timex.jitcnt,
                calibrations: timex.calcnt,
                calibration_errors: timex.errcnt,
                stability_exceeded: timex.stbcnt,
            },
        }
    }
}

/// From parts per million with 16 fractional bits.
fn ppb(scaled_ppm: i64) -> i64 {
    scaled_ppm.saturating_mul(1000) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `timex` as the kernel of this machine fills it, to be changed field by field.
    fn answer() -> libc::timex {
        let mut timex = sys::adjtimex().expect("no filter denies it in tests").timex;
        timex.time = libc::timeval { tv_sec: 1_700_000_000, tv_usec: 5 };
        timex.freq = -(10 << 16);
        timex.tolerance = 500 << 16;
        timex.tick = 10_001;
        timex.jitter = 7;
        timex.shift = 4;
        timex
    }

    #[test]
    fn sta_nano_changes_the_unit_of_the_fraction_and_of_the_jitter() {
        let mut timex = answer();
        timex.status = 0;
        let micro = Timex::decode(0, &timex, 0);
        timex.status = libc::STA_NANO;
        let nano = Timex::decode(0, &timex, 0);
        assert_eq!((micro.unix_ns, micro.pps.jitter_ns), (1_700_000_000_000_005_000, 7_000));
        assert_eq!((nano.unix_ns, nano.pps.jitter_ns), (1_700_000_000_000_000_005, 7));
        assert_eq!((nano.freq_ppb, nano.tolerance_ppb), (-10_000, 500_000));
        assert_eq!((nano.tick_us, nano.pps.interval_s), (10_001, 16));
        assert_eq!(nano.kernel.rate_ppb, -10_000 + 100_000, "freq and one tick of 1 µs");
    }

    #[test]
    fn nonsense_from_the_kernel_overflows_nothing() {
        for extreme in [i64::MIN, i64::MAX] {
            let mut timex = answer();
            timex.time = libc::timeval { tv_sec: extreme, tv_usec: extreme };
            (timex.freq, timex.jitter, timex.stabil) = (extreme, extreme, extreme);
            timex.shift = extreme as i32;
            Timex::decode(5, &timex, extreme);
        }
    }
}
