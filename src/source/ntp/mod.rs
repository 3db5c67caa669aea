//! [`Ntp`]: time servers, asked by this crate itself.
//!
//! Where chronyd or ntpd runs, the kernel states a bound. Most other hosts have none: laptops,
//! servers under systemd-timesyncd, containers that see nothing of their host, and every system
//! that is not Linux. A time server can be asked from all of them.
//!
//! # The naive way, and why it fails
//!
//! The usual client computes an offset to the wall clock, and states half of the round trip as
//! its error. The wall clock is slewed and stepped by others meanwhile. Half of the round trip
//! says nothing of the server's own error, and a filter that averages offsets loses what little
//! was known of each. And a server that is wrong is believed.
//!
//! # What is done
//!
//! Each exchange becomes two lines (`exchange`): at one reading of the counter true time was at most
//! this, at another at least that. No assumption is made on how the delay was divided
//! between the two ways. The width is the round trip and twice the server's own bound, and
//! measured exchanges never missed the truth, where daemons' bounds did in up to 44 % of readings.
//! The last eight exchanges with a server are intersected.
//!
//! Several servers are combined by Marzullo's rule (`judge`, [`agreement`](crate::agreement)): a
//! minority of wrong ones does no harm and is named. Two servers show that one of them is wrong,
//! and not which, so both have to agree; one server is believed only if
//! [`trust_single`](Ntp::trust_single) says so.
//!
//! | what comes | what is done with it |
//! |---|---|
//! | the server is not synchronised (leap indicator 3, stratum 0 or from 16 on) | refused |
//! | it follows its own clock (127.127.1.x, `LOCL`) | refused: it states a bound of 18 ns that nobody measured |
//! | a bound above 1 s | refused |
//! | the reply left before the request came, or the server kept it for longer than it was away | refused: its clock was stepped |
//! | no repetition of the request's 64 random bits, another address, a short or odd packet | ignored, and the answer still waited for |
//! | kiss of death, with those bits: `RATE` | the server is asked half as often, for good |
//! | kiss of death, with those bits: `DENY`, `RSTR` | the server is not asked any more |
//! | the newest exchange excludes older ones | the server was stepped: only the newer ones count |
//! | a leap second near, or announced and not in the table | both offsets are covered |
//! | the host slept, or the counter was changed | earlier exchanges are dropped, and all servers are asked again |
//!
//! # Manners
//!
//! Four requests at the start, then one in 64 s to a public server, in 4 to 16 s to a private
//! address, and in 0.25 to 1 s to this host, this link or a cloud's metadata server; spread at
//! random. What the width wants decides within these ranges (`poll`).
//! After three requests without an answer the next address of the name is asked, and then the name
//! is looked up again. Each server has a thread for this (`socket`), and the clock's own thread
//! never waits for one.
//!
//! # What it is worth
//!
//! Plain replies are not authenticated: whoever is on the way to the server can forge them.
//! Three servers on three ways make that harder, not impossible. With the feature `nts`, servers
//! that speak NTS prove who answers (`Ntp::nts`). A server is believed
//! about its own bound (assumption A1); it cannot be wrong by more than that without breaking it.
//!
//! Read next: [`packet`] for the bytes, `exchange` for the two lines, `association` for what is
//! done when.

mod association;
pub(crate) mod authenticator;
mod exchange;
mod judge;
#[cfg(feature = "nts")]
pub(crate) mod nts;
pub mod packet;
mod poll;
mod settings;
mod socket;
#[cfg(feature = "nts")]
mod with_nts;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counter::Counter;
use crate::evidence::{Sample, Source, SourceCondition, SourceError};
use crate::fork::{PerProcess, ProcessKey};
use crate::scale::{LeapTable, Smear};
use crate::source::RealtimeScale;
use crate::source::wall_clock::WallClock;

#[cfg(feature = "sim")]
pub(crate) use association::Association;
pub use association::Refusal;
pub use authenticator::NtsError;
#[cfg(feature = "sim")]
pub(crate) use judge::{Word, judge};
#[cfg(feature = "nts")]
pub use nts::AuthoritiesError;
#[cfg(feature = "sim")]
pub(crate) use poll::PollSetting;
pub use settings::NtpError;

use judge::judge as combine;
use settings::Settings;
use socket::Client;

/// How long the first sample waits for the servers: one that is near answers meanwhile.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// NTP servers that are asked by this process.
///
/// [`ClockBuilder::ntp`](crate::ClockBuilder::ntp) makes one, and lets the kernel's bound be a
/// cross-check only. Give one to [`ClockBuilder::ntp_with`](crate::ClockBuilder::ntp_with) to set
/// what the builder has no method for.
///
/// ```no_run
/// use truechimer::source::ntp::Ntp;
/// use truechimer::{Clock, Smear};
///
/// let ntp = Ntp::new(["time1.google.com", "time2.google.com", "time3.google.com"])
///     .smeared(Smear::Google);
/// let clock = Clock::builder().ntp_with(ntp).build()?;
/// # Ok::<(), truechimer::BuildError>(())
/// ```
#[must_use = "it does nothing until a clock has it"]
pub struct Ntp {
    settings: Settings,
    wall_clock: Arc<WallClock>,
    client: PerProcess<Client>,
    details: Option<String>,
    condition: SourceCondition,
}

impl Ntp {
    /// These servers: names or addresses, with a port if it is not 123 (`[2001:db8::1]:123`).
    ///
    /// Three or more, unless [`trust_single`](Self::trust_single) is called too. What is wrong with
    /// a server's text shows in [`check`](Self::check), and so when the clock is built.
    pub fn new<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Ntp {
        let names = servers.into_iter().map(Into::into).collect();
        Ntp::of(Settings { names, ..Settings::default() })
    }

