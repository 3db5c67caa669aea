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
//! | macOS, FreeBSD, Windows | type-checked; their logic is tested on Linux | none: [`ClockBuilder::ntp`], or [`assume_error`] | the system's monotonic clock |
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
//! # System calls, and hardened services
//!
//! What each part asks of Linux, beyond what every program with threads does (`mmap`,
//! `madvise`, `clone3`, `futex`, `rt_sigprocmask`). No call needs a privilege, and none
//! changes a clock. Without a call, its last column holds.
//!
//! | part | calls | if a filter denies them with an error |
//! |---|---|---|
//! | reading: `now`, `earliest`, `after`, `before` | none with a TSC or CNTVCT that the kernel uses itself; else `clock_gettime(CLOCK_MONOTONIC_RAW)`, which the vDSO answers since kernel 5.3 | readings are errors ([`Reason::Denied`]) |
//! | building, [`Clock::restored`] | `prctl(PR_GET_TSC)`, `clock_nanosleep` (10 ms) | the TSC is taken to be allowed |
//! | each round | `clock_gettime` of MONOTONIC, MONOTONIC_RAW, BOOTTIME, REALTIME and REALTIME_COARSE, by the vDSO; `openat`, `read`, `close` of the clocksource in `/sys`; once in a process `readlink` and the same of `/proc/self/timens_offsets` | readings are errors for a clock; a file that cannot be read counts for nothing |
//! | waking at a step | `timerfd_create`, `timerfd_settime`, `ppoll`, `read` | steps are noticed at the next poll; the report says so |
//! | the kernel's bound (not [`without_kernel`](ClockBuilder::without_kernel)) | `clock_adjtime`, and where that is denied `adjtimex` | chronyd's report counts alone, once chronyd has made an update while the clock watched; without chronyd there is no bound |
//! | chronyd's report (not [`without_chrony`](ClockBuilder::without_chrony)) | `socket`, `bind`, `connect`, `setsockopt`, `sendto`, `recvfrom`, `close`; on its Unix socket also `unlink` and `chmod` | the kernel's bound counts alone |
//! | the list of daemons, with the kernel's bound | `openat`, `getdents64`, `read`, `close` in `/proc` and `/sys/bus/vmbus` | no daemon is visible |
//! | timesyncd's exchanges (not [`without_timesyncd`](ClockBuilder::without_timesyncd)), in a thread of their own | `socket`, `connect`, `sendto`, `recvfrom`, `setsockopt` on the system bus's Unix socket | it is not used |
//! | time servers ([`ntp`](ClockBuilder::ntp)), in threads of their own | `socket`, `bind`, `connect`, `sendto`, `recvfrom`, `setsockopt`, `getrandom`; what `getaddrinfo` calls for a name | an error that names the call |
//! | a VMClock (not [`without_vmclock`](ClockBuilder::without_vmclock)), when the clock is built | `openat`, `read`, `mmap` of `/dev/vmclock0` | moves of the machine are not noticed; the report says so |
//! | [`assume_error`] | none of its own; with the kernel's bound `adjtimex` as above | nothing |
//! | [`wait`] | `futex` with a timeout, `prctl(PR_SET_TIMERSLACK)` | waits end later |
//! | [`pause`] | `futex`; `openat`, `read`, `pread64` of the thread's `schedstat` in `/proc` and of an RTC in `/sys` | a pause is seen, and not why |
//! | durable fences and marks | `openat`, `flock`, `stat`, `fstat`, `readlink`, `read`, `write`, `ftruncate`, `fchmod`, `fsync`, `rename`, `unlink` | an error that names the file |
//!
//! A filter that *kills* makes no difference between asking and setting. So
//! `Clock::builder().without_kernel().without_chrony().assume_error(..)` never calls
//! `adjtimex` in any form, nor opens a socket.
//!
//! In a systemd unit, `ProtectClock=yes` denies `adjtimex` and `clock_adjtime`, reading
//! included, and no other line allows them again. `SystemCallFilter=@system-service` leaves
//! them out, and kills unless `SystemCallErrorNumber=` is given. These lines let the clock
//! read the kernel's bound, and keep the service from setting any clock:
//!
//! ```text
//! [Service]
//! ProtectClock=no
//! CapabilityBoundingSet=~CAP_SYS_TIME CAP_WAKE_ALARM
//! NoNewPrivileges=yes
//! SystemCallFilter=@system-service
//! SystemCallFilter=adjtimex clock_adjtime
//! SystemCallErrorNumber=EPERM
//! # For chronyd's report:
//! RestrictAddressFamilies=AF_INET AF_UNIX
//! IPAddressAllow=localhost
//! ```
//!
//! With `ProtectClock=yes`, `PrivateNetwork=no` and a chronyd on the host, the clock works by
//! chronyd's report: it is `Denied` until chronyd's next update, which takes up to its poll
//! interval (`maxpoll`). With neither, name servers ([`ClockBuilder::ntp`]) or use
//! [`assume_error`].
//!
//! # Android
//!
//! It is Linux, and has the same code, but for `adjtimex`, which libc does not show there.
//! So the kernel states no bound, and the clock needs servers ([`ClockBuilder::ntp`]) or
//! [`assume_error`]. Steps and suspends are noticed as on Linux. The timer slack of waits is not reduced.
//!
//! # macOS, FreeBSD and Windows
//!
//! The standard library shows a wall clock and a monotonic clock, and nothing says how far
//! off the wall clock is. So [`ClockBuilder::build`] works, and [`Clock::now`] is an error
//! ([`Reason::Unsupported`]) until a source states a bound: time servers
//! ([`ClockBuilder::ntp`]), which are asked as on Linux, with the system's monotonic clock as the
//! counter; a source of your own ([`ClockBuilder::source`]); or the operator's statement
//! ([`assume_error`]), as on a developer's machine.
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
//! not compiled there. Creating or opening a file for a durable fence or mark is an error (another
//! [`Store`](crate::Store) works), and so is
//! [`IdempotencyKey::random`](timeout::IdempotencyKey::random): give
//! [`from_bytes`](timeout::IdempotencyKey::from_bytes) the environment's random bytes.
//! [`PeerClocks`] needs a [`seed`](PeerClocks::seed), because there is nothing random to
//! begin with.
//!
//! [`assume_error`]: ClockBuilder::assume_error
//! [`ntp`]: ClockBuilder::ntp

#![cfg_attr(target_family = "wasm", allow(rustdoc::broken_intra_doc_links))]

#[cfg(not(target_family = "wasm"))]
#[allow(unused_imports, reason = "the links of this page")]
use crate::{Clock, ClockBuilder, pause, wait};
#[allow(unused_imports, reason = "the links of this page")]
use crate::{
    Interval, ManualClock, PeerClocks, Reason, Timestamp, TrueTime, agreement, fence, hlc, lease,
    peers, quorum, scale, timeout,
};
