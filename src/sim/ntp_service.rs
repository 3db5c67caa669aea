//! [`NtpService`]: time servers that a machine's clock asks itself, and the ways to them.

use std::time::Duration;

use super::network::Link;
use super::random::Random;

/// Time servers that the clock of a machine asks. The kernel's bound is then a cross-check.
#[derive(Clone, Debug, PartialEq)]
pub struct NtpService {
    /// The servers. Fewer than three are believed too, as with `ntp_trust_single`.
    pub servers: Vec<NtpServer>,
    /// How often each of them is asked.
    pub poll: Duration,
}

impl NtpService {
    /// One server, or several of which a minority lies.
    pub(super) fn random(random: &mut Random) -> NtpService {
        let count = [1, 2, 3, 3, 4, 5][random.below(6) as usize];
        let micros = Duration::from_micros;
        let liars = random.below((count as u64 - 1) / 2 + 1) as usize;
        let servers = (0..count).map(|i| {
            let link = |random: &mut Random| match random.below(4) {
                0 => Link::within(micros(10), micros(60)),
                1 => Link::within(micros(200), micros(20_000)),
                2 => Link::heavy_tailed(micros(500)).losing(50_000),
                // One way is far longer than the other.
                _ => Link::within(micros(10_000), micros(10_200)),
            };
            let (there, back) = (link(random), link(random));
            let error = micros(1 << random.below(14));
            let lie = 1 << random.between(12, 36);
            let lie_ns = if i < liars { random.between(-lie, lie) } else { 0 };
            let repeats_per_million = if random.chance(300_000) { 100_000 } else { 0 };
            NtpServer { there, back, error, lie_ns, repeats_per_million }
        });
        let servers = servers.collect();
        NtpService { servers, poll: Duration::from_millis(200 << random.below(9)) }
    }
}

/// A time server, and the ways to it and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NtpServer {
    /// The way of the requests.
    pub there: Link,
    /// The way of the replies, which may take much longer or shorter.
    pub back: Link,
    /// How far it may be off. It states that honestly, and is at the edge of it at times.
    pub error: Duration,
    /// By how much it is off beyond that, in ns, without stating it.
    pub lie_ns: i64,
    /// So many replies in a million are repeated later, after the next request.
    pub repeats_per_million: u32,
}

impl Default for NtpServer {
    fn default() -> NtpServer {
        let link = Link::within(Duration::from_micros(50), Duration::from_micros(400));
        NtpServer {
            there: link,
            back: link,
            error: Duration::from_micros(100),
            lie_ns: 0,
            repeats_per_million: 0,
        }
    }
}
