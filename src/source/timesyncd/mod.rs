//! timesyncd's own word: the last exchange with its server, which it publishes on the system bus.
//!
//! systemd-timesyncd is the default of many distributions. It tells the kernel an error of 0, which
//! is no bound, so by the kernel alone these hosts have no time. But it publishes its last NTP
//! exchange (the property `NTPMessage` of `org.freedesktop.timesync1`, since systemd 239), and an
//! exchange *is* evidence: the server's two stamps, each within what the server states of itself,
//! between two moments of this host.
//!
//! # The naive reading, and why it fails
//!
//! "True time is the wall clock, plus the interval, less T4." timesyncd slews that clock by up to
//! 12.5 % and steps it, so this was wrong in 18 to 97 % of readings, by up to 327 ms. Taking
//! `T4 − T1` for the round trip is wrong by the same slew. And after a backward step the wall clock
//! shows T4 a second time.
//!
//! # What is done
//!
//! The wall clock only *names* the two moments. The clock is looked at ten times a second, beside
//! the counter and the kernel's state (`pairs`). Both moments are looked up there, and from there
//! on only the counter counts (`exchange`). An exchange about which the looks leave a doubt is
//! dropped, and the next one comes. What timesyncd takes for an outlier is as good as any other.
//!
//! A process that starts between two exchanges has not watched the last one. It carries that one
//! on to the present by what timesyncd must have written into the kernel (`late`), with a wider
//! interval, until the next exchange.
//!
//! A request blocks for as long as timesyncd is stopped, so a thread of its own makes it (`line`),
//! over a client of D-Bus that can do just this (`bus`, `wire`).
//!
//! # What it is worth
//!
//! *One server, unauthenticated*, whose replies anyone on the path can forge: timesyncd's request
//! has no nonce that could not be guessed. And the poll grows to 2048 s, at the end of which an
//! interval is 0.82 s wide by 200 ppm. `PollIntervalMaxSec=64` in /etc/systemd/timesyncd.conf makes
//! that 26 ms.

mod bus;
mod error;
mod exchange;
#[cfg(feature = "sim")]
pub(crate) mod fed;
mod late;
mod line;
mod message;
#[cfg(not(unix))]
mod no_bus;
mod pairs;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::counter::{Counter, DEFAULT_MAX_DRIFT_PPM};
use crate::evidence::{Reason, Sample, Source, SourceCondition, SourceError};
use crate::host::STA_PLL;
use crate::scale::LeapTable;
use crate::source::RealtimeScale;
use crate::source::realtime::{PendingLeap, Realtime};
use crate::source::wall_clock::WallClock;
use crate::timestamp::NANOS_PER_SECOND;

use exchange::Dropped;
use late::TooLate;
use line::{Line, News};
use pairs::Pair;
use watch::{Known, Refusal, Watch};

pub use error::BusError;
pub use message::{NtpMessage, NtpMessageError};

/// Asks timesyncd once for its last exchange, and waits for half a second at most for each of its
/// answers.
///
/// # Errors
///
/// If it cannot be asked. An exchange that states no interval is no error here
/// ([`NtpMessage::check`]).
///
/// ```no_run
/// let exchange = truechimer::source::timesyncd::last_exchange()?;
/// println!("timesyncd's server: {exchange}");
/// # Ok::<(), truechimer::source::timesyncd::BusError>(())
/// ```
pub fn last_exchange() -> Result<NtpMessage, BusError> {
    bus::Connection::open(&bus::system_bus()?)?.ntp_message()
}

/// What timesyncd publishes of its exchanges, as evidence.
///
/// `Clock::new()` has it beside the kernel's bound. Use this to have it alone, or to find it on
/// another bus. See the [module](self) for what it is worth.
///
/// ```
/// use truechimer::Clock;
/// use truechimer::source::timesyncd::Timesyncd;
///
/// let clock = Clock::builder().without_kernel().source(Timesyncd::new()).build()?;
/// # Ok::<(), truechimer::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Timesyncd {
    wall_clock: Arc<WallClock>,
    max_drift_ppm: u32,
    line: Line,
    /// The leap table by which the last sample was read.
    leaps: Option<Arc<LeapTable>>,
    /// The leap second that the kernel was told of.
    pending_leap: Option<PendingLeap>,
    /// The last look, and what was known then.
    last: Option<(Pair, Option<Known>)>,
    condition: SourceCondition,
}

