//! Platforms: what works where, and what is only type-checked.
//!
//! The crate compiles on every system on which a database is developed. How much of it is
//! there depends on what the system lets a process read.
//!
//! | system | how it is checked | evidence of its own | counter |
//! |---|---|---|---|
//! | Linux, x86-64 | all tests, and guests with real kernels and daemons | the kernel's bound, chronyd | TSC |
//! | Linux, aarch64 | unit tests and readings under emulation, on a real kernel too; never on silicon | the kernel's bound, chronyd | CNTVCT |
//! | Linux, i686 | unit tests | the kernel's bound, chronyd | `CLOCK_MONOTONIC_RAW` |
//! | Linux, armv7, riscv64, musl | type-checked | the kernel's bound, chronyd | as above: TSC with musl on x86-64, else `CLOCK_MONOTONIC_RAW` |
//! | Android, aarch64 | type-checked | none: as macOS | CNTVCT, where an app may read which clocksource the kernel uses; else `CLOCK_MONOTONIC_RAW` |
//! | macOS, FreeBSD, Windows | type-checked; their logic is tested on Linux | none: [`assume_error`], or a source of your own | the system's monotonic clock |
//! | wasm32 | type-checked | there is no [`Clock`] | none |
//!
//! # What is there on all of them
//!
//! All that reads no clock: [`Timestamp`], [`Interval`], [`agreement`], [`quorum`],
//! [`scale`], [`hlc`], [`lease`], the rules of a [`fence`], [`timeout`], [`peers`], the
//! trait [`TrueTime`], [`ManualClock`], and with the feature `sim` the simulated world.
//! A program that is generic over [`TrueTime`] compiles and can be tested everywhere.
//!
//! On every system with threads there are also [`Clock`], [`wait`] and [`pause`].
//!
//! # Linux
//!
//! All of it works. The processor's counter is read if the kernel keeps time by the same
//! counter, and `CLOCK_MONOTONIC_RAW` otherwise. A step of the wall clock wakes the clock at
//! once (timerfd). `CLOCK_BOOTTIME` shows a suspend of 1 ms or more at the next poll.
//!
//! **On aarch64** [`Clock::earliest`] and [`Clock::after`] read the counter without a
//! barrier, because an early reading is the careful side there. So a call of `earliest()`
//! that follows a call of `now()` may give a moment that is some nanoseconds earlier. That
//! is safe: both were reached. It only is not monotonic. [`Clock::now`] and
//! [`Clock::before`] read the counter in order, and never go backwards between threads.
//!
//! **On 32-bit systems with glibc** a `time_t` has 32 bits unless the whole program is
//! built for 64. There the kernel's clocks cannot be read beyond 2038-01-19T03:14:07Z, and
//! this crate cannot help it. On i686 the time-stamp counter is not used.
//!
//! # Android
//!
//! It is Linux, and has the same code, but for `adjtimex`, which libc does not show there.
//! So the kernel states no bound, and the clock needs [`assume_error`] or a source of your
//! own. Steps and suspends are noticed as on Linux. The timer slack of waits is not reduced.
//!
//! # macOS, FreeBSD and Windows
//!
//! The standard library shows a wall clock and a monotonic clock, and nothing says how far
//! off the wall clock is. So [`ClockBuilder::build`] works, and [`Clock::now`] is an error
//! ([`Reason::Unsupported`]) until a source states a bound: one of your own
//! ([`ClockBuilder::source`]), or the operator's statement ([`assume_error`]), as on a
//! developer's machine.
//!
//! Steps and suspends are found by comparing the two clocks, at every poll:
//!
//! - A slow change of their difference (500 ppm, and 1 ms) is a slew, and is nothing.
//! - A jump of the wall clock **backwards** is a step. It ends the operator's statement.
//!   What was known before it holds on.
//! - A jump **forwards** is a step, or a suspend in which the monotonic clock stood still
//!   (as on macOS). The two look the same, so it counts as a suspend: all that was known is
//!   forgotten, and [`Clock::reassume`] states the error again.
//! - Between a resume and the next poll (100 ms by default) a reading may be wrong by the
//!   length of the suspend. A clock without a thread
//!   ([`manual`](ClockBuilder::manual)) has to call [`Clock::refresh`] first.
//! - A suspend that is shorter than the allowance is not seen, nor one that is hidden
//!   because the wall clock was set back by as much.
//!
//! What else is less than on Linux:
//!
//! - **Duration leases.** `lease::BootClock` notices a suspend by the wall clock, too. After
//!   one, or after a step forwards, its readings are uncertain by the whole jump. The holder
//!   loses its lease and the grantor counts without the jump, so neither is unsafe.
//! - **Pauses.** A [`pause`] monitor sees that its thread was late, and not why. It does not
//!   see a suspend.
//! - **Waits** end later, because a sleep cannot be made finer than the system makes it. No
//!   wait ends early, because a reading of the clock ends it.
//! - **Durable fences and marks** work. On Windows the lock is an opening of the lock file
//!   that refuses others, and the directory is flushed through a handle with the right to
//!   write. Whether a rename is then on the disk is NTFS's promise, which nothing here has
//!   tried.
//! - **chronyd** answers over UDP only on Windows, which has no Unix sockets in std.
//!
//! # wasm32
//!
//! There are no threads, files, processes or clocks that std can read
//! (`wasm32-unknown-unknown`). [`Clock`], [`wait`], [`pause`] and `lease::BootClock` are
//! not compiled there. Opening a durable fence or mark is an error, and so is
//! [`IdempotencyKey::random`](timeout::IdempotencyKey::random): give
//! [`from_bytes`](timeout::IdempotencyKey::from_bytes) the environment's random bytes.
//! [`PeerClocks`] needs a [`seed`](PeerClocks::seed), because there is nothing random to
//! begin with.
//!
//! [`assume_error`]: ClockBuilder::assume_error

#![cfg_attr(target_family = "wasm", allow(rustdoc::broken_intra_doc_links))]

#[cfg(not(target_family = "wasm"))]
#[allow(unused_imports, reason = "the links of this page")]
use crate::{Clock, ClockBuilder, pause, wait};
#[allow(unused_imports, reason = "the links of this page")]
use crate::{
    Interval, ManualClock, PeerClocks, Reason, Timestamp, TrueTime, agreement, fence, hlc, lease,
    peers, quorum, scale, timeout,
};
