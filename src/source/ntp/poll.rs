//! [`PollPolicy`]: how often a server is asked.
//!
//! Public servers are somebody's gift. Their pools ask clients not to poll faster than once in
//! 64 s, and to spread their requests. A server on the same host or link, or a cloud's metadata
//! server, is there for its own clients, and costs next to nothing. So the address decides.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::timestamp::duration_nanos_i64;

/// Public servers are polled no faster than this, unless the operator forces it.
pub(crate) const PUBLIC_POLL: Duration = Duration::from_secs(64);
const PRIVATE_POLL: Duration = Duration::from_secs(16);
const NEAR_POLL: Duration = Duration::from_secs(1);

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
        PollPolicy { every, spacing: spacing.min(every) }
    }

    /// The time between two polls, before it is randomised.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// The server wants fewer requests: twice the time between them, for good.
    pub(crate) fn double(&mut self) {
        self.every = (self.every * 2).min(SLOWEST_POLL);
        self.spacing = self.every;
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
