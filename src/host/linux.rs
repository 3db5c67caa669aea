//! [`System`] on Linux and Android: system calls that nix does not wrap.
//!
//! Nothing is decided here. Each function asks the kernel one question and hands the
//! answer on, or the error. `unsafe` is in this module, in `adjtimex`, `hardware`,
//! `process_key`, `ptp` and `vmclock_page` only.

use std::fs;
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::adjtimex;
use super::hardware;
use super::kernel_state::KernelState;
use super::time_namespace;
use super::{HardwareCounter, Host, HostClock, HostError, HostQuestion, ProcessKey, TimeNamespace};

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
            return Err(HostError::last(HostQuestion::Clock(clock)));
        }
        // Widened before it is multiplied: on 32-bit systems both fields have 32 bits.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "see above")]
        let (seconds, nanos) = (time.tv_sec as i64, time.tv_nsec as i64);
        Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        #[cfg(target_os = "linux")]
        return adjtimex::kernel_state();
        // libc does not show the structure on Android.
        #[cfg(not(target_os = "linux"))]
        return Err(HostError::unsupported(HostQuestion::Adjtimex));
    }

    fn time_namespace(&self) -> TimeNamespace {
        time_namespace::of_this_process()
    }

    fn forget_settings(&self) {
        time_namespace::forget();
    }

    #[inline]
    fn process(&self) -> ProcessKey {
        ProcessKey::current()
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
