//! [`KernelState`]: what the kernel says about its clock, decoded.
//!
//! `adjtimex` answers in half a dozen units, and one bit of its status changes the unit
//! of one field. Here the answer is in nanoseconds, microseconds and parts per billion,
//! with names that say so. What the numbers are worth is judged in `source::kernel`.
//!
//! The constants are Linux's, and stand here because other systems lack some of them:
//! a simulated Linux runs on those too.

use std::fmt;

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
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub maxerror_us: i64,
    /// The estimated error, in microseconds. Not a bound.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub esterror_us: i64,
    /// The time constant of the kernel's PLL: each second it corrects 1 / 2^(2 + constant) of what
    /// is left.
    pub constant: i64,
    /// What the kernel's PLL has still to correct, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub offset_ns: i64,
    /// What is left of an `adjtime()` correction, in nanoseconds.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub adjtime_ns: i64,
    /// By how much the clock is made to run faster than its oscillator, in parts per billion:
    /// `freq` and `tick` together.
    pub rate_ppb: i64,
    /// TAI − UTC in seconds as the kernel was told, or 0 if it was not.
    pub tai: i32,
    /// The kernel's wall clock at the call, in nanoseconds of Unix time.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub unix_ns: i64,
}

impl KernelState {
    /// A clock of which nothing is said: in order, with nothing stated and nothing to correct.
    pub(crate) const BLANK: KernelState = KernelState {
        state: TIME_OK,
        status: 0,
        maxerror_us: 0,
        esterror_us: 0,
        constant: 0,
        offset_ns: 0,
        adjtime_ns: 0,
        rate_ppb: 0,
        tai: 0,
        unix_ns: 0,
    };
}

/// How fast `maxerror` grows, in parts per million: the kernel's MAXFREQ.
pub(crate) const GROWTH_PPM: i64 = 500;

/// States that `adjtimex` returns, from Linux's `<sys/timex.h>`.
pub(crate) const TIME_OK: i32 = 0;
pub(crate) const TIME_INS: i32 = 1;
pub(crate) const TIME_DEL: i32 = 2;
pub(crate) const TIME_OOP: i32 = 3;
pub(crate) const TIME_WAIT: i32 = 4;
pub(crate) const TIME_ERROR: i32 = 5;

/// Status bits, from the same header.
pub(crate) const STA_PLL: i32 = 0x0001;
pub(crate) const STA_PPSFREQ: i32 = 0x0002;
pub(crate) const STA_PPSTIME: i32 = 0x0004;
pub(crate) const STA_FLL: i32 = 0x0008;
pub(crate) const STA_INS: i32 = 0x0010;
pub(crate) const STA_DEL: i32 = 0x0020;
pub(crate) const STA_UNSYNC: i32 = 0x0040;
pub(crate) const STA_FREQHOLD: i32 = 0x0080;
pub(crate) const STA_PPSSIGNAL: i32 = 0x0100;
pub(crate) const STA_PPSJITTER: i32 = 0x0200;
pub(crate) const STA_PPSWANDER: i32 = 0x0400;
pub(crate) const STA_PPSERROR: i32 = 0x0800;
pub(crate) const STA_CLOCKERR: i32 = 0x1000;
pub(crate) const STA_NANO: i32 = 0x2000;
pub(crate) const STA_MODE: i32 = 0x4000;
pub(crate) const STA_CLK: i32 = 0x8000;

impl KernelState {
    /// Whether the kernel says that something disciplines its clock.
    pub fn is_synchronized(&self) -> bool {
        self.status & STA_UNSYNC == 0 && self.state != TIME_ERROR
    }

    /// Whether `maxerror` is anything but the kernel's "I do not know".
    ///
    /// A step sets it to that value, so a smaller one was written since.
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
        let ntpd_startup = residue == NTPD_STARTUP_US && self.status & STA_PLL != 0;
        self.maxerror_us < 0 || residue == 0 || ntpd_startup
    }

    /// Whether an ntpd has just started and measured nothing yet. It writes the same number as
    /// both errors then, and only one of them grows.
    pub(crate) fn is_ntpd_startup(&self) -> bool {
        self.status & STA_PLL != 0
            && self.residue_us() == NTPD_STARTUP_US
            && self.esterror_us == NTPD_STARTUP_US
    }

    /// The names of the bits that are set in `status`, as in `<sys/timex.h>`.
    pub fn status_names(&self) -> Vec<&'static str> {
        const NAMES: [(i32, &str); 16] = [
            (STA_PLL, "PLL"),
            (STA_PPSFREQ, "PPSFREQ"),
            (STA_PPSTIME, "PPSTIME"),
            (STA_FLL, "FLL"),
            (STA_INS, "INS"),
            (STA_DEL, "DEL"),
            (STA_UNSYNC, "UNSYNC"),
            (STA_FREQHOLD, "FREQHOLD"),
            (STA_PPSSIGNAL, "PPSSIGNAL"),
            (STA_PPSJITTER, "PPSJITTER"),
            (STA_PPSWANDER, "PPSWANDER"),
            (STA_PPSERROR, "PPSERROR"),
            (STA_CLOCKERR, "CLOCKERR"),
            (STA_NANO, "NANO"),
            (STA_MODE, "MODE"),
            (STA_CLK, "CLK"),
        ];
        NAMES.iter().filter(|(bit, _)| self.status & bit != 0).map(|&(_, name)| name).collect()
    }

    /// The clock state in words.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            TIME_OK => "OK",
            TIME_INS => "INS (a leap second will be inserted at the end of the UTC day)",
            TIME_DEL => "DEL (a leap second will be deleted at the end of the UTC day)",
            TIME_OOP => "OOP (a leap second is in progress)",
            TIME_WAIT => "WAIT (a leap second has passed)",
            TIME_ERROR => "ERROR (not synchronized)",
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

/// Where `maxerror` stands after a step, and ends when nothing writes it: 16 s, in µs.
const UNKNOWN_ERROR_US: i64 = 16_000_000;

/// What ntpd and ntpsec write before they have heard from any server, in µs, with STA_PLL.
/// They mean the 16 s of NTP's largest dispersion.
const NTPD_STARTUP_US: i64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A state that bears no mark of its own.
    fn state(maxerror_us: i64, status: i32) -> KernelState {
        KernelState { status, maxerror_us, ..KernelState::BLANK }
    }

    #[test]
    fn the_marks_of_writers_without_a_bound_are_known() {
        let cases = [
            // maxerror, status, states no bound, has a bound at all
            (0, 0, true, true),
            (1_500, 0, true, true),
            (1_516, 0, false, true),
            (1_516, STA_PLL, true, true),
            (1_517, STA_PLL, false, true),
            (-1, 0, true, false),
            (i64::MIN, 0, true, false),
            (16_000_000, 0, true, false),
            (i64::MAX, 0, false, false),
        ];
        for (maxerror, status, none, any) in cases {
            let state = state(maxerror, status);
            assert_eq!((state.states_no_bound(), state.has_bound()), (none, any), "{state}");
        }
    }

    #[test]
    fn a_status_is_named_bit_by_bit() {
        assert_eq!(
            state(1, STA_PLL | STA_UNSYNC | STA_NANO).status_names(),
            ["PLL", "UNSYNC", "NANO"]
        );
        assert!(!state(1, STA_UNSYNC).is_synchronized());
        assert!(!KernelState { state: TIME_ERROR, ..state(1, 0) }.is_synchronized());
    }
}
