//! Width: how narrow an interval is, by which setting, and whether it is true.
//!
//! A commit waits for the width of the interval, so the width is the speed of a database that
//! orders writes by it. What follows is measured where true time is known. No figure is a promise
//! for your host: `truechimer now` shows the width there, and `truechimer doctor` names the setting
//! that fits.
//!
#![doc = include_str!("_width/width.svg")]
//!
//! # What it is made of
//!
//! ```text
//! width = 2 x the source's own bound + the round trip to it
//!       + 2 x what is not known of the counter's rate x the time since the last sample
//! ```
//!
//! The first line is the network's and the server's. The second is this crate's. By A2 alone
//! ([`max_drift_ppm`](crate::ClockBuilder::max_drift_ppm)) a reading widens by 0.4 ms a second. By A3 too
//! ([`max_wander_ppm`](crate::ClockBuilder::max_wander_ppm), the default) it widens by 0.04 ms a second,
//! some seconds after the clock was built, because the rate is learnt from the second sample on.
//!
//! # Which setting
//!
//! | your host | the setting | why |
//! |---|---|---|
//! | time servers near by, chronyd or not | [`ntp`](crate::ClockBuilder::ntp), [`ntp_of_daemon`](crate::ClockBuilder::ntp_of_daemon) | the narrowest that needs no device, and true in every world below |
//! | chronyd, and no port 123 to the outside | none: `Clock::new()` | chronyd's bound, with what its line through its polls leaves out |
//! | the same, and an oscillator that you know to be calm | [`believe_chrony_estimate`](crate::ClockBuilder::believe_chrony_estimate) | as narrow as chronyd states it, and wrong where the rate swings |
//! | a PTP clock or a VMClock that states time | [`source::phc`](crate::source::phc), [`source::vmclock`](crate::source::vmclock) | its own error and 20 µs, at ten samples a second |
//! | a virtual machine that may be moved while it runs, and has no VMClock | `max_wander_ppm(None)` | a move breaks A3, and nothing shows it before the next sample |
//!
//! # The frontier
//!
//! Each row is a world of the simulator: 15 oscillators and networks at five polls. Each column is a
//! way to a bound: the kernel's `maxerror`, chronyd's own report (TRACKING), this crate's clock
//! under that chronyd by default, without A3 and with the estimate believed, own exchanges with
//! the same server at the same poll with A3 and without, and a PTP clock that is good to 5 µs. All
//! columns of a row see the same seed. A cell has the median and the 99th percentile of the
//! widths in µs (latest − earliest), after ten minutes.
//!
//! The server states a bound of 200 µs and is at the edge of it, which breaks no assumption. The
//! daemon is a model of chronyd: a line through its last 12 polls. **What is refuted**: `maxerror`, TRACKING
//! and the estimate are wrong where the rate swings, and after a move. `Clock::new()` is not, nor are
//! own exchanges, except where a machine without a VMClock is moved, which breaks A2.
//!
//! Printed by `cargo run --release --features sim --example frontier`; `--csv FILE` has all numbers.
//!
#![doc = include_str!("_width/table.md")]
//!
//! # Real daemons
//!
//! Measured once (November 2026) in guests with a known truth, before the rate was learnt from the
//! second sample on: chronyd 4.3 and ClockBound 3.0.0-rc.0, round trips of 165 to 300 µs, a server's bound
//! of 200 µs. Medians in µs: under chronyd at 16 s this crate 4646 by default and 1784 with A3 of 15 ppm,
//! `maxerror` 8758; ClockBound's client 1804 at its own poll of 2 s, own exchanges each 2 s
//! 1616 without A3 and 1037 with it. With the server at the edge of its bound and a rate that swings by
//! 14 ppm, ClockBound's client was wrong in 5 % of readings, and own exchanges in none. The guests of
//! this tree are in `tests/guest`; their widths under ClockBound's daemon are not measured anew yet.
