//! [`System`] on Linux and Android: system calls that nix does not wrap.
//!
//! Nothing is decided here. Each function asks the kernel one question and hands the
//! answer on, or the error. `unsafe` is in this module and in `hardware` only.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use super::hardware;
use super::kernel_state::{KernelState, STA_NANO};
use super::{HardwareCounter, Host, HostClock, HostError, HostQuestion};

/// The machine that this process runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl Host for System {
    #[inline]
    fn ticks_unordered(&self) -> u64 {
        hardware::ticks_unordered()
    }

    #[inline]
    fn ticks_ordered(&self) -> u64 {
        hardware::ticks_ordered()
    }

    #[inline]
    fn ticks_fenced(&self) -> u64 {
        hardware::ticks_fenced()
    }

    #[inline]
    fn fence(&self) {
        hardware::fence();
    }

    fn hardware_counter(&self) -> Option<HardwareCounter> {
        System::counter_is_allowed().then(hardware::traits).flatten()
    }

    fn clocksource(&self) -> Result<String, HostError> {
        const FILE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        let name = fs::read_to_string(FILE).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            HostError::new(HostQuestion::Clocksource, errno)
        })?;
        Ok(name.trim().to_owned())
    }

    /// Through the vDSO this takes no system call and is safe in a signal handler.
    /// (nix wraps this call, in a form that costs a third more.)
    #[inline]
    fn nanos(&self, clock: HostClock) -> Result<i64, HostError> {
        let id = match clock {
            HostClock::Realtime => libc::CLOCK_REALTIME,
            HostClock::RealtimeCoarse => libc::CLOCK_REALTIME_COARSE,
            HostClock::Monotonic => libc::CLOCK_MONOTONIC,
            HostClock::MonotonicRaw => libc::CLOCK_MONOTONIC_RAW,
            HostClock::Boottime => libc::CLOCK_BOOTTIME,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel, or its vDSO, writes one `timespec` at this address.
        if unsafe { libc::clock_gettime(id, &raw mut time) } != 0 {
            return Err(HostError::new(HostQuestion::Clock(clock), last_errno()));
        }
        // Widened before it is multiplied: on 32-bit systems both fields have 32 bits.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "see above")]
        let (seconds, nanos) = (time.tv_sec as i64, time.tv_nsec as i64);
        Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        let answer = adjtimex(0)?;
        // Not every filter that lets the one form through lets the other. Where it does
        // not, no process under the same filter has used `adjtime()` either.
        let pending_us = adjtimex(libc::ADJ_OFFSET_SS_READ).map_or(0, |a| wide(a.timex.offset));
        Ok(decode(answer.state, &answer.timex, pending_us))
    }

    #[inline]
    fn process_id(&self) -> u32 {
        std::process::id()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl System {
    /// Whether this thread may execute `rdtsc`: `false` if SIGSEGV would kill it.
    ///
    /// The flag belongs to the thread (`prctl(PR_SET_TSC)`) and is inherited by
    /// those it makes. Kernels without the call do not forbid it.
    pub(crate) fn counter_is_allowed() -> bool {
        let mut mode: libc::c_int = 0;
        // SAFETY: PR_GET_TSC writes one int to the address it is given.
        let result = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut mode) };
        result != 0 || mode != libc::PR_TSC_SIGSEGV
    }
}

/// What `adjtimex` reports: the clock state that it returns, and its structure.
struct Adjtimex {
    state: libc::c_int,
    timex: libc::timex,
}

/// Reads the kernel's time state and changes nothing. Any process may.
fn adjtimex(modes: libc::c_uint) -> Result<Adjtimex, HostError> {
    // SAFETY: `timex` is plain integers, for which all zeros is a value.
    let mut timex: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    timex.modes = modes;
    // SAFETY: the kernel reads and writes one `timex` at this address. Both
    // modes used here only read the clock's state.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    // glibc's function makes the system call `clock_adjtime`. Some filters deny that one
    // and let `adjtimex` through. (On 32-bit systems the two structures may differ.)
    #[cfg(target_pointer_width = "64")]
    let state = if state < 0 {
        timex.modes = modes;
        // SAFETY: as above; on 64-bit systems the kernel's structure is libc's.
        unsafe { libc::syscall(libc::SYS_adjtimex, &raw mut timex) as libc::c_int }
    } else {
        state
    };
    if state < 0 {
        return Err(HostError::new(HostQuestion::Adjtimex, last_errno()));
    }
    Ok(Adjtimex { state, timex })
}

fn decode(state: i32, timex: &libc::timex, adjtime_us: i64) -> KernelState {
    // STA_NANO changes the unit of `offset` and of the time's fraction.
    let fraction_ns = if timex.status & STA_NANO != 0 { 1 } else { 1000 };
    // `freq` is in ppm with 16 fractional bits; one `tick` is 1 µs of 10 ms.
    let freq_ppb = wide(timex.freq).saturating_mul(1000) >> 16;
    let tick_ppb = wide(timex.tick).saturating_sub(NOMINAL_TICK_US).saturating_mul(100_000);
    let seconds_ns = wide(timex.time.tv_sec).saturating_mul(1_000_000_000);
    KernelState {
        state,
        status: timex.status,
        maxerror_us: wide(timex.maxerror),
        esterror_us: wide(timex.esterror),
        offset_ns: wide(timex.offset).saturating_mul(fraction_ns),
        adjtime_ns: adjtime_us.saturating_mul(1000),
        rate_ppb: freq_ppb.saturating_add(tick_ppb),
        tai: timex.tai,
        unix_ns: seconds_ns.saturating_add(wide(timex.time.tv_usec).saturating_mul(fraction_ns)),
    }
}

/// A tick of USER_HZ, 10 ms.
const NOMINAL_TICK_US: i64 = 10_000;

/// A field of `timex`: a `long`, which has 32 bits on some systems.
fn wide(field: impl Into<i64>) -> i64 {
    field.into()
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_read_in_the_units_that_the_kernel_uses() {
        let mut timex = adjtimex(0).expect("any process may").timex;
        timex.status = 0;
        timex.offset = -7;
        timex.freq = -(40 << 16);
        timex.tick = 10_001;
        timex.maxerror = 16_000_000;
        timex.time = libc::timeval { tv_sec: 1_700_000_000, tv_usec: 5 };
        let micro = decode(5, &timex, 3);
        assert_eq!((micro.offset_ns, micro.adjtime_ns), (-7_000, 3_000));
        assert_eq!(micro.rate_ppb, 100_000 - 40_000, "freq and one tick of 1 µs");
        assert_eq!(micro.unix_ns, 1_700_000_000_000_005_000);
        timex.status = STA_NANO;
        let nano = decode(5, &timex, 3);
        assert_eq!((nano.offset_ns, nano.unix_ns), (-7, 1_700_000_000_000_000_005));
        assert_eq!((micro.maxerror_us, nano.maxerror_us), (16_000_000, 16_000_000), "always µs");
    }

    #[test]
    fn nonsense_from_the_kernel_overflows_nothing() {
        for extreme in [libc::c_long::MIN, libc::c_long::MAX] {
            let mut timex = adjtimex(0).expect("any process may").timex;
            (timex.freq, timex.offset, timex.tick) = (extreme, extreme, extreme);
            timex.time.tv_usec = extreme as _;
            timex.time.tv_sec = extreme as _;
            decode(5, &timex, wide(extreme));
        }
    }

    #[test]
    fn this_kernel_answers_any_process() {
        let state = System.kernel_state().expect("any process may");
        assert!(!state.state_name().contains("unknown"), "{state}");
        assert!(state.maxerror_us >= 0);
    }
}
