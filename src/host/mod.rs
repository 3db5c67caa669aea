//! `Host`: the questions that a clock asks of the machine it runs on.
//!
//! A clock library is tested on days on which clocks are right. The code that decides
//! what a sample is worth meets a suspend, a step or a denied system call for the first
//! time at a user's. A simulator helps only if the same code runs in it: one that
//! re-implements the control flow tests its own copy.
//!
//! So everything above this module reads the outside world through one trait. The real
//! machine answers it (`System`, a type without size, so that a reading of the clock
//! compiles to the bare instructions), and a simulated machine answers it too
//! (`sim`). There is no other way from the clock to a counter, a kernel clock or the
//! kernel's statement of its error.
//!
//! # Every answer can fail
//!
//! A clock that may not be read is not at zero. `clock_gettime` fails under a seccomp
//! filter or in a kernel that does not know the clock; a version of this crate that
//! took 0 for the answer gave intervals that stood still. So each question returns a
//! `Result`, and its error names the clock and says what to do. The instructions that
//! read a processor's counter cannot fail; whether they may be used is a question of
//! its own (`Host::hardware_counter`).
//!
//! Read next: `linux` (the only module with system calls that need `unsafe`),
//! `hardware` (the instructions), `vmclock` (the hypervisor's page), `portable` and `wall_watch`
//! (all other systems), [`KernelState`].

#[cfg(target_os = "linux")]
mod adjtimex;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod hardware;
#[cfg(not(target_family = "wasm"))]
mod kernel_read;
mod kernel_state;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
// Tested on Linux too, because it is developed there.
#[cfg(any(test, not(any(target_os = "linux", target_os = "android", target_family = "wasm"))))]
pub(crate) mod portable;
mod process_key;
pub(crate) mod ptp;
mod random;
#[cfg(test)]
pub(crate) mod scripted;
mod time_namespace;
mod vmclock;
mod vmclock_page;
#[cfg(any(test, not(any(target_os = "linux", target_os = "android", target_family = "wasm"))))]
mod wall_watch;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use kernel_state::KernelState;
#[cfg(test)]
pub(crate) use kernel_state::STA_NANO;
pub(crate) use kernel_state::{
    GROWTH_PPM, STA_DEL, STA_FLL, STA_INS, STA_PLL, TIME_DEL, TIME_ERROR, TIME_INS, TIME_OK,
    TIME_OOP, TIME_WAIT,
};
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(not(feature = "sim"), allow(unused_imports))]
pub(crate) use kernel_state::{STA_FREQHOLD, STA_UNSYNC};
pub(crate) use process_key::ProcessKey;
pub(crate) use random::{RANDOM_SOURCE, random_bytes};
#[cfg(not(target_family = "wasm"))]
pub(crate) use system::System;
pub use time_namespace::TimeNamespace;
pub(crate) use vmclock::DEFAULT_PATH as VMCLOCK_PATH;
pub use vmclock::VmClockError;
pub(crate) use vmclock::{MARKER_WORD, VmClockFields};
#[cfg(any(test, feature = "sim"))]
pub(crate) use vmclock_page::WORDS as VMCLOCK_WORDS;
pub(crate) use vmclock_page::{SharedWord, VmClockPage};

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as system;
#[cfg(not(any(target_os = "linux", target_os = "android", target_family = "wasm")))]
use portable as system;

/// A machine, as a clock sees it.
///
/// Clocks are in nanoseconds from their own beginning: 1970 for [`HostClock::Realtime`]
/// (in Unix time), the boot for the others. Any thread may ask, at any time.
pub(crate) trait Host: Send + Sync + 'static {
    /// Ticks of the hardware counter, out of order: possibly of some microseconds ago.
    ///
    /// Behind a pending cache miss it was read 1.2 µs early. Use it only where early is
    /// the careful side.
    fn ticks_unordered(&self) -> u64;

    /// Ticks of the hardware counter, after everything that precedes the call.
    fn ticks_ordered(&self) -> u64;

    /// As [`ticks_ordered`](Self::ticks_ordered) and cheaper, where
    /// [`HardwareCounter::has_cheap_order`] says so and a read of the snapshot precedes it.
    fn ticks_fenced(&self) -> u64;

    /// Keeps what follows from starting before what precedes has completed.
    fn fence(&self);

    /// Which hardware counter this machine has, and what the processor promises of it.
    /// `None` if it has none, or if this thread may not read it.
    fn hardware_counter(&self) -> Option<HardwareCounter>;

    /// The clocksource by which the kernel keeps time, as sysfs names it.
    fn clocksource(&self) -> Result<String, HostError>;

    /// One of the kernel's clocks.
    fn nanos(&self, clock: HostClock) -> Result<i64, HostError>;

    /// What the kernel says of its clock's error (`adjtimex`).
    fn kernel_state(&self) -> Result<KernelState, HostError>;

    /// By how much the clocks are shown to this process with an offset.
    fn time_namespace(&self) -> TimeNamespace {
        TimeNamespace::default()
    }

    /// Has everything read again that is read once in a process, because the process was
    /// restored from a checkpoint.
    fn forget_settings(&self) {}

    /// How long a load of the VMClock's page takes, in ns: the best of a few batches, because any
    /// of them may be interrupted. A hypervisor may map the page uncached.
    fn vmclock_load_ns(&self, page: &VmClockPage) -> Result<u64, HostError> {
        const LOADS: u64 = 64;
        let batch = || -> Result<u64, HostError> {
            let start = self.nanos(HostClock::MonotonicRaw)?;
            for _ in 0..LOADS {
                std::hint::black_box(page.marker());
            }
            let end = self.nanos(HostClock::MonotonicRaw)?;
            Ok(end.saturating_sub(start).max(0).unsigned_abs() / LOADS)
        };
        narrowest(8, batch, |&nanos| nanos)
    }

    /// The process that asks. It changes at a `fork`, in the child.
    fn process(&self) -> ProcessKey;

    /// Lets at least so much time pass.
    fn sleep(&self, time: Duration);
}

