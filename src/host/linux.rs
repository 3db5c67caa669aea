//! The only `unsafe` of the crate: counters, and system calls that nix does not wrap.
//!
//! Nothing is decided here. Each function asks the processor or the kernel one
//! question and hands the answer on; what it means is the business of
//! `clock::counter` and `source::kernel`.

use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::time::ClockId;

/// Reads one of the kernel's clocks, in nanoseconds; 0 where it may not be read.
///
/// Through the vDSO this takes no system call and is safe in a signal handler.
/// A clock that the kernel does not know, or a filter that forbids it, gives 0:
/// a reader has nobody to report to, and a counter at 0 stands before every
/// sample, so that no interval is made of it. (nix wraps this call, in a form
/// that costs a third more.)
#[inline]
pub(crate) fn nanos(clock: ClockId) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel, or its vDSO, writes one `timespec` at this address.
    unsafe { libc::clock_gettime(clock.as_raw(), &raw mut time) };
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// The hardware counter of x86-64.
#[cfg(target_arch = "x86_64")]
pub(crate) mod hardware {
    use std::arch::asm;

    /// The time-stamp counter, whenever the processor finds the time to read it.
    ///
    /// Out of order: behind a pending cache miss it was read 1.2 µs early.
    /// Use it only where early is harmless.
    #[inline]
    pub(crate) fn ticks_unordered() -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: `rdtsc` writes edx:eax and touches nothing else. That this
        // thread may execute it is established by `counter::trust`, which asks
        // the kernel (PR_GET_TSC) before any clock is built on it; where it is
        // forbidden later the thread is killed, as it would be in the vDSO.
        // No `nomem`: the compiler must not move memory accesses across it.
        unsafe {
            asm!("rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
        }
        high << 32 | low
    }

    /// The time-stamp counter after everything before it in program order has been done.
    ///
    /// `rdtscp` waits for earlier instructions, loads included; later *loads*
    /// may still pass it, later stores cannot become visible before it.
    #[inline]
    pub(crate) fn ticks_ordered() -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: as for `rdtsc`; `rdtscp` also writes ecx. That the processor
        // has it is established by `counter::trust` (CPUID).
        unsafe {
            asm!(
                "rdtscp", out("rax") low, out("rdx") high, out("rcx") _,
                options(nostack, preserves_flags)
            );
        }
        high << 32 | low
    }

    /// The same, a tenth cheaper, for processors on which `lfence` waits for all
    /// that stands before it ([`Traits::lfence_waits`]).
    #[inline]
    pub(crate) fn ticks_fenced() -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: as for `rdtsc`. On a processor where `lfence` waits for loads
        // alone the answer may be early, which is no matter of memory safety.
        unsafe {
            asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
        }
        high << 32 | low
    }

    /// Keeps later instructions from starting before earlier ones have completed.
    #[inline]
    pub(crate) fn fence() {
        // SAFETY: `lfence` is part of x86-64 itself and has no operands.
        unsafe { asm!("lfence", options(nostack, preserves_flags)) }
    }

    /// What CPUID says about the counter.
    pub(crate) struct Traits {
        pub(crate) has_rdtscp: bool,
        /// It runs at one rate in every power state.
        pub(crate) is_invariant: bool,
        /// Nothing after an `lfence` begins before all that stands before it is done.
        pub(crate) lfence_waits: bool,
    }

    pub(crate) fn traits() -> Traits {
        use std::arch::x86_64::{__cpuid, CpuidResult};
        const NONE: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
        #[allow(unused_unsafe, reason = "safe since Rust 1.94, and 1.85 is supported")]
        // SAFETY: every x86-64 processor has CPUID, and leaves 0 and 0x8000_0000
        // say which others there are.
        let leaf = |leaf: u32| unsafe {
            if __cpuid(leaf & 0x8000_0000).eax >= leaf { __cpuid(leaf) } else { NONE }
        };
        let vendor = leaf(0);
        // "GenuineIntel": documented to wait, always. AMD: if the processor says so.
        let is_intel =
            (vendor.ebx, vendor.edx, vendor.ecx) == (0x756e_6547, 0x4965_6e69, 0x6c65_746e);
        Traits {
            has_rdtscp: leaf(0x8000_0001).edx & 1 << 27 != 0,
            is_invariant: leaf(0x8000_0007).edx & 1 << 8 != 0,
            lfence_waits: is_intel || leaf(0x8000_0021).eax & 1 << 2 != 0,
        }
    }
}

