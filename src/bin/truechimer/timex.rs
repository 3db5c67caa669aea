//! [`Timex`]: the fields of `adjtimex` that the clock does not need, for operators who ask why.
//!
//! The library decodes the fields on which a clock's trust rests ([`KernelState`]). An
//! operator who wonders what a daemon does to the kernel's clock needs the rest. Units
//! are the trap: some fields are microseconds always, some are nanoseconds if STA_NANO is
//! set, and rates are parts per million with 16 fractional bits. Here each name says its
//! unit.
//!
//! Read: adjtimex(2), and `kernel/time/ntp.c` of Linux for what the manual leaves out.
//!
//! [`KernelState`]: truechimer::source::KernelState

use serde::Serialize;

/// The rest of the kernel's answer, in units that the names say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Timex {
    /// By how much the oscillator is corrected, in parts per billion (`freq` alone).
    pub freq_ppb: i64,
    /// The length of a 100 Hz tick in microseconds: 10 000, unless the clock is slewed by it.
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub tick_us: i64,
    /// The resolution that the kernel states for its clock, in microseconds.
    #[serde(serialize_with = "truechimer::decimal::serialize")]
    pub precision_us: i64,
    /// The largest correction of the frequency, in parts per billion.
    pub tolerance_ppb: i64,
    /// What a pulse-per-second signal showed; all zeros in a kernel without its support.
    pub pps: Pps,
}

/// The kernel's discipline by a pulse per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Pps {
    /// The frequency it shows, in parts per billion.
    pub freq_ppb: i64,
    /// The jitter of its pulses, in nanoseconds.
    #[serde(serialize_with = "truechimer::decimal::serialize")]
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

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::adjtimex;

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Timex {
    /// Reads the kernel's answer; `None` if a seccomp filter denies the call.
    pub fn read() -> Option<Timex> {
        adjtimex().ok().map(|timex| linux::decode(&timex))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Timex {
    /// `None`, because only Linux has these fields.
    pub fn read() -> Option<Timex> {
        None
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::mem::MaybeUninit;

    use nix::errno::Errno;

    use super::{Pps, Timex};

    /// Reads the kernel's time state and changes nothing. Any process may.
    pub fn adjtimex() -> Result<libc::timex, Errno> {
        let mut timex = MaybeUninit::<libc::timex>::zeroed();
        // SAFETY: the kernel reads and writes one `timex` at this address. `modes` is 0, so it
        // changes no clock. `timex` is plain integers, for which all zeros is a value.
        let (result, timex) = unsafe { (libc::adjtimex(timex.as_mut_ptr()), timex.assume_init()) };
        Errno::result(result).map(|_| timex)
    }

    pub fn decode(timex: &libc::timex) -> Timex {
        let jitter_unit_ns = if timex.status & libc::STA_NANO != 0 { 1 } else { 1000 };
        Timex {
            freq_ppb: ppb(timex.freq),
            tick_us: wide(timex.tick),
            precision_us: wide(timex.precision),
            tolerance_ppb: ppb(timex.tolerance),
            pps: Pps {
                freq_ppb: ppb(timex.ppsfreq),
                jitter_ns: wide(timex.jitter).saturating_mul(jitter_unit_ns),
                interval_s: 1i64.checked_shl(timex.shift.try_into().unwrap_or(0)).unwrap_or(0),
                stability_ppb: ppb(timex.stabil),
                jitter_exceeded: wide(timex.jitcnt),
                calibrations: wide(timex.calcnt),
                calibration_errors: wide(timex.errcnt),
                stability_exceeded: wide(timex.stbcnt),
            },
        }
    }

    /// From parts per million with 16 fractional bits.
    fn ppb(scaled_ppm: libc::c_long) -> i64 {
        wide(scaled_ppm).saturating_mul(1000) >> 16
    }

    /// A field of `timex`: a `long`, which has 32 bits on some systems.
    fn wide(field: impl Into<i64>) -> i64 {
        field.into()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A `timex` as the kernel of this machine fills it, to be changed field by field.
        fn answer() -> libc::timex {
            let mut timex = adjtimex().expect("no filter denies it in tests");
            timex.freq = -(10 << 16);
            timex.tolerance = 500 << 16;
            timex.tick = 10_001;
            timex.jitter = 7;
            timex.shift = 4;
            timex
        }

        #[test]
        fn sta_nano_changes_the_unit_of_the_jitter_alone() {
            let mut timex = answer();
            timex.status = 0;
            let micro = decode(&timex);
            timex.status = libc::STA_NANO;
            let nano = decode(&timex);
            assert_eq!((micro.pps.jitter_ns, nano.pps.jitter_ns), (7_000, 7));
            assert_eq!((nano.freq_ppb, nano.tolerance_ppb), (-10_000, 500_000));
            assert_eq!((nano.tick_us, nano.pps.interval_s), (10_001, 16));
            let pps = Pps { jitter_ns: 7, ..micro.pps };
            assert_eq!(Timex { pps, ..micro }, nano);
        }

        #[test]
        #[allow(clippy::useless_conversion, reason = "a long has 32 bits on some systems")]
        fn nonsense_from_the_kernel_overflows_nothing() {
            for extreme in [libc::c_long::MIN, libc::c_long::MAX] {
                let mut timex = answer();
                (timex.freq, timex.jitter, timex.stabil) = (extreme, extreme, extreme);
                timex.shift = extreme as i32;
                timex.status = 0;
                let pps = decode(&timex).pps;
                let saturated = if extreme < 0 { i64::MIN } else { i64::MAX };
                assert_eq!(pps.jitter_ns, i64::from(extreme).saturating_mul(1000));
                assert!(libc::c_long::BITS < 64 || pps.jitter_ns == saturated);
                assert_eq!(pps.interval_s, 1, "a shift of -1 or 0 after the cast");
            }
        }
    }
}
