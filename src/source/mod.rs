//! Evidence: who says what time it is, and how far off that may be.
//!
//! A source answers one question: *between these two counter readings, where
//! was true time?* It answers with an interval that certainly holds it, or
//! says in words for an operator why it cannot. It never answers "about".
//!
//! What a source says is assumption A1: the clock believes each bound as
//! stated. So the work in this module is in *not* believing what is not a
//! bound: a time daemon that disciplines the kernel's clock without stating how
//! well (`maxerror` of 0), one that has not learned anything yet, a kernel clock
//! that runs away under a slew, a suspend that the daemon has not noticed.
//!
//! # What is believed, by daemon
//!
//! `Clock::new()` asks the kernel, and chronyd beside it. The kernel does not say
//! who wrote its bound, so a writer is known by what it writes: `maxerror mod
//! 500` is what was written last, and 0, or 16 µs under the PLL, is what daemons
//! write that have no bound to state. None is believed while that mark stands.
//!
//! | who disciplines the clock | what counts | why |
//! |---|---|---|
//! | chronyd with `rtcsync` | the kernel's bound, or chronyd's own if that is larger | it writes root delay / 2 + root dispersion + what is not corrected yet |
//! | chronyd without `rtcsync` | the same, once chronyd itself says that it is synchronised | the kernel's flag stays set, its bound is good |
//! | chronyd with `local`, or `-x` | nothing | the one follows itself, the other tells the kernel nothing |
//! | ClockBound | the kernel's bound | it writes its own |
//! | ntpd, ntpsec | the kernel's bound, what the PLL has left to do, and a third of that | the PLL has up to so much under way, which nothing shows |
//! | ntpd-rs, OpenNTPD | nothing, if it alone is seen to run | the one leaves out what it has still to correct, the other states nothing |
//! | systemd-timesyncd, phc2sys, ptp4l | nothing | they write 0 |
//! | nobody, or Hyper-V's driver | nothing | the kernel says so itself |
//! | a clock slewed by more than 500 ppm | nothing, until it is over | it outruns its bound |
//!
//! Each judgement can be overridden: `without_kernel`, `without_chrony`,
//! `believe_any_writer` and `assume_error` of [`ClockBuilder`](crate::ClockBuilder),
//! and any source of your own. Of timesyncd's last exchange with its server the
//! kernel knows nothing, and it is not asked over D-Bus: the remedy is chronyd, or
//! `assume_error`. [`daemon`] tells them apart for people.
//!
//! # What real kernels showed
//!
//! `tests/guest` runs Debian's kernel and chronyd in guests, with a truth that the
//! test knows, and counts the readings that missed it. In every row the count was 0,
//! but for the two limits that are named.
//!
//! | what happened | what the clock did |
//! |---|---|
//! | chronyd converges from 300 ms off, is killed, and comes back; oscillator off by +40 and −90 ppm | 10 700 readings; widths of 0.3 ms at the narrowest, 1.0 to 1.3 ms at the median, where the kernel's 2 × maxerror has 1.1 ms |
//! | chronyd's source jumps by 2 s, and chronyd follows it | a contradiction; both sides are covered for a minute |
//! | a leap second inserted, and one deleted that no table knows; with TAI set and without | no contradiction; width as before |
//! | steps of 1 s, 1 h and 5 ms; slews of 500 and 100 000 ppm | holdover on what was known, until a daemon writes a bound again |
//! | maxerror of 0, and of 16 µs with STA_PLL, 300 ms off | refused throughout |
//! | a bound ten times too small | believed: that is assumption A1. A contradiction when the truth came out |
//! | the PLL works off 300 ms | the offset left to it alone missed the truth by 18 ms; with what is under way: none |
//! | program and sampler stopped for 10 s; a fork; 1000 clocks | wider, and right |
//! | **suspend to memory** | the counter of these guests stands still meanwhile. Readings before the first sample after the resume are wrong: some 20 readings in 1 to 30 ms, on an emulated processor of a busy host. A clock without a thread (`manual`, a forked child) has to call `refresh()` first |
//! | **the host stops the machine for 4 s** | nothing inside shows it, and readings are wrong until the daemon has mended the clock. With [`rtc::Rtc`] as a second witness: `Contradicted`, and right again, within a second |

pub(crate) mod assume;
pub mod chrony;
pub mod daemon;
pub(crate) mod daemons;
mod in_flight;
pub mod kernel;
mod realtime;
pub mod rtc;
mod wall_clock;

pub(crate) use realtime::Realtime;
pub use wall_clock::RealtimeScale;
pub(crate) use wall_clock::WallClock;

pub use crate::host::KernelState;
