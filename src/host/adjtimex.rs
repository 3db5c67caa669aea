//! What the kernel says of its clock's error: `adjtimex`, which nix does not wrap.

use std::mem::MaybeUninit;

use super::kernel_state::{KernelState, STA_NANO};
use super::{HostError, HostQuestion};

/// The kernel's statement.
pub(super) fn kernel_state() -> Result<KernelState, HostError> {
    let answer = adjtimex(0)?;
    // Not every filter that lets the one form through lets the other. Where it does
    // not, no process under the same filter has used `adjtime()` either.
    let pending_us = adjtimex(libc::ADJ_OFFSET_SS_READ).map_or(0, |a| wide(a.timex.offset));
    Ok(decode(answer.state, &answer.timex, pending_us))
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
        return Err(HostError::last(HostQuestion::Adjtimex));
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
        constant: wide(timex.constant),
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
        let state = kernel_state().expect("any process may");
        assert!(!state.state_name().contains("unknown"), "{state}");
        assert!(state.maxerror_us >= 0);
    }
}
