//! [`PollPolicy`]: how often a server is asked.
//!
//! Public servers are somebody's gift. Their pools ask clients not to poll faster than once in
//! 64 s, and to spread their requests. A server on the same host or link, or a cloud's metadata
//! server, is there for its own clients, and costs next to nothing. So the address decides.
//!
//! Within what the address allows, the width decides. Between two exchanges an interval widens by
//! what is not known of the counter's rate. A poll is too slow if that is more than the width of
//! an exchange itself (twice the server's bound, and the round trip), and faster ones gain
//! little. So the interval may double from one exchange to the next.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::timestamp::duration_nanos_i64;

/// Public servers are polled no faster than this, unless the operator forces it.
pub(crate) const PUBLIC_POLL: Duration = Duration::from_secs(64);
const PRIVATE_POLL: Duration = Duration::from_secs(16);
const FASTEST_PRIVATE_POLL: Duration = Duration::from_secs(4);
const NEAR_POLL: Duration = Duration::from_secs(1);
const FASTEST_NEAR_POLL: Duration = Duration::from_millis(250);

/// The slowest poll, 2^17 s: the longest that RFC 5905 has.
pub(crate) const SLOWEST_POLL: Duration = Duration::from_secs(131_072);
/// The fastest poll that an operator may set.
pub(crate) const FASTEST_POLL: Duration = Duration::from_millis(10);

/// So many requests are sent one after the other at the start.
pub(crate) const BURST: u32 = 4;
/// The distance of two requests of a burst, to a public server and to others.
const PUBLIC_SPACING: Duration = Duration::from_secs(2);
const SPACING: Duration = Duration::from_millis(100);

/// Amazon's time server has an address of its own for IPv6, which is not link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123);

/// Whose an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// This host's, this link's, or a cloud's metadata server.
    Near,
    /// A private network's.
    Private,
    /// Anybody's.
    Public,
}

impl Reach {
    pub(crate) fn of(address: IpAddr) -> Reach {
        match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => Reach::Near,
            // The last is shared by carriers' customers (RFC 6598).
            IpAddr::V4(v4) if v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..]) => {
                Reach::Private
            }
            IpAddr::V4(_) => Reach::Public,
            IpAddr::V6(v6) if v6.is_loopback() || v6 == METADATA_V6 => Reach::Near,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Reach::Near,
            IpAddr::V6(v6) if v6.is_unique_local() => Reach::Private,
            IpAddr::V6(_) => Reach::Public,
        }
    }
}

/// What the operator wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct PollSetting {
    /// As often as this, instead of by the address.
    pub(crate) every: Option<Duration>,
    /// Public servers too.
    pub(crate) is_forced: bool,
}

/// How often one server is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PollPolicy {
    every: Duration,
    spacing: Duration,
    /// The least and the most that the width may choose. `None` where it does not.
    by_width: Option<(Duration, Duration)>,
}

impl PollPolicy {
    pub(crate) fn new(address: IpAddr, setting: PollSetting) -> PollPolicy {
        let reach = Reach::of(address);
        let by_address = match reach {
            Reach::Near => NEAR_POLL,
            Reach::Private => PRIVATE_POLL,
            Reach::Public => PUBLIC_POLL,
        };
        let every = setting.every.unwrap_or(by_address);
        let is_public = reach == Reach::Public;
        let every = if is_public && !setting.is_forced { every.max(PUBLIC_POLL) } else { every };
        let spacing = if is_public { PUBLIC_SPACING } else { SPACING };
        let by_width = match reach {
            _ if setting.every.is_some() => None,
            Reach::Near => Some((FASTEST_NEAR_POLL, NEAR_POLL)),
            Reach::Private => Some((FASTEST_PRIVATE_POLL, PRIVATE_POLL)),
            Reach::Public => None,
        };
        PollPolicy { every, spacing: spacing.min(every), by_width }
    }

    /// Asks as often as an exchange of this width wants, where an interval widens by so many ns a
    /// second.
    pub(crate) fn follow_width(&mut self, width_ns: u64, widening_ppb: u64) {
        let Some((least, most)) = self.by_width else { return };
        let doubled_ns = u128::from(width_ns) * 1_000_000_000 / u128::from(widening_ppb.max(1));
        let doubled = Duration::from_nanos(u64::try_from(doubled_ns).unwrap_or(u64::MAX));
        self.every = doubled.clamp(least, most);
    }

