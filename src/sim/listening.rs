//! The random worlds whose clocks hear timesyncd ([`Mix::Timesyncd`](super::Mix)).

use std::time::Duration;

use super::daemon::TimeService;
use super::network::Link;
use super::random::Random;

/// The server that a timesyncd asks, and the way to it.
pub(super) fn service(random: &mut Random) -> TimeService {
    let micros = |us| Duration::from_micros(us);
    let link = match random.below(3) {
        0 => Link::within(micros(50), micros(30_000)),
        // One way may be far longer than the other.
        1 => Link::within(micros(100), micros(450_000)),
        _ => Link::heavy_tailed(Duration::from_millis(8)).losing(100_000),
    };
    TimeService {
        poll: Duration::from_secs(16 << random.below(2)),
        link,
        server_error: micros(1 << random.below(14)),
        ..TimeService::default()
    }
}