/// A shared machine is the machine.
impl<H: Host + ?Sized> Host for Arc<H> {
    fn ticks_unordered(&self) -> u64 {
        (**self).ticks_unordered()
    }

    fn ticks_ordered(&self) -> u64 {
        (**self).ticks_ordered()
    }

    fn ticks_fenced(&self) -> u64 {
        (**self).ticks_fenced()
    }

    fn fence(&self) {
        (**self).fence();
    }

    fn hardware_counter(&self) -> Option<HardwareCounter> {
        (**self).hardware_counter()
    }

    fn clocksource(&self) -> Result<String, HostError> {
        (**self).clocksource()
    }

    fn nanos(&self, clock: HostClock) -> Result<i64, HostError> {
        (**self).nanos(clock)
    }

    fn kernel_state(&self) -> Result<KernelState, HostError> {
        (**self).kernel_state()
    }

    fn time_namespace(&self) -> TimeNamespace {
        (**self).time_namespace()
    }

    fn forget_settings(&self) {
        (**self).forget_settings();
    }

    fn vmclock_load_ns(&self, page: &VmClockPage) -> Result<u64, HostError> {
        (**self).vmclock_load_ns(page)
    }

    fn process(&self) -> ProcessKey {
        (**self).process()
    }

    fn sleep(&self, time: Duration) {
        (**self).sleep(time);
    }
}

/// A clock of the operating system.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum HostClock {
    /// The wall clock, `CLOCK_REALTIME`: it is slewed and stepped.
    Realtime,
    /// The wall clock as of the kernel's last timer tick, `CLOCK_REALTIME_COARSE`.
    RealtimeCoarse,
    /// `CLOCK_MONOTONIC`: slewed, never stepped, and it stands still in a suspend.
    Monotonic,
    /// The oscillator itself, `CLOCK_MONOTONIC_RAW`; on other systems their monotonic clock.
    MonotonicRaw,
    /// `CLOCK_BOOTTIME`: `Monotonic`, and the time spent in suspends. On systems other than
    /// Linux a step of the wall clock forwards counts as a suspend.
    Boottime,
}

impl HostClock {
    /// The name in Linux's headers.
    pub fn name(self) -> &'static str {
        match self {
            HostClock::Realtime => "CLOCK_REALTIME",
            HostClock::RealtimeCoarse => "CLOCK_REALTIME_COARSE",
            HostClock::Monotonic => "CLOCK_MONOTONIC",
            HostClock::MonotonicRaw => "CLOCK_MONOTONIC_RAW",
            HostClock::Boottime => "CLOCK_BOOTTIME",
        }
    }
}

impl fmt::Display for HostClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was asked of the host when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HostQuestion {
    /// A clock was read.
    Clock(HostClock),
    /// The kernel's statement of its error was read.
    Adjtimex,
    /// The name of the kernel's clocksource was read.
    Clocksource,
}

impl fmt::Display for HostQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostQuestion::Clock(clock) => clock.fmt(f),
            HostQuestion::Adjtimex => f.write_str("adjtimex"),
            HostQuestion::Clocksource => f.write_str(
                "the clocksource (/sys/devices/system/clocksource/clocksource0/current_clocksource)",
            ),
        }
    }
}

/// The host did not answer: which question, and the system's error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HostError {
    question: HostQuestion,
    /// The system's error number; `None` where the system has nothing of the kind.
    errno: Option<i32>,
}

impl HostError {
    /// The system refused with this error number.
    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
    pub(crate) fn new(question: HostQuestion, errno: i32) -> HostError {
        HostError { question, errno: Some(errno) }
    }