impl Timesyncd {
    /// The timesyncd on the system bus, and the builtin leap table.
    ///
    /// The bus is the one that `DBUS_SYSTEM_BUS_ADDRESS` names, if that is a path, or else the one
    /// at /run/dbus/system_bus_socket.
    pub fn new() -> Timesyncd {
        Timesyncd::of(Arc::new(WallClock::new(LeapTable::builtin(), RealtimeScale::Utc)))
    }

    /// The timesyncd on the bus at this path of a Unix socket. It must discipline the clock of
    /// *this* host.
    pub fn at(path: &Path) -> Timesyncd {
        let mut new = Timesyncd::new();
        new.line = Line::new(Some(path.to_owned()), new.max_drift_ppm);
        new
    }

    /// With the scale of `wall_clock` for the server's stamps.
    pub(crate) fn of(wall_clock: Arc<WallClock>) -> Timesyncd {
        Timesyncd {
            wall_clock,
            max_drift_ppm: DEFAULT_MAX_DRIFT_PPM,
            line: Line::new(None, DEFAULT_MAX_DRIFT_PPM),
            leaps: None,
            pending_leap: None,
            last: None,
            condition: SourceCondition::default(),
        }
    }

    /// By how much the oscillator may be off, in ppm: the limit of the clock that samples this
    /// source (default 200).
    #[must_use]
    pub fn max_drift_ppm(mut self, ppm: u32) -> Timesyncd {
        self.max_drift_ppm = ppm;
        self.line = Line::new(self.line.path().map(Path::to_owned), ppm);
        self
    }

    /// By another leap table, and for servers that smear in a known way. It does what
    /// `leap_table` and `wall_scale` of the clock's builder do, which apply only to the sources
    /// that the clock makes itself.
    #[must_use]
    pub fn wall_scale(mut self, leaps: LeapTable, scale: RealtimeScale) -> Timesyncd {
        self.wall_clock = Arc::new(WallClock::new(leaps, scale));
        self
    }

    /// Whether timesyncd has answered.
    #[cfg(test)]
    fn has_heard(&self) -> bool {
        self.line.shared().news.lock().has_answered
    }

    /// What is known now is known by another table, if the table has changed.
    fn follow_leap_table(&mut self, watch: &mut Watch) {
        let leaps = self.wall_clock.leaps();
        let before = self.leaps.replace(leaps.clone());
        if before.is_some_and(|before| !Arc::ptr_eq(&before, &leaps)) {
            watch.forget();
        }
    }

    /// The sample that an exchange gives, in TAI.
    fn sample_of(&self, known: &Known, pair: &Pair) -> Result<Sample, SourceError> {
        let exchange = &known.exchange;
        let (earliest, latest) = exchange.unix_ns;
        let half = latest.saturating_sub(earliest) / 2 + 1;
        let error = Duration::from_nanos(half.unsigned_abs());
        let middle = Realtime { unix_ns: earliest.saturating_add(half), ..pair.read };
        let kernel = Some(&pair.kernel);
        let time = self.wall_clock.tai(&middle, error, kernel, self.pending_leap)?;
        Ok(Sample::new(exchange.before, exchange.after, time))
    }

    /// Why nothing is known.
    fn error(&self, refusal: Option<Refusal>, news: &News) -> SourceError {
        if let Some(error) = &news.error {
            return SourceError::failed(error);
        }
        let waits = "the next exchange is used";
        match refusal {
            Some(Refusal::Suspended | Refusal::Dropped(Dropped::Suspended)) => {
                SourceError::no_bound(Reason::Suspended, "timesyncd's last exchange is from before")
            }
            Some(Refusal::Moved) => SourceError::no_bound(
                Reason::Disrupted,
                format_args!("timesyncd's last exchange is from before; {waits}"),
            ),
            Some(Refusal::Dropped(Dropped::OtherTime) | Refusal::Late(TooLate::OtherTime)) => {
                SourceError::no_bound(Reason::ShownOtherTime, exchange::OTHER_TIME)
            }
            Some(Refusal::Dropped(why)) => SourceError::failed(format_args!(
                "timesyncd's last exchange was dropped: {why}; {waits}"
            )),
            Some(Refusal::Late(why)) => SourceError::failed(format_args!(
                "timesyncd's last exchange cannot be carried on to now: {why}; {waits}"
            )),
            None => SourceError::failed("timesyncd was not heard yet"),
        }
    }