    /// The servers that the host's chronyd follows now, asked directly. Which these are is asked
    /// again once in 64 s.
    ///
    /// chronyd does not tell their ports, so they are asked at port 123.
    pub fn of_daemon() -> Ntp {
        Ntp::of(Settings { of_daemon: true, ..Settings::default() })
    }

    fn of(settings: Settings) -> Ntp {
        let wall_clock = WallClock::new(LeapTable::builtin(), RealtimeScale::Utc);
        Ntp {
            settings,
            wall_clock: Arc::new(wall_clock),
            client: PerProcess::new(),
            details: None,
            condition: SourceCondition::default(),
        }
    }

    /// These servers too.
    pub fn and<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Ntp {
        self.settings.names.extend(servers.into_iter().map(Into::into));
        self
    }

    /// The servers of the host's chronyd too, as in [`of_daemon`](Self::of_daemon).
    pub fn and_of_daemon(mut self) -> Ntp {
        self.settings.of_daemon = true;
        self
    }

    /// Fewer than three servers are enough: one is taken at its word, and two have to agree.
    ///
    /// This is an assumption. A single server that is wrong makes readings wrong, and no
    /// contradiction need show it.
    pub fn trust_single(mut self) -> Ntp {
        self.settings.takes_one = true;
        self
    }

    /// Asks each server this often, from 10 ms to 131 072 s, instead of by its address. Public
    /// servers are still asked no more often than once in 64 s.
    pub fn poll(mut self, every: Duration) -> Ntp {
        self.settings.poll.every = Some(every);
        self
    }

    /// As [`poll`](Self::poll), and public servers too. Call it only for servers whose operator
    /// agrees, because others may block this client.
    pub fn poll_forced(mut self, every: Duration) -> Ntp {
        self.settings.poll.is_forced = true;
        self.poll(every)
    }

    /// Each address of a name is a server of its own, with a word of its own.
    ///
    /// By default a name has one word, however many addresses it has: one of them is asked, and
    /// another if it is silent, because usually one operator runs them all. A pool
    /// (`pool.ntp.org`) has independent servers behind one name.
    pub fn one_word_per_address(mut self) -> Ntp {
        self.settings.asks_each_address = true;
        self
    }

    /// All servers smear leap seconds in this way. By default they show UTC.
    pub fn smeared(self, smear: Smear) -> Ntp {
        self.on_scale(RealtimeScale::Smeared(smear))
    }

    /// What all servers show around a leap second, except those that
    /// [`server_on_scale`](Self::server_on_scale) names.
    pub fn on_scale(mut self, scale: RealtimeScale) -> Ntp {
        self.settings.all_on = scale;
        self.settings.daemon_on = Some(scale);
        self
    }

    /// What one of the servers shows around a leap second. `server` is its text in
    /// [`new`](Self::new).
    ///
    /// Each server's time becomes TAI by its own scale, so servers that smear and servers that do
    /// not can be asked together.
    pub fn server_on_scale(mut self, server: impl Into<String>, scale: RealtimeScale) -> Ntp {
        self.settings.scales.push((server.into(), scale));
        self
    }

    /// The leap seconds by which the servers' UTC becomes TAI. A clock's builder that has this
    /// source by [`ntp_with`](crate::ClockBuilder::ntp_with) replaces it by its own table.
    pub fn leap_table(mut self, leaps: LeapTable) -> Ntp {
        self.wall_clock = Arc::new(WallClock::new(leaps, RealtimeScale::Utc));
        self
    }

    /// Whether all settings are good.
    ///
    /// # Errors
    ///
    /// The first one that is not.
    pub fn check(&self) -> Result<(), NtpError> {
        self.settings.servers().map(drop)
    }

    /// The same servers, for a clock with this leap table, on a host whose wall clock shows this.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn for_clock(&self, wall_clock: Arc<WallClock>) -> Ntp {
        let mut settings = self.settings.clone();
        settings.daemon_on.get_or_insert(wall_clock.shows());
        Ntp { wall_clock, ..Ntp::of(settings) }
    }
}

impl Source for Ntp {
    fn name(&self) -> &str {
        "ntp"
    }

    fn sample(&mut self, counter: &Counter) -> Result<Sample, SourceError> {
        let Some(ageing) = counter.ageing() else {
            return Err(SourceError::failed("this counter's rate is not known: a clock must ask"));
        };
        let servers = self.settings.servers().map_err(SourceError::failed)?;
        let mut is_first = false;
        let client = self.client.get(ProcessKey::current(), |parents| {
            is_first = true;
            Client::new(servers, &self.settings, parents)
        });
        client.follow(counter);
        let failed = |error| SourceError::failed(format_args!("no thread can be started: {error}"));
        client.start().map_err(failed)?;
        let until = Instant::now() + FIRST_WAIT;
        loop {
            let (words, now) = (client.words(), counter.try_read()?);
            let leaps = self.wall_clock.leaps();
            let verdict = combine(&words, self.settings.takes_one, &ageing, now, &leaps);
            self.details = Some(verdict.details);
            self.condition = verdict.condition;
            if verdict.sample.is_ok() || !is_first || Instant::now() >= until {
                return verdict.sample;
            }
            client.wait_for_news(until);
        }
    }

    fn details(&self) -> Option<String> {
        self.details.clone()
    }

    fn condition(&self) -> SourceCondition {
        self.condition.clone()
    }
}

impl fmt::Debug for Ntp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ntp").field("settings", &self.settings).finish_non_exhaustive()
    }
}