/// The hardware counter of aarch64.
#[cfg(target_arch = "aarch64")]
pub(crate) mod hardware {
    use std::arch::asm;

    /// The virtual counter, whenever the processor finds the time to read it.
    #[inline]
    pub(crate) fn ticks_unordered() -> u64 {
        let ticks: u64;
        // SAFETY: Linux lets user space read CNTVCT_EL0, or traps and emulates
        // it (`counter::trust` notices by the cost). It touches no memory; no
        // `nomem`, so that the compiler moves no memory access across it.
        unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) }
        ticks
    }

    /// The virtual counter after everything before it in program order has been done.
    ///
    /// `isb` by itself waits for no load. `dsb ishld` does, and `isb` for it.
    #[inline]
    pub(crate) fn ticks_ordered() -> u64 {
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

    /// The same, cheaper, where a branch on something that was loaded after an
    /// Acquire fence stands before it: `Ring::read` ends with one.
    ///
    /// The branch waits for that load, the fence orders all earlier loads before
    /// it, and `isb` lets nothing pass the branch. (A load, a branch on it, `isb`,
    /// the counter is the Arm ARM's own example, under "The Generic Timer in
    /// AArch64 state".)
    #[inline]
    pub(crate) fn ticks_fenced() -> u64 {
        let ticks: u64;
        // SAFETY: as above.
        unsafe {
            asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags));
        }
        ticks
    }

    /// Keeps later instructions from starting before earlier ones have completed.
    #[inline]
    pub(crate) fn fence() {
        // SAFETY: `isb` has no operands.
        unsafe { asm!("isb", options(nostack, preserves_flags)) }
    }
}

/// No counter is known on this architecture: `counter::trust` never lets it be read.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod hardware {
    pub(crate) fn ticks_unordered() -> u64 {
        0
    }
    pub(crate) fn ticks_ordered() -> u64 {
        0
    }
    pub(crate) fn ticks_fenced() -> u64 {
        0
    }
    pub(crate) fn fence() {}
}

/// Whether this thread may execute `rdtsc`: `false` if it would be killed by SIGSEGV.
///
/// The flag belongs to the thread (`prctl(PR_SET_TSC)`) and is inherited by
/// those it makes. Kernels without the call do not forbid it.
pub(crate) fn counter_is_allowed() -> bool {
    let mut mode: libc::c_int = 0;
    // SAFETY: PR_GET_TSC writes one int to the address it is given.
    let result = unsafe { libc::prctl(libc::PR_GET_TSC, &raw mut mode) };
    result != 0 || mode != libc::PR_TSC_SIGSEGV
}

/// What `adjtimex` reports: the clock state it returns, and its structure.
pub(crate) struct Adjtimex {
    pub(crate) state: libc::c_int,
    pub(crate) timex: libc::timex,
}

/// Reads the kernel's time state and changes nothing. Any process may.
pub(crate) fn adjtimex() -> Result<Adjtimex, Errno> {
    call_adjtimex(0)
}

/// What is left of an `adjtime()` correction, in microseconds. Any process may ask.
pub(crate) fn adjtime_pending_us() -> Result<i64, Errno> {
    call_adjtimex(libc::ADJ_OFFSET_SS_READ).map(|answer| answer.timex.offset)
}

fn call_adjtimex(modes: libc::c_uint) -> Result<Adjtimex, Errno> {
    // SAFETY: `timex` is plain integers, for which all zeros is a value.
    let mut timex: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    timex.modes = modes;
    // SAFETY: the kernel reads and writes one `timex` at this address. Both
    // modes used here only read the clock's state.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(Errno::last()) } else { Ok(Adjtimex { state, timex }) }
}
