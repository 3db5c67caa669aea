//! [`KernelState`]: what the kernel says about its clock, decoded.
//!
//! Its numbers are in half a dozen units, and one bit of the status changes the
//! unit of one field. Here they become nanoseconds, microseconds and parts per
//! billion, with names that say so; what they are worth is judged in
//! [`kernel`](super::kernel).

use std::fmt;

use nix::errno::Errno;

use crate::sys;

/// What `adjtimex` says, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KernelState {
    /// The clock state that the call returned: 0 `TIME_OK` to 5 `TIME_ERROR`.
    pub state: i32,
    /// The bits of `STA_*`.
    pub status: i32,
    /// The maximum error, in microseconds: what was written last, and 500 a second since.
    pub maxerror_us: i64,
    /// The estimated error, in microseconds. Not a bound.
    pub esterror_us: i64,
    /// What the kernel's PLL has still to correct, in nanoseconds.
    pub offset_ns: i64,
    /// What is left of an `adjtime()` correction, in nanoseconds.
    pub adjtime_ns: i64,
    /// By how much the clock is made to run faster than its oscillator, in parts per billion:
    /// `freq` and `tick` together.
    pub rate_ppb: i64,
    /// TAI − UTC in seconds as the kernel was told, or 0 if it was not.
    pub tai: i32,
}

/// How fast `maxerror` grows, in parts per million: the kernel's MAXFREQ.
pub(crate) const GROWTH_PPM: i64 = 500;

impl KernelState {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// `EPERM` or `ENOSYS` where a seccomp filter denies the call.
    pub fn read() -> Result<KernelState, Errno> {
        let answer = sys::adjtimex()?;
        // Not every filter that lets the one form through lets the other; where
        // it does not, nobody under the same filter has used `adjtime()` either.
        let pending_us = sys::adjtime_pending_us().unwrap_or(0);
        Ok(KernelState::decode(answer.state, &answer.timex, pending_us))
    }

    pub(crate) fn decode(state: i32, timex: &libc::timex, adjtime_us: i64) -> KernelState {
        // STA_NANO changes the unit of `offset` and of nothing else used here.
        let offset_unit = if timex.status & libc::STA_NANO != 0 { 1 } else { 1000 };
        // `freq` is in ppm with 16 fractional bits; one `tick` is 1 µs of 10 ms.
        let freq_ppb = timex.freq.saturating_mul(1000) >> 16;
        let tick_ppb = timex.tick.saturating_sub(NOMINAL_TICK_US).saturating_mul(100_000);
        KernelState {
            state,
            status: timex.status,
            maxerror_us: timex.maxerror,
            esterror_us: timex.esterror,
            offset_ns: timex.offset.saturating_mul(offset_unit),
            adjtime_ns: adjtime_us.saturating_mul(1000),
            rate_ppb: freq_ppb.saturating_add(tick_ppb),
            tai: timex.tai,
        }
    }

    /// Whether the kernel says that something disciplines its clock.
    pub fn is_synchronized(&self) -> bool {
        self.status & libc::STA_UNSYNC == 0 && self.state != libc::TIME_ERROR
    }

    /// Whether `maxerror` is anything but the kernel's "I do not know".
    ///
    /// A step sets it to that, so while it is less somebody has written since.
    pub fn has_bound(&self) -> bool {
        (0..UNKNOWN_ERROR_US).contains(&self.maxerror_us)
    }

    /// `maxerror mod 500`: what the writer last wrote, modulo 500 µs.
    pub fn residue_us(&self) -> i64 {
        self.maxerror_us.rem_euclid(GROWTH_PPM)
    }

    /// Whether the last write bears the mark of a writer that states no bound.
    pub fn states_no_bound(&self) -> bool {
        let residue = self.residue_us();
        let ntpd_startup = residue == NTPD_STARTUP_US && self.status & libc::STA_PLL != 0;
        self.maxerror_us < 0 || residue == 0 || ntpd_startup
    }

    /// The names of the bits that are set in `status`, as in `<sys/timex.h>`.
    pub fn status_names(&self) -> Vec<&'static str> {
        const NAMES: [(i32, &str); 16] = [
            (libc::STA_PLL, "PLL"),
            (libc::STA_PPSFREQ, "PPSFREQ"),
            (libc::STA_PPSTIME, "PPSTIME"),
            (libc::STA_FLL, "FLL"),
            (libc::STA_INS, "INS"),
            (libc::STA_DEL, "DEL"),
            (libc::STA_UNSYNC, "UNSYNC"),
            (libc::STA_FREQHOLD, "FREQHOLD"),
            (libc::STA_PPSSIGNAL, "PPSSIGNAL"),
            (libc::STA_PPSJITTER, "PPSJITTER"),
            (libc::STA_PPSWANDER, "PPSWANDER"),
            (libc::STA_PPSERROR, "PPSERROR"),
            (libc::STA_CLOCKERR, "CLOCKERR"),
            (libc::STA_NANO, "NANO"),
            (libc::STA_MODE, "MODE"),
            (libc::STA_CLK, "CLK"),
        ];
        NAMES.iter().filter(|(bit, _)| self.status & bit != 0).map(|&(_, name)| name).collect()
    }

    /// The clock state in words.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            libc::TIME_OK => "OK",
            libc::TIME_INS => "INS (a leap second will be inserted at the end of the UTC day)",
            libc::TIME_DEL => "DEL (a leap second will be deleted at the end of the UTC day)",
            libc::TIME_OOP => "OOP (a leap second is in progress)",
            libc::TIME_WAIT => "WAIT (a leap second has passed)",
            libc::TIME_ERROR => "ERROR (not synchronized)",
            _ => "unknown",
        }
    }
}

impl fmt::Display for KernelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, maxerror {} µs, {}",
            self.state_name(),
            self.maxerror_us,
            self.status_names().join("|")
        )
    }
}

/// A tick of USER_HZ, 10 ms.
const NOMINAL_TICK_US: i64 = 10_000;

/// Where `maxerror` stands after a step, and ends when nobody writes it: 16 s, in µs.
const UNKNOWN_ERROR_US: i64 = 16_000_000;

/// What ntpsec writes before it has heard from any server, in µs, with STA_PLL.
const NTPD_STARTUP_US: i64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_read_in_the_units_that_the_kernel_uses() {
        let zeroed = || sys::adjtimex().expect("any process may").timex;
        let mut timex = zeroed();
        timex.status = 0;
        timex.offset = -7;
        timex.freq = -(40 << 16);
        timex.tick = 10_001;
        timex.maxerror = 16_000_000;
        let micro = KernelState::decode(5, &timex, 3);
        assert_eq!((micro.offset_ns, micro.adjtime_ns), (-7_000, 3_000));
        assert_eq!(micro.rate_ppb, 100_000 - 40_000);
        timex.status = libc::STA_NANO;
        assert_eq!(KernelState::decode(5, &timex, 3).offset_ns, -7);
        assert_eq!(micro.maxerror_us, 16_000_000, "always in µs");
    }

    #[test]
    fn this_kernel_answers_any_process() {
        let state = KernelState::read().expect("any process may");
        assert!(!state.state_name().contains("unknown"), "{state}");
        assert!(state.maxerror_us >= 0);
    }
}