    /// The system refused the call that this thread made last.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn last(question: HostQuestion) -> HostError {
        HostError::new(question, io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// This operating system has no answer to that question.
    #[cfg_attr(any(target_os = "linux", target_os = "android"), allow(dead_code))]
    pub(crate) fn unsupported(question: HostQuestion) -> HostError {
        HostError { question, errno: None }
    }

    /// What could not be read.
    pub fn question(&self) -> HostQuestion {
        self.question
    }

    /// Whether the system denies `adjtimex`, which it has.
    pub(crate) fn is_adjtimex(&self) -> bool {
        self.question == HostQuestion::Adjtimex && self.errno.is_some()
    }

    /// Whether the operating system has nothing of the kind, so that no permission would help.
    pub fn is_unsupported(&self) -> bool {
        self.errno.is_none()
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let question = self.question;
        match self.errno {
            None => write!(f, "{question} does not exist on this operating system"),
            Some(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                let call = match question {
                    HostQuestion::Clock(_) => "clock_gettime",
                    HostQuestion::Adjtimex => "adjtimex and clock_adjtime",
                    HostQuestion::Clocksource => "open and read",
                };
                write!(
                    f,
                    "{question} cannot be read ({error}): allow {call} in the seccomp filter or \
                     sandbox of this process, because reading needs no privilege"
                )
            }
        }
    }
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for HostError {}

/// A processor's counter, and what the processor promises of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HardwareCounter {
    pub(crate) kind: HardwareKind,
    /// It runs at one rate in every power state, and can be read in order.
    pub(crate) is_invariant: bool,
    /// [`Host::ticks_fenced`] is ordered on this processor.
    pub(crate) has_cheap_order: bool,
}

/// The counters that this crate can read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HardwareKind {
    /// The time-stamp counter of x86-64.
    #[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), allow(dead_code))]
    Tsc,
    /// The virtual counter of aarch64, `CNTVCT_EL0`.
    #[cfg_attr(not(all(target_os = "linux", target_arch = "aarch64")), allow(dead_code))]
    Cntvct,
}

/// How long the host has been suspended since it booted, in nanoseconds, to within
/// [`SUSPEND_NOISE_NS`]. `None` on a system that has no clock to show it.
///
/// It is BOOTTIME − MONOTONIC of the host, less what a time namespace adds.
///
/// # Errors
///
/// If a clock that exists may not be read: then a suspend could go unseen.
pub(crate) fn suspended_ns(host: &(impl Host + ?Sized)) -> Result<Option<i64>, HostError> {
    let once = || -> Result<(i64, i64), HostError> {
        let before = host.nanos(HostClock::Monotonic)?;
        let boot = host.nanos(HostClock::Boottime)?;
        let after = host.nanos(HostClock::Monotonic)?;
        Ok((after.saturating_sub(before), boot.saturating_sub(after)))
    };
    // An interruption between the reads looks like a suspend, so the narrowest counts.
    match narrowest(4, once, |&(width, _)| width) {
        Ok((_, shown)) => Ok(Some(shown.saturating_sub(host.time_namespace().excess_ns()))),
        Err(error) if error.is_unsupported() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a clock of this system counts suspends. Where none does, a step of the wall clock
/// forwards cannot be told from a suspend (`wall_watch`).
#[cfg(not(target_family = "wasm"))]
pub(crate) const COUNTS_SUSPENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Two clocks are not read at one moment, so a suspend shorter than this is not seen.
pub(crate) const SUSPEND_NOISE_NS: i64 = 1_000_000;

/// The narrowest of `tries` bracketed readings: any one of them may have been interrupted.
///
/// # Errors
///
/// The first reading's error, if one fails.
pub(crate) fn narrowest<T, E, W: Ord>(
    tries: u32,
    mut read: impl FnMut() -> Result<T, E>,
    width: impl Fn(&T) -> W,
) -> Result<T, E> {
    let mut best = read()?;
    for _ in 1..tries {
        let next = read()?;
        if width(&next) < width(&best) {
            best = next;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_clock_and_the_remedy() {
        let denied = HostError::new(HostQuestion::Clock(HostClock::MonotonicRaw), 1).to_string();
        assert!(denied.contains("CLOCK_MONOTONIC_RAW") && denied.contains("seccomp"), "{denied}");
        let absent = HostError::unsupported(HostQuestion::Adjtimex);
        assert!(absent.is_unsupported() && absent.to_string().contains("adjtimex"), "{absent}");
    }

    #[test]
    fn the_narrowest_reading_counts_and_an_error_ends_the_search() {
        let mut widths = [5, 3, 9].into_iter();
        let read = || widths.next().ok_or("no more");
        assert_eq!(narrowest(3, read, |&width| width), Ok(3));
        let mut answers = [Ok(5), Err("denied")].into_iter();
        assert_eq!(narrowest(2, || answers.next().unwrap(), |&width| width), Err("denied"));
    }

    #[test]
    fn this_host_reads_its_clocks_forwards() {
        let host = System;
        for clock in [HostClock::Realtime, HostClock::Monotonic, HostClock::MonotonicRaw] {
            let before = host.nanos(clock).expect("no filter denies it in tests");
            let after = host.nanos(clock).expect("no filter denies it in tests");
            assert!(before > 0 && after >= before, "{clock}: {before}, {after}");
        }
        assert!(suspended_ns(&host).expect("readable").is_none_or(|ns| ns >= -SUSPEND_NOISE_NS));
    }
}
