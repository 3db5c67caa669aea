//! The instructions that read a processor's counter.
//!
//! Nothing is decided here. Whether a counter may be trusted is judged in `counter`, on
//! what [`traits`] and the kernel say of it; no function here is called before that.

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{fence, ticks_fenced, ticks_ordered, ticks_unordered, traits};

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::{fence, ticks_fenced, ticks_ordered, ticks_unordered, traits};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use other::{fence, ticks_fenced, ticks_ordered, ticks_unordered, traits};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;

    use crate::host::{HardwareCounter, HardwareKind};

    /// The time-stamp counter, whenever the processor finds the time to read it.
    #[inline]
    pub(in crate::host) fn ticks_unordered() -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: `rdtsc` writes edx:eax and touches nothing else. That this
        // thread may execute it is established by `Host::hardware_counter`, which
        // asks the kernel (PR_GET_TSC) before any clock is built on it; a thread for
        // which it is forbidden later is killed, as it would be in the vDSO.
        // No `nomem`, because the compiler must not move memory accesses across it.
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
    pub(in crate::host) fn ticks_ordered() -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: as for `rdtsc`; `rdtscp` also writes ecx. That the processor
        // has it is part of `HardwareCounter::is_invariant`.
        unsafe {
            asm!(
                "rdtscp", out("rax") low, out("rdx") high, out("rcx") _,
                options(nostack, preserves_flags)
            );
        }
        high << 32 | low
    }

    /// The same, a tenth cheaper, for processors on which `lfence` waits for all that
    /// precedes it ([`HardwareCounter::has_cheap_order`]).
    #[inline]
    pub(in crate::host) fn ticks_fenced() -> u64 {
        let (low, high): (u64, u64);
        // SAFETY: as for `rdtsc`. On a processor where `lfence` waits for loads
        // alone the answer may be early, which does not affect memory safety.
        unsafe {
            asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nostack, preserves_flags));
        }
        high << 32 | low
    }

    /// Keeps later instructions from starting before earlier ones have completed.
    #[inline]
    pub(in crate::host) fn fence() {
        // SAFETY: `lfence` is part of x86-64 itself and has no operands.
        unsafe { asm!("lfence", options(nostack, preserves_flags)) }
    }

    /// What CPUID says of the counter.
    pub(in crate::host) fn traits() -> Option<HardwareCounter> {
        use std::arch::x86_64::{__cpuid, CpuidResult};
        const NONE: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
        #[allow(unused_unsafe, reason = "safe since Rust 1.94, and 1.85 is supported")]
        // SAFETY: every x86-64 processor has CPUID, and leaves 0 and 0x8000_0000
        // say which others there are.
        let leaf = |leaf: u32| unsafe {
            if __cpuid(leaf & 0x8000_0000).eax >= leaf { __cpuid(leaf) } else { NONE }
        };
        let vendor = leaf(0);
        // "GenuineIntel" documents that `lfence` always waits; AMD has a bit that says so.
        let is_intel =
            (vendor.ebx, vendor.edx, vendor.ecx) == (0x756e_6547, 0x4965_6e69, 0x6c65_746e);
        let has_rdtscp = leaf(0x8000_0001).edx & 1 << 27 != 0;
        let is_invariant = leaf(0x8000_0007).edx & 1 << 8 != 0;
        Some(HardwareCounter {
            kind: HardwareKind::Tsc,
            is_invariant: is_invariant && has_rdtscp,
            has_cheap_order: is_intel || leaf(0x8000_0021).eax & 1 << 2 != 0,
        })
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::asm;

    use crate::host::{HardwareCounter, HardwareKind};

    /// The virtual counter, whenever the processor finds the time to read it.
    #[inline]
    pub(in crate::host) fn ticks_unordered() -> u64 {
        let ticks: u64;
        // SAFETY: Linux lets user space read CNTVCT_EL0, or traps and emulates
        // it (`counter` notices by the cost). It touches no memory; no `nomem`, so
        // that the compiler moves no memory access across it.
        unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) }
        ticks
    }

    /// The virtual counter after everything before it in program order has been done.
    ///
    /// `isb` by itself waits for no load. `dsb ishld` does, and `isb` waits for it.
    #[inline]
    pub(in crate::host) fn ticks_ordered() -> u64 {
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
    /// Acquire fence precedes it: `Ring::read` ends with one.
    ///
    /// The branch waits for that load, the fence orders all earlier loads before
    /// it, and `isb` lets nothing pass the branch. (A load, a branch on it, `isb`,
    /// the counter is the Arm ARM's own example, under "The Generic Timer in
    /// AArch64 state".)
    #[inline]
    pub(in crate::host) fn ticks_fenced() -> u64 {
        let ticks: u64;
        // SAFETY: as above.
        unsafe {
            asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags));
        }
        ticks
    }

    /// Keeps later instructions from starting before earlier ones have completed.
    #[inline]
    pub(in crate::host) fn fence() {
        // SAFETY: `isb` has no operands.
        unsafe { asm!("isb", options(nostack, preserves_flags)) }
    }

    /// The architecture promises a constant rate, and that `isb` orders the read.
    pub(in crate::host) fn traits() -> Option<HardwareCounter> {
        Some(HardwareCounter {
            kind: HardwareKind::Cntvct,
            is_invariant: true,
            has_cheap_order: true,
        })
    }
}

/// No counter is known on this architecture, so [`traits`] says that there is none and
/// nothing reads it.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod other {
    use crate::host::HardwareCounter;

    pub(in crate::host) fn ticks_unordered() -> u64 {
        0
    }

    pub(in crate::host) fn ticks_ordered() -> u64 {
        0
    }

    pub(in crate::host) fn ticks_fenced() -> u64 {
        0
    }

    pub(in crate::host) fn fence() {}

    pub(in crate::host) fn traits() -> Option<HardwareCounter> {
        None
    }
}