    fn note_condition(&mut self, watch: &Watch, news: &News, pair: &Pair) {
        let poll_s = poll_s(pair);
        let age_s = watch
            .exchanged_raw()
            .map_or(0, |raw| pair.raw.0.saturating_sub(raw) / NANOS_PER_SECOND);
        // It asks another server after three requests without an answer.
        let overdue = poll_s.filter(|poll| age_s > 3 * poll + 60);
        let holdover = match (&news.error, overdue) {
            (Some(error), _) => Some(error.to_string()),
            (None, Some(poll)) => Some(format!(
                "timesyncd's last exchange was {age_s} s ago, and it polls every {poll} s"
            )),
            (None, None) => None,
        };
        let interval = poll_s.map(|poll| Duration::from_secs(poll.unsigned_abs()));
        let condition =
            SourceCondition { update_interval: interval, holdover, ..SourceCondition::default() };
        self.condition = condition;
    }
}

/// timesyncd's present poll, in seconds, as it tells the kernel by the PLL's time constant.
fn poll_s(pair: &Pair) -> Option<i64> {
    let is_pll = pair.kernel.status & STA_PLL != 0;
    (is_pll && (0..=10).contains(&pair.kernel.constant)).then(|| 16 << pair.kernel.constant)
}

/// What the fuzz target runs on the bytes of a message: whatever the bus sends, nothing panics, and
/// an exchange that is accepted states an interval.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = wire::Message::length(bytes);
    let Ok(message) = wire::Message::parse(bytes) else { return };
    let _ = message.property("s").map(|mut body| body.string().map(str::len));
    let Ok(mut body) = message.property(message::SIGNATURE) else { return };
    let Ok(exchange) = NtpMessage::parse(&mut body) else { return };
    let _ = (exchange.to_string(), exchange.offset_ns());
    match exchange.check() {
        Ok(()) => {
            let distance = i64::try_from(exchange.root_distance_ns()).expect("16 s at most");
            assert!(
                exchange.earliest_ns() + distance
                    <= exchange.latest_at_receive_ns()
                        + distance
                        + (exchange.transmit_us - exchange.receive_us) * 1_000
            );
        }
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

impl Default for Timesyncd {
    fn default() -> Timesyncd {
        Timesyncd::new()
    }
}

impl Source for Timesyncd {
    fn name(&self) -> &str {
        "timesyncd"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        if self.line.is_inherited() {
            self.line = Line::new(self.line.path().map(Path::to_owned), self.max_drift_ppm);
            self.last = None;
        }
        self.line.attend(counter);
        let shared = self.line.shared().clone();
        let is_known = self.last.is_some_and(|(_, known)| known.is_some());
        {
            let news = shared.news.lock();
            if !news.is_running() && !news.has_answered && !is_known {
                return Err(self.error(None, &news));
            }
        }
        // A look is taken under the lock, so that looks are added in their order.
        let mut watch = shared.watch.lock();
        let pair = Pair::read(counter)?;
        watch.look(pair);
        self.follow_leap_table(&mut watch);
        let leaps = self.wall_clock.leaps();
        self.pending_leap =
            PendingLeap::update(self.pending_leap, &leaps, &pair.read, &pair.kernel);
        let (known, refusal) = (watch.known(counter.id()), watch.refusal());
        let news = shared.news.lock();
        self.note_condition(&watch, &news, &pair);
        self.last = Some((pair, known));
        match known {
            Some(known) => self.sample_of(&known, &pair),
            None => Err(self.error(refusal, &news)),
        }
    }

    fn disrupted(&mut self) {
        self.line.shared().watch.lock().disrupted();
        self.last = None;
        self.pending_leap = None;
    }

    fn details(&self) -> Option<String> {
        let (pair, known) = self.last.as_ref()?;
        let known = known.as_ref()?;
        let server = self.line.shared().news.lock().server.clone();
        let server =
            server.map_or(String::new(), |name| format!("server {name} (or the one before), "));
        let age_s = pair.raw.0.saturating_sub(known.heard_raw) / NANOS_PER_SECOND;
        let late = if known.is_late { ", made before this clock watched" } else { "" };
        let mut text = format!(
            "{server}{}, heard {age_s} s ago{late}; one server, unauthenticated, with a cookie that \
             can be guessed",
            known.message
        );
        if let Some(poll) = poll_s(pair).filter(|&poll| poll > 64) {
            let wide_ms = poll * 2 * i64::from(self.max_drift_ppm) / 1_000;
            text += &format!(
                "; it polls every {poll} s, in which an interval grows by {wide_ms} ms: \
                 PollIntervalMaxSec=64 in /etc/systemd/timesyncd.conf makes that less"
            );
        }
        Some(text)
    }

    fn condition(&self) -> SourceCondition {
        self.condition.clone()
    }
}
