//! [`Timesyncd`]: what systemd-timesyncd does with its exchanges, and says of them.
//!
//! As in its source (`manager_receive_response`, `manager_adjust_clock`): it steps the clock at
//! offsets of 0.4 s and more, and otherwise leaves them to the kernel's PLL, whose time constant
//! follows the poll. The poll doubles while offsets are small. An outlier changes nothing but what
//! it publishes.

use std::time::Duration;

use super::kernel::KernelClock;
use super::random::Random;
use crate::host::STA_PLL;
use crate::source::timesyncd::NtpMessage;

/// From this offset on it steps the clock, in ns.
const STEPS_FROM_NS: i64 = 400_000_000;
/// The shortest poll that it takes, and the longest, in s.
const POLL_S: (i64, i64) = (16, 2_048);
/// How many exchanges it has to have made before it takes one for an outlier.
const FEWEST_EXCHANGES: u64 = 4;
/// The kernel's PLL moves the rate by no more than this, in ppb.
const LARGEST_FREQUENCY_PPB: i64 = 500_000;

/// When a request was sent and its reply arrived, by the wall clock, and the server's clock in
/// between, in ns of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    pub(super) asked_at: i64,
    pub(super) server: i64,
    pub(super) arrived_at: i64,
}

/// An exchange, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measurement {
    message: NtpMessage,
    /// By how much the wall clock is behind, in ns.
    offset_ns: i64,
}

/// What it remembers.
#[derive(Clone, Debug)]
pub(super) struct Timesyncd {
    poll_min_s: i64,
    poll_s: i64,
    exchanges: u64,
    last: Option<NtpMessage>,
    news: u64,
}

impl Timesyncd {
    pub(super) fn new(poll: Duration) -> Timesyncd {
        let poll_s = i64::try_from(poll.as_secs()).unwrap_or(i64::MAX).clamp(POLL_S.0, POLL_S.1);
        Timesyncd { poll_min_s: poll_s, poll_s, exchanges: 0, last: None, news: 0 }
    }

    pub(super) fn poll(&self) -> Duration {
        Duration::from_secs(self.poll_s.unsigned_abs())
    }

    /// Its last exchange, its shortest poll in s, and how often something has changed.
    pub(super) fn published(&self) -> (Option<NtpMessage>, u64, u64) {
        (self.last, self.poll_min_s.unsigned_abs(), self.news)
    }

    /// A reply has arrived, of a server that states this error and shows this leap indicator.
    pub(super) fn measure(
        &mut self,
        stamps: Stamps,
        error_ns: i64,
        leap: u8,
        random: &mut Random,
    ) -> Measurement {
        let Stamps { asked_at, server, arrived_at } = stamps;
        self.exchanges += 1;
        let offset_ns = ((server - asked_at) + (server - arrived_at)) / 2;
        let is_near = offset_ns.abs() <= arrived_at - asked_at;
        let spike = is_near && self.exchanges >= FEWEST_EXCHANGES && random.chance(200_000);
        self.adjust_poll(offset_ns, spike);
        // It publishes whole microseconds, rounded down.
        let us = |ns: i64| ns.div_euclid(1_000);
        let message = NtpMessage {
            leap: leap.into(),
            mode: 4,
            stratum: 2,
            precision: -24,
            root_delay_us: 0,
            root_dispersion_us: us(error_ns).unsigned_abs(),
            reference: [10, 0, 0, 1],
            origin_us: us(asked_at),
            receive_us: us(server),
            transmit_us: us(server),
            destination_us: us(arrived_at),
            spike,
            packet_count: self.exchanges,
        };
        Measurement { message, offset_ns }
    }

    fn adjust_poll(&mut self, offset_ns: i64, spike: bool) {
        let poll_s = match offset_ns.abs() {
            200_000_001.. if !spike => self.poll_min_s,
            ..50_000_000 => self.poll_s * 2,
            150_000_001.. => self.poll_s / 2,
            _ if spike => self.poll_s / 2,
            _ => self.poll_s,
        };
        self.poll_s = poll_s.clamp(self.poll_min_s, POLL_S.1);
    }

    /// Corrects the clock, and publishes the exchange.
    pub(super) fn act(&mut self, measurement: Measurement, kernel: &mut KernelClock) {
        let Measurement { message, offset_ns } = measurement;
        if !message.spike {
            let (constant, tai) = (i64::from(self.poll_s.ilog2()) - 4, kernel.tai());
            if offset_ns.abs() >= STEPS_FROM_NS {
                kernel.step_by(offset_ns);
                kernel.state_error(0, 0, tai);
            } else {
                // Slowly, so that the rate settles at each poll.
                let rate_ppb = kernel.frequency_ppb() + offset_ns / (4 * self.poll_s);
                kernel.set_rate(rate_ppb.clamp(-LARGEST_FREQUENCY_PPB, LARGEST_FREQUENCY_PPB));
                kernel.set_pll(offset_ns, constant);
                kernel.state_error(0, STA_PLL, tai);
            }
        }
        self.last = Some(message);
        self.news += 1;
    }
}
