//! The processor's counter, bare: the floor under every reading.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use std::arch::asm;

/// Whenever the processor gets round to it.
#[inline]
pub fn unordered() -> u64 {
    let ticks: u64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: no clock of a bench could be built if this thread might not.
    unsafe {
        asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") ticks, out("rdx") _);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: Linux lets user space read it.
    unsafe {
        asm!("mrs {}, cntvct_el0", out(reg) ticks);
    }
    ticks
}

/// After everything before it.
#[inline]
pub fn ordered() -> u64 {
    let ticks: u64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        asm!("rdtscp", "shl rdx, 32", "or rax, rdx", out("rax") ticks, out("rdx") _, out("rcx") _);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks);
    }
    ticks
}