    /// The time between two polls, before it is randomised.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// The server wants fewer requests: twice the time between them, for good.
    pub(crate) fn double(&mut self) {
        self.every = (self.every * 2).min(SLOWEST_POLL);
        self.spacing = self.every;
        self.by_width = None;
    }

    /// How long to wait before the next request, in ns: up to an eighth longer than the poll, so
    /// that clients which started together do not stay together.
    pub(crate) fn wait_ns(&self, is_burst: bool, random: u64) -> i64 {
        let shortest = duration_nanos_i64(if is_burst { self.spacing } else { self.every });
        let spread = (u128::from(shortest.unsigned_abs() / 8) * u128::from(random)) >> 64;
        shortest.saturating_add(i64::try_from(spread).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(address: &str, every: Option<u64>, is_forced: bool) -> PollPolicy {
        let every = every.map(Duration::from_secs);
        PollPolicy::new(address.parse().expect("an address"), PollSetting { every, is_forced })
    }

    #[test]
    fn the_address_decides_how_often_and_a_public_server_is_spared() {
        let cases = [
            ("127.0.0.1", 1),
            ("::1", 1),
            ("::ffff:127.0.0.1", 1),
            ("169.254.169.123", 1),
            ("fe80::1", 1),
            ("fd00:ec2::123", 1),
            ("10.1.2.3", 16),
            ("172.31.0.1", 16),
            ("192.168.0.1", 16),
            ("100.64.0.1", 16),
            ("fd12::1", 16),
            ("172.32.0.1", 64),
            ("100.63.0.1", 64),
            ("192.0.2.1", 64),
            ("2001:db8::1", 64),
        ];
        for (address, seconds) in cases {
            let of = |every, forced| policy(address, every, forced).every().as_secs();
            assert_eq!(of(None, false), seconds, "{address}");
            // As told, but never below 64 s for a public one unless that is forced.
            let told = if seconds == 64 { 64 } else { 2 };
            assert_eq!(of(Some(2), false), told, "{address}");
            assert_eq!(of(Some(2), true), 2, "{address}");
            assert_eq!(of(Some(300), false), 300, "{address}");
        }
    }

    #[test]
    fn within_what_the_address_allows_the_width_decides() {
        let us = |micros: u64| micros * 1_000;
        let cases = [
            // address, width of an exchange, how fast a reading widens, the poll in ms
            ("127.0.0.1", us(140), 400_000, 350),
            ("127.0.0.1", us(140), 50_000, 1_000),
            ("127.0.0.1", us(20), 400_000, 250),
            ("10.1.2.3", us(600), 400_000, 4_000),
            ("10.1.2.3", us(600), 50_000, 12_000),
            ("10.1.2.3", us(50_000), 50_000, 16_000),
            ("192.0.2.1", us(20), 400_000, 64_000),
        ];
        for (address, width_ns, widening_ppb, poll_ms) in cases {
            let mut by_address = policy(address, None, false);
            by_address.follow_width(width_ns, widening_ppb);
            assert_eq!(by_address.every().as_millis(), poll_ms, "{address}, {width_ns} ns");
            // Not where the operator has said how often, nor after the server has.
            let mut told = policy(address, Some(100), false);
            told.follow_width(width_ns, widening_ppb);
            assert_eq!(told.every().as_secs(), 100, "{address}");
            by_address.double();
            by_address.follow_width(width_ns, widening_ppb);
            assert_eq!(by_address.every().as_millis(), 2 * poll_ms, "{address}");
        }
    }

    #[test]
    fn waits_are_random_and_never_shorter_than_the_poll() {
        let policy = policy("192.0.2.1", None, false);
        let second = 1_000_000_000;
        assert_eq!(policy.wait_ns(false, 0), 64 * second);
        assert_eq!(policy.wait_ns(false, u64::MAX), 72 * second - 1);
        assert_eq!(policy.wait_ns(true, 0), 2 * second);
    }

    #[test]
    fn a_server_that_wants_fewer_requests_gets_half_as_many_and_no_burst() {
        let mut policy = policy("127.0.0.1", None, false);
        for seconds in [2, 4, 8] {
            policy.double();
            assert_eq!(policy.wait_ns(true, 0), seconds * 1_000_000_000);
        }
        for _ in 0..40 {
            policy.double();
        }
        assert_eq!(policy.every(), SLOWEST_POLL);
    }
}
