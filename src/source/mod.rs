//! Where evidence comes from, and which bounds are not believed.
//!
//! A source answers one question: *between these two counter readings, where was true
//! time?* It answers with an interval that certainly contains true time, or with an error
//! that tells an operator why it has none. It never answers "about".
//!
//! The clock believes each bound as its source states it. That is assumption A1
//! ([`_design`](crate::_design#the-assumptions)). So the work of this module is to refuse
//! numbers that are not bounds. A time daemon may discipline the kernel's clock without
//! stating how well (`maxerror` of 0). It may not have measured anything yet. The kernel's
//! clock may be slewed faster than its bound grows. The host may have been suspended without
//! the daemon noticing it.
//!
//! # What is believed
//!
//! [`Clock::new`](crate::ClockBuilder::build) reads the kernel's bound, and asks the time daemons
//! what they state. [`daemon`] has the table of daemons and of what each of them writes.
//!
//! The kernel does not record the writer of its bound. So a bound is believed only if its writer
//! is known to state one (`src/source/writer.rs`). And the kernel only ever adds 500 µs, so
//! `maxerror mod 500` is what was written last. 0 is the mark of daemons that have no bound
//! to state, and so is 16 µs while the kernel's PLL is in use. A bound with such a mark is
//! refused, unless chronyd was seen to write it.
//!
//! | situation | what counts | why |
//! |---|---|---|
//! | chronyd answers, and its answer fits the kernel | the kernel's bound, aged to the moment of the reading, or chronyd's if it states more about the same moment | the kernel adds its 500 µs once a second only, and its copy may be older than what chronyd has measured |
//! | chronyd answers and does not fit (`-x`, another daemon steers) | nothing | the kernel's bound is another program's |
//! | chronyd without `rtcsync` | the same as with it | it leaves the kernel flagged, although its bound is good |
//! | chronyd with `local` | nothing | it follows itself |
//! | chronyd or ntpd follows a PTP clock or a GPS receiver | its bound and the reference's own error, if someone states that: `reference_error`, `delay` in chrony.conf, or the PTP clock's driver | the daemon takes its reference for exact |
//! | ntpd or ntpsec says by mode 6 that it follows a server | the larger of its bound and the kernel's | an ntpd on its own local clock writes a number too |
//! | ClockBound's segment is fresh | the kernel's bound | its daemon is the writer |
//! | ClockBound's segment of version 3, by [`clockbound::ClockBound`] | what it states of a tick of the processor's counter | no clock of the kernel is between the statement and the reading |
//! | a PTP hardware clock, by [`phc::Phc`] | its time, within what its driver or the operator states | the device itself does not show its error |
//! | the kernel's PLL or `adjtime()` corrects an offset | the bound, the rest of the offset, and the part under way (`src/source/in_flight.rs`) | `adjtimex` shows the rest only |
//! | systemd-timesyncd runs, and the system bus can be reached | its last exchange with its server (`source::timesyncd`) | it states no bound to the kernel, and publishes the four stamps |
//! | every visible daemon states no bound | nothing | none of them can have written one |
//! | the writer is not known (a container that sees nothing of its host) | nothing | not being able to see the writer is not knowing it |
//! | no daemon | nothing | the kernel reports that it is not synchronised |
//! | the clock is slewed by more than 500 ppm less `max_drift_ppm` | nothing until the slew ends | the error grows faster than the bound |
//! | the host was suspended | nothing until the daemon writes again | `maxerror` does not show it |
//! | the virtual machine was moved or restored, as its VMClock shows | nothing until the daemon has made 16 updates, or has started again | it has not noticed it, and takes its first samples after it for outliers |
//! | the hypervisor states the time in its VMClock | that ([`vmclock`]) | it holds right after a move too |
//!
//! Where the clock asks NTP servers itself ([`ntp`]), each of these bounds is a cross-check: it is
//! compared with what the servers say, and narrows nothing.
//!
//! The operator can override each judgement: with `without_kernel`, `without_chrony`,
//! `believe_any_writer`, `reference_error` and `assume_error` of [`ClockBuilder`](crate::ClockBuilder), and with
//! a [`Source`](crate::Source) of their own.
//!
//! # What real kernels showed
//!
//! `tests/guest` runs Debian's kernel and chronyd in guests, with a truth that the test
//! knows, and counts the readings that missed it. The count was 0 in every row except for
//! the two limits in bold.
//!
//! | what happened | what the clock did |
//! |---|---|
//! | chronyd converges from 300 ms off, is killed, and comes back; oscillator off by +40 and −90 ppm | 10 700 readings; widths of 0.3 ms at the narrowest, 1.0 to 1.3 ms at the median, where the kernel's 2 × maxerror has 1.1 ms |
//! | chronyd's source jumps by 2 s, and chronyd follows it | a contradiction; readings cover both sides for a minute |
//! | a leap second inserted, and one deleted that no table lists; with TAI set and without | no contradiction; width as before |
//! | steps of 1 s, 1 h and 5 ms; slews of 500 and 100 000 ppm | holdover on the earlier evidence, until a daemon writes a bound again |
//! | maxerror of 0, and of 16 µs with STA_PLL, 300 ms off | refused throughout |
//! | a bound ten times too small | believed, because that is assumption A1; a contradiction when the truth came out |
//! | the PLL works off 300 ms | with the offset alone, readings missed the truth by 18 ms; with the part under way, none did |
//! | program and sampler stopped for 10 s; a fork; 1000 clocks | wider, and right |
//! | **suspend to memory** | the counter of these guests stands still meanwhile. Readings before the first sample after the resume are wrong: some 20 readings in 1 to 30 ms, on an emulated processor of a busy host. A clock without a thread (`manual`, a forked child) has to call `refresh()` first |
//! | the machine is moved by QEMU, with its VMClock, and goes on 2 s later | each reading after it is `Disrupted` until the next sample, and then right; a clock without the marker misses |
//! | a hypervisor states the time in its VMClock: honestly, after a move, as unknown, stopped in the middle of an update, off by 50 ms | right each time, also immediately after the move; holdover while nothing is stated; the lie is a contradiction, and both sides are covered |
//! | timesyncd slews 300 ms, steps 2.5 s, follows a server at the edge of its bound and one that is slow on one side, is restarted in a slew, stopped; another program steps the clock | 7 400 readings of a clock that was there, 7 500 of one that started late; widths of 5 ms at the narrowest, 33 to 36 ms (81 to 113 ms) at the median |
//! | a PTP clock that is right to 1 ms, and one that runs 2.5 times too fast | 2.1 ms wide with the first; the second is refused by name |
//! | ClockBound's daemon corrects 60 ms, and states less to the kernel | its segment: 1.5 ms wide at the median; the kernel's bound with the rest of the offset: 4.7 ms; without that, one reading in five misses |
//! | **the host stops the machine for 4 s** | no clock inside shows it, and readings are wrong until the daemon has corrected the wall clock. With [`rtc::Rtc`] as a second source: `Contradicted`, and right again, within a second |

mod after_move;
pub(crate) mod assume;
pub mod chrony;
pub mod clockbound;
pub mod daemon;
pub(crate) mod daemons;
mod in_flight;
pub mod kernel;
pub mod ntp;
pub mod ntpd;
pub mod phc;
mod phc_error;
mod rate_correction;
mod realtime;
pub mod rtc;
#[cfg(any(unix, feature = "sim"))]
pub mod timesyncd;
mod unaccounted_step;
mod update_watch;
pub mod vmclock;
mod wall_clock;
mod write_moment;
pub(crate) mod writer;

pub(crate) use realtime::Realtime;
pub use wall_clock::RealtimeScale;
pub(crate) use wall_clock::WallClock;

pub use crate::host::KernelState;
