//! The bare ways to read a clock on Linux, for measuring what they cost.
//!
//! What a reading costs differs by a factor of a hundred between hosts, because a
//! clocksource may need a system call and a hypervisor may trap the counter. So the cost is
//! measured on the host in question, against the calls and instructions from which
//! everything else is built. Nobody has checked whether these readings can be trusted. They
//! are timed and thrown away.

use std::io;

use crate::timex::adjtimex;
use crate::way::Way;

/// Every clock that Linux numbers, by the name in its headers. 10 was SGI_CYCLE, which is gone.
const KERNEL_CLOCKS: [(libc::clockid_t, &str); 19] = [
    (0, "CLOCK_REALTIME"),
    (1, "CLOCK_MONOTONIC"),
    (2, "CLOCK_PROCESS_CPUTIME_ID"),
    (3, "CLOCK_THREAD_CPUTIME_ID"),
    (4, "CLOCK_MONOTONIC_RAW"),
    (5, "CLOCK_REALTIME_COARSE"),
    (6, "CLOCK_MONOTONIC_COARSE"),
    (7, "CLOCK_BOOTTIME"),
    (8, "CLOCK_REALTIME_ALARM"),
    (9, "CLOCK_BOOTTIME_ALARM"),
    (11, "CLOCK_TAI"),
    (16, "CLOCK_AUX0"),
    (17, "CLOCK_AUX1"),
    (18, "CLOCK_AUX2"),
    (19, "CLOCK_AUX3"),
    (20, "CLOCK_AUX4"),
    (21, "CLOCK_AUX5"),
    (22, "CLOCK_AUX6"),
    (23, "CLOCK_AUX7"),
];

/// The ways that work on this host and in this thread. There are none in a thread that may
/// not read the counter (PR_TSC_SIGSEGV), because the vDSO reads it too.
pub fn ways() -> Vec<Way> {
    if !counter_is_allowed() {
        return Vec::new();
    }
    let clocks = KERNEL_CLOCKS.into_iter().filter(|&(id, _)| kernel_clock(id).is_ok());
    let mut ways: Vec<Way> =
        clocks.map(|(id, name)| Way::of(name, move || kernel_clock(id).is_ok())).collect();
    ways.extend(counter::ways());
    if adjtimex().is_ok() {
        ways.push(Way::of("adjtimex", || adjtimex().is_ok()));
    }
    ways
}

/// Reads a clock of the kernel, without nix's wrapper, which costs a third more.
#[inline]
fn kernel_clock(id: libc::clockid_t) -> io::Result<libc::timespec> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel, or its vDSO, writes one `timespec` at this address. The vDSO may
    // read the counter, which `counter_is_allowed` has established for this thread.
    match unsafe { libc::clock_gettime(id, &raw mut time) } {
        0 => Ok(time),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether this thread may execute `rdtsc`: `false` if SIGSEGV would kill it.
fn counter_is_allowed() -> bool {
    let mut mode: libc::c_int = 0;
    // SAFETY: PR_GET_TSC writes one int to the address it is given.
    let result = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut mode) };
    // A kernel without the call forbids nothing.
    result != 0 || mode != libc::PR_TSC_SIGSEGV
}

/// The instructions that read the time-stamp counter.
#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, __rdtscp, _mm_lfence, _rdtsc};

    use crate::way::Way;

    /// To be called, and its ways used, only if `counter_is_allowed`.
    pub(super) fn ways() -> Vec<Way> {
        let mut ways = vec![Way::of("rdtsc", rdtsc)];
        if has_rdtscp() {
            ways.push(Way::of("rdtscp", rdtscp));
        }
        ways.push(Way::of("lfence; rdtsc", lfence_rdtsc));
        ways
    }

    #[inline]
    fn rdtsc() -> u64 {
        // SAFETY: every x86-64 processor has the instruction, and `counter_is_allowed` has
        // established that this thread may execute it.
        unsafe { _rdtsc() }
    }

    #[inline]
    fn rdtscp() -> u64 {
        let mut processor = 0;
        // SAFETY: as for `rdtsc`; that the processor has `rdtscp` is established by
        // `has_rdtscp`. It writes one u32 at this address.
        unsafe { __rdtscp(&raw mut processor) }
    }

    #[inline]
    fn lfence_rdtsc() -> u64 {
        // SAFETY: as for `rdtsc`; `lfence` is part of x86-64 itself.
        unsafe {
            _mm_lfence();
            _rdtsc()
        }
    }

    fn has_rdtscp() -> bool {
        const FEATURES: u32 = 0x8000_0001;
        #[allow(unused_unsafe, reason = "safe since Rust 1.94, and 1.85 is supported")]
        // SAFETY: every x86-64 processor has CPUID, and leaf 0x8000_0000 says which others
        // there are.
        unsafe {
            __cpuid(0x8000_0000).eax >= FEATURES && __cpuid(FEATURES).edx & 1 << 27 != 0
        }
    }
}

/// The instructions that read the virtual counter.
#[cfg(target_arch = "aarch64")]
mod counter {
    use std::arch::asm;

    use crate::way::Way;

    pub(super) fn ways() -> Vec<Way> {
        vec![
            Way::of("mrs cntvct_el0", unordered),
            Way::of("isb; mrs cntvct_el0", after_isb),
            Way::of("dsb ishld; isb; mrs cntvct_el0", after_loads),
        ]
    }

    #[inline]
    fn unordered() -> u64 {
        let ticks: u64;
        // SAFETY: Linux lets user space read CNTVCT_EL0, or traps and emulates it.
        unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) }
        ticks
    }

    #[inline]
    fn after_isb() -> u64 {
        let ticks: u64;
        // SAFETY: as above; the barrier has no operands.
        unsafe {
            asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags));
        }
        ticks
    }

    #[inline]
    fn after_loads() -> u64 {
        let ticks: u64;
        // SAFETY: as above; the barriers have no operands.
        unsafe {
            asm!(
                "dsb ishld", "isb", "mrs {}, cntvct_el0", out(reg) ticks,
                options(nostack, preserves_flags)
            );
        }
        ticks
    }
}

/// No counter is known on this architecture.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod counter {
    use crate::way::Way;

    pub(super) fn ways() -> Vec<Way> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_of_this_processor_are_named_and_can_be_timed() {
        let mut ways = ways();
        let names: Vec<_> = ways.iter().map(|way| way.name.as_str()).collect();
        for needed in ["CLOCK_REALTIME", "CLOCK_MONOTONIC_RAW", "CLOCK_TAI", "adjtimex"] {
            assert!(names.contains(&needed), "{names:?}");
        }
        if cfg!(target_arch = "x86_64") {
            assert!(names.contains(&"rdtsc"), "{names:?}");
        }
        if cfg!(target_arch = "aarch64") {
            assert!(names.contains(&"mrs cntvct_el0"), "{names:?}");
        }
        for way in &mut ways {
            way.size_batch(std::time::Duration::from_micros(1));
            way.measure();
            assert!(way.costs[0] > 0.0, "{}", way.name);
        }
    }

    #[test]
    fn a_clock_that_does_not_exist_is_not_readable() {
        assert!(kernel_clock(1000).is_err());
    }
}
