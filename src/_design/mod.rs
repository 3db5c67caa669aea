//! The design: what is promised, on which assumptions, and the rules that keep the promise.
//!
//! This module has no code. It is compiled so that its links are checked. Two pages follow
//! it: [`layers`], the map of the code, and [`contributing`], how to add to it and how to
//! run each check.
//!
//! # A reading is a pair of lines
//!
//! A *counter* (the TSC, CNTVCT, or `CLOCK_MONOTONIC_RAW`) counts ticks. A [`Sample`] states:
//! "while the counter went from `before` to `after`, true time was inside
//! `[earliest, latest]`". Between samples, true time advances by at least `min` and at most
//! `max` nanoseconds per tick. So one sample gives, for every later tick `c`:
//!
//! ```text
//! earliest(c) = earliest + floor((c - after)  * min)
//! latest(c)   = latest   + ceil ((c - before) * max)
//! ```
//!
//! These are two lines, and the pair is a *bound*. Everything else follows from it:
//!
//! - **Reading** the clock is one read of the counter and two multiplications. There is no
//!   midpoint, no separate error term, no division and no floating point.
//! - **Combining** two samples is intersecting them: the higher `earliest` line and the
//!   lower `latest` line, at the newer sample. So evidence only narrows.
//! - **Ageing** needs no code, because the lines diverge.
//! - **An error shows itself.** If two bounds do not intersect, at least one source was wrong.
//!   That is a *contradiction*. It is counted and reported, and never averaged away.
//! - **A slewing kernel does not matter.** The kernel may slew `CLOCK_REALTIME` by up to 10 %.
//!   A sample states where true time was when it was taken, and from there only the
//!   oscillator matters. (RADclock calls this a feed-forward clock.)
//!
//! # The promise
//!
//! > If (A1) each source's stated bound held when it was sampled, and (A2) the counter's true
//! > rate stayed within its bounds, then for every [`now()`](crate::Clock::now) there is a
//! > moment between its call and its return at which true time was in `[earliest, latest]`.
//!
//! # The assumptions
//!
//! A1 and A2 are always made, and A3 unless `max_wander_ppm(None)` says no. Each is checked against
//! the evidence as it comes in, because an assumption that is false should be noticed.
//!
//! | | assumption | set by | checked by |
//! |---|---|---|---|
//! | A1 | Each source's bound holds when it is sampled. | the choice of [sources](crate::source) | bounds that do not intersect ([`Status::Contradicted`]) |
//! | A2 | The counter's rate is within this many parts per million of nominal. | [`max_drift_ppm`](crate::ClockBuilder::max_drift_ppm), 200 by default, the figure of Spanner | comparison with `CLOCK_MONOTONIC_RAW`; what the time daemon corrects the oscillator by (if that is more, bounds are carried by it); the learnt rate under A3 |
//! | A3 | Within any two hours the rate stays within this many parts per million of each mean that it had over a part of them. | [`max_wander_ppm`](crate::ClockBuilder::max_wander_ppm), 20 by default | mean rates that exclude each other, and samples that what was carried by the learnt rate excludes: then the allowance is doubled, what was learnt is forgotten, and an epoch ends |
//!
//! A daemon's bound is an estimate: chronyd's rests on a line through its last polls and on
//! `maxclockerror` (1 ppm). With a server at the edge of its stated bound and an oscillator that
//! swings by 7 ppm in 240 s, A1 did not hold: chronyd's own report missed in 44 % of readings, and
//! the kernel's `maxerror` in 1.5 %. So an allowance is added to what chronyd states, under an
//! assumption with a name: *chronyd's fit follows the oscillator within the wander*. Within the
//! span of the polls that it fits its line to, the rate stays within `max_wander_ppm` of its mean,
//! or within 20 ppm where that is not set. It is not needed where chronyd's newest poll alone shows
//! that its statement holds (`src/source/chrony/allowance.rs`).
//!
//! # The rules
//!
//! Eleven rules keep the promise. Below each stands the code that keeps it, and the mutants
//! that show it. A mutant is a small change of the shipping source that breaks the rule; a
//! test must notice it. The mutants are in `tests/mutants/list`.
//!
//! ## Rule 1
//!
//! **Round outward, always.** Round `earliest` down and `latest` up, and let both ends give
//! way by the counter's granularity (10 ns on the machines seen so far). What is stale or
//! under way counts as error too.
//!
//! - Kept by: `src/estimator/bound.rs`, `src/counter/rate_bounds.rs`, `src/counter/step.rs`,
//!   `src/snapshot/mod.rs`, `src/estimator/rate.rs`; [`source::kernel`] and
//!   `src/source/in_flight.rs` for the kernel's bound.
//! - Mutants: `sample-earliest-without-the-step`, `sample-latest-as-of-after`,
//!   `latest-carried-by-the-slowest-rate`, `least-nanos-rounded-up`,
//!   `most-nanos-rounded-down`, `reader-without-its-nanosecond`, `counter-step-as-seen`,
//!   `learnt-rate-without-wander`, `stale-addition-left-out`, `a-quarter-in-flight`.
//!
//! ## Rule 2
//!
//! **A reading is never more certain than the evidence.** Without evidence it is an error and
//! not a guess.
//!
//! - Kept by: [`ClockError`], [`Reason`], `src/snapshot/mod.rs` (`valid_for`),
//!   `src/estimator/mod.rs` (`fuse`), [`KernelState`], [`Tracking::bound_ns`].
//! - Mutants: `no-evidence-is-readable`, `width-limit-ignored`, `sample-from-the-future`,
//!   `unsynchronised-kernel-believed`, `chrony-unsynchronised-believed`,
//!   `chrony-local-believed`, `half-of-the-round-trip`, `dispersion-left-out`,
//!   `cross-check-synchronizes`.
//!
//! ## Rule 3
//!
//! **A number from a writer without a bound is not evidence.** A `maxerror` of 0 is such a
//! number, because systemd-timesyncd, phc2sys and ptp4l write it. So is the 16 µs of an ntpd
//! that has not reached a server yet. So is every number whose writer is not *known* to state
//! a bound: not being able to see the writer is not knowing it. And so is what a daemon states
//! of a reference clock whose own error it does not know.
//!
//! - Kept by: `src/source/writer.rs` (who wrote it, and may it be believed),
//!   `src/source/chrony/fit.rs`, `src/source/ntpd/check.rs`, [`source::daemon`] (the table of
//!   daemons), [`KernelState`].
//! - Mutants: `maxerror-zero-believed`, `ntpd-startup-believed`, `unknown-writer-believed`,
//!   `mark-excused-by-any-answer`, `reference-clock-taken-for-exact`, `any-frequency-fits`,
//!   `writes-between-updates-unnoticed`, `kernels-pll-beside-chronyd`, `any-users-port`,
//!   `ntpd-on-its-own-clock-believed`, `old-segment-believed`.
//!
//! ## Rule 4
//!
//! **A reader never waits for the writer.** It takes no lock, makes no system call, does not
//! allocate, and may run in a signal handler. A writer that is stopped in the middle of a
//! write delays no reader.
//!
//! - Kept by: `src/snapshot/ring.rs`, `src/clock/core.rs`, [`Clock::now`](crate::Clock::now).
//! - Mutants: `reading-allocates`, `reading-makes-a-system-call`,
//!   `ring-without-the-writers-fence`, `ring-without-the-readers-fence`,
//!   `ring-without-the-generation`, `ring-shows-a-slot-before-it-is-whole`.
//!
//! ## Rule 5
//!
//! **`latest` needs an ordered read of the counter**, and so do [`now()`](crate::Clock::now)
//! and [`before()`](crate::Clock::before). An unordered read can execute microseconds early
//! and make `latest` too small. [`earliest()`](crate::Clock::earliest) and
//! [`after()`](crate::Clock::after) may use an unordered read, because a tick that is too
//! early only makes them more careful. On a real counter, a test hands readings from thread
//! to thread and holds them against each other (`tests/readers.rs`).
//!
//! - Kept by: `src/clock/core.rs`, `src/counter/mod.rs` (`read_ordered`), and the instructions
//!   in `src/host/hardware.rs`.
//! - Mutants: `unordered-now`, `unordered-read-of-any-counter`.
//!
//! ## Rule 6
//!
//! **No event makes a reading wrong.** A step of the wall clock, a suspend, a leap second, a
//! fork, a sampler thread that is paused or killed, or nonsense in `maxerror` makes a reading
//! wider, or an error.
//!
//! - Kept by: `src/clock/driver.rs` (`apply_invalidations`), `src/clock/core.rs` (forks),
//!   `src/estimator/mod.rs` (`forget`, `change_counter`), `src/source/realtime.rs` (steps and
//!   leap seconds), [`source::kernel`] (suspends and slews).
//! - Mutants: `suspend-keeps-the-bound`, `sample-from-before-a-suspend`,
//!   `daemons-bound-after-a-suspend`, `step-not-noticed`, `slew-limit-left-out`,
//!   `leap-without-slack`, `announced-leap-forgotten`, `kernel-tai-added`,
//!   `counter-changed-at-one-tick`, `backwards-counter-is-read`, `exchanges-outlive-a-suspend`,
//!   `a-suspend-is-no-new-generation`, `servers-leap-forgotten`.
//!
//! ## Rule 7
//!
//! **A newer bound lies inside the older one carried forward.** If it does not, there is a
//! contradiction and a new *epoch* begins. Callers notice that by
//! [`Clock::epoch`](crate::Clock::epoch). So it is if a cross-check
//! ([`Role::CrossCheck`](crate::Role::CrossCheck)) excludes what is known: readings cover both sides
//! for a minute after it last did.
//!
//! - Kept by: `src/estimator/mod.rs` (`within_published`, `contradict`, `cross_check`).
//! - Mutants: `contradiction-swallowed`, `newest-wins`, `hold-of-zero`,
//!   `epoch-kept-at-a-contradiction`, `published-bound-not-compared`,
//!   `epoch-kept-after-a-suspend`, `contradicting-cross-check-not-covered`.
//!
//! ## Rule 8
//!
//! **No input causes a panic.** Arithmetic on times is checked, or saturates outward.
//!
//! - Kept by: [`Timestamp`], [`Interval`], `src/estimator/bound.rs`, `src/snapshot/mod.rs`;
//!   `src/clock/driver.rs` catches a source that panics ([`SourceError::Panicked`]).
//! - Mutants: `later-end-wraps`.
//!
//! ## Rule 9
//!
//! **An assumption that the evidence refutes is not used further.** A counter whose rate
//! changes against the raw clock is given up. A learnt rate that newer samples exclude is
//! forgotten. A step that the daemon did not make ends its bound until it writes again. A
//! daemon's bound, which was measured to be untrue at times, narrows nothing where servers are asked.
//!
//! - Kept by: `src/counter/calibration.rs` (`check`), `src/estimator/rate.rs`,
//!   `src/clock/driver.rs`, `src/source/chrony/check.rs`.
//! - Mutants: `rate-change-not-noticed`, `counter-rate-not-compared`,
//!   `counter-backwards-not-noticed`, `cross-check-intersected`, `kernel-evidence-beside-servers`,
//!   `kept-for-longer-than-it-was-away`.
//!
//! ## Rule 10
//!
//! **A read that fails is an error and not a number.** A clock that may not be read is not at
//! zero.
//!
//! - Kept by: [`HostError`], [`SourceError`], [`Counter::try_read`], [`source::rtc`].
//! - Mutants: `rtc-that-is-no-number-is-zero`.
//!
//! ## Rule 11
//!
//! **A limit of the host is documented.** Some events no clock of the host shows: a virtual
//! machine that is stopped and continued, for example. The documentation states each such
//! limit with what an operator can do about it.
//!
//! - Kept by: [`source`], [`source::rtc`], and the section "Limits" of the README.
//! - No mutant, because the rule is about documentation. `tests/guest` shows the limits on a
//!   real kernel.
//!
//! [`ClockError`]: crate::ClockError
//! [`Counter::try_read`]: crate::Counter::try_read
//! [`HostError`]: crate::host::HostError
//! [`Interval`]: crate::Interval
//! [`KernelState`]: crate::source::KernelState
//! [`Reason`]: crate::Reason
//! [`Sample`]: crate::Sample
//! [`SourceError`]: crate::SourceError
//! [`SourceError::Panicked`]: crate::SourceError::Panicked
//! [`Status::Contradicted`]: crate::Status::Contradicted
//! [`Timestamp`]: crate::Timestamp
//! [`Tracking::bound_ns`]: crate::source::chrony::Tracking::bound_ns
//! [`source`]: crate::source
//! [`source::daemon`]: crate::source::daemon
//! [`source::kernel`]: crate::source::kernel
//! [`source::rtc`]: crate::source::rtc

pub mod contributing;
pub mod layers;
