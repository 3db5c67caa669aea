//! [`BusClient`]: how a machine's clock hears on the system bus what timesyncd says.
//!
//! The source is the shipping one (`source::timesyncd`), without its thread: what this does with a
//! socket, events of the world do.

use std::sync::Arc;

use parking_lot::Mutex;

use super::host::SimHost;
use super::random::Random;
use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceCondition, SourceError};
use crate::host::{Host, ProcessKey};
use crate::source::WallClock;
use crate::source::timesyncd::fed::Feed;
use crate::source::timesyncd::{NtpMessage, Timesyncd};

/// An event of a client of the bus.
#[derive(Clone, Copy, Debug)]
pub(super) enum BusEvent {
    /// Something may be due.
    Tick,
    /// The request with this number is answered.
    Answer(u64),
}

/// What timesyncd answers: its last exchange, its shortest poll in seconds, and how often there
/// was news. `None` if it does not run.
pub(super) type Published = Option<(Option<NtpMessage>, u64, u64)>;

/// The longest time between two ticks, in ns: a thread that waits looks as often.
const TICK_NS: i64 = 250_000_000;
/// How often it asks without news: at most, and where an exchange of earlier would help, in ns.
const CONFIRM_EVERY_NS: i64 = 8_000_000_000;
const LATE_EVERY_NS: i64 = 1_000_000_000;

/// The client of one process.
pub(super) struct BusClient {
    feed: Option<Feed>,
    process: ProcessKey,
    /// Answers to earlier requests, and to an earlier process, are not for this one.
    request: u64,
    asked_at: Option<i64>,
    /// How often there had been news when it asked last.
    news: Option<u64>,
    random: Random,
}

impl BusClient {
    pub(super) fn new(process: ProcessKey, random: Random) -> BusClient {
        BusClient { feed: None, process, request: 0, asked_at: None, news: None, random }
    }

    /// A source of this process begins to listen.
    fn begin(&mut self, feed: Feed, process: ProcessKey) {
        self.feed = Some(feed);
        self.process = process;
        self.request += 1;
        (self.asked_at, self.news) = (None, None);
    }

    /// Does what is due at this moment. Returns what follows, with its delay in ns.
    pub(super) fn tick(&mut self, t: i64, published: Published) -> Vec<(i64, BusEvent)> {
        let again = (self.random.between(1_000_000, TICK_NS), BusEvent::Tick);
        let Some(feed) = self.feed.as_mut().filter(|feed| !feed.is_waiting()) else {
            return vec![again];
        };
        feed.look();
        let every = if feed.needs_late() { LATE_EVERY_NS } else { CONFIRM_EVERY_NS };
        let news = published.map(|(_, _, news)| news);
        let is_due = self.asked_at.is_none_or(|at| t - at >= every) || news != self.news;
        if !is_due || !feed.ask() {
            return vec![again];
        }
        self.request += 1;
        (self.asked_at, self.news) = (Some(t), news);
        // A daemon that is starved answers late.
        let takes = match self.random.below(50) {
            0 => self.random.between(1_000_000, 450_000_000),
            _ => self.random.between(50_000, 5_000_000),
        };
        vec![again, (takes, BusEvent::Answer(self.request))]
    }

    /// The request with this number is answered.
    pub(super) fn answer(&mut self, request: u64, published: Published) {
        if let Some(feed) = self.feed.as_mut().filter(|_| request == self.request) {
            let message = published.and_then(|(message, _, _)| message);
            feed.answer(message, published.map_or(0, |(_, poll_min_s, _)| poll_min_s));
        }
    }
}

/// The source in front of the client.
pub(super) struct SimTimesyncd {
    host: SimHost,
    client: Arc<Mutex<BusClient>>,
    wall_clock: Arc<WallClock>,
    max_drift_ppm: u32,
    source: Timesyncd,
}

impl SimTimesyncd {
    pub(super) fn new(
        host: SimHost,
        client: Arc<Mutex<BusClient>>,
        wall_clock: Arc<WallClock>,
        max_drift_ppm: u32,
    ) -> SimTimesyncd {
        let (source, feed) = Timesyncd::fed(wall_clock.clone(), max_drift_ppm);
        client.lock().begin(feed, host.process());
        SimTimesyncd { host, client, wall_clock, max_drift_ppm, source }
    }
}

impl Source for SimTimesyncd {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let process = self.host.process();
        if self.client.lock().process != process {
            // A forked child listens by itself.
            let (source, feed) = Timesyncd::fed(self.wall_clock.clone(), self.max_drift_ppm);
            self.source = source;
            self.client.lock().begin(feed, process);
        }
        self.source.sample(counter)
    }

    fn disrupted(&mut self) {
        self.source.disrupted();
    }

    fn details(&self) -> Option<String> {
        self.source.details()
    }

    fn condition(&self) -> SourceCondition {
        self.source.condition()
    }
}
