//! [`Line`]: the thread that listens to the bus, for as long as there is something to hear.
//!
//! A request to a timesyncd that is stopped is answered when it goes on. So the thread that samples
//! never makes one. It looks at the clocks, and takes what the other thread has heard.
//!
//! The other thread runs only where a timesyncd answers. Where none does, it ends, and is started
//! again after [`RETRY_AFTER`], or when the daemon's folder in /run appears. So a clock on a host
//! with another daemon has no thread and no connection of this kind.
//!
//! A forked child has no threads of its parent's. It finds that the line belongs to another
//! process, and opens one of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::counter::{Counter, raw_ticks};
use crate::fork::{Mutex, ProcessKey};
use crate::host::HostError;

use super::bus::{Connection, system_bus};
use super::error::BusError;
use super::late::LateLook;
use super::message::NtpMessage;
use super::pairs::Pair;
use super::watch::Watch;

/// How long after a failure the bus is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// The same where a daemon was there, and may be only restarting or busy.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// How often it is at least asked whether the last message is still the last.
const CONFIRM_EVERY: Duration = Duration::from_secs(8);
/// How often it is asked while an exchange of earlier is to be carried on to now.
const LATE_EVERY: Duration = Duration::from_secs(1);
/// Looks must not be further apart than 1.25 s, so this thread looks if the other one does not.
const LOOK_EVERY_NS: i64 = 400_000_000;
const LOOK_WAIT: Duration = Duration::from_millis(250);
/// It waits for so long where the other thread looks.
const WAIT: Duration = Duration::from_millis(800);
/// Signals may come as fast as any user sends them.
const ASK_NOT_BEFORE: Duration = Duration::from_millis(10);

/// For so long the sampling thread waits for the first answer, once in a process.
const FIRST_ANSWER_MS: u32 = 15;

/// Where timesyncd keeps its mark that it has synchronised, from its start on.
const FOLDER: &str = "/run/systemd/timesync";

/// What both threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) watch: Mutex<Watch>,
    pub(super) news: Mutex<News>,
    stopping: AtomicBool,
}

/// How the bus is.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Why nothing is heard; `None` while timesyncd answers, or nothing was tried yet.
    pub(super) error: Option<BusError>,
    /// Whether timesyncd has ever answered.
    pub(super) has_answered: bool,
    /// A hint: the server that timesyncd uses now.
    pub(super) server: Option<String>,
    /// The counter in use, which the other thread looks by.
    pub(super) counter: Option<Counter>,
    was_started: bool,
    pub(super) is_running: bool,
    retry_at: Option<Instant>,
    had_folder: bool,
}

impl News {
    /// Whether the thread runs.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }
}

/// The way to timesyncd from one process.
#[derive(Debug)]
pub(super) struct Line {
    process: ProcessKey,
    path: Option<PathBuf>,
    shared: Arc<Shared>,
}

impl Line {
    /// To the bus at this path, or to the system's.
    pub(super) fn new(path: Option<PathBuf>, max_drift_ppm: u32) -> Line {
        let shared = Shared {
            watch: Mutex::new(Watch::new(max_drift_ppm)),
            news: Mutex::default(),
            stopping: AtomicBool::new(false),
        };
        Line { process: ProcessKey::current(), path, shared: Arc::new(shared) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether this line was opened by another process, whose thread does not exist here.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != ProcessKey::current()
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Sees to it that the thread runs if there is something to hear.
    pub(super) fn attend(&self, counter: &Counter) {
        let mut news = self.shared.news.lock();
        news.counter = Some(counter.clone());
        if news.is_running {
            return;
        }
        let has_folder = self.path.is_none() && Path::new(FOLDER).exists();
        let has_appeared = has_folder && !std::mem::replace(&mut news.had_folder, has_folder);
        let is_due = news.retry_at.is_none_or(|at| Instant::now() >= at);
        if !is_due && !has_appeared {
            return;
        }
        news.retry_at = Some(Instant::now() + RETRY_AFTER);
        let path = match self.path.clone().map_or_else(system_bus, Ok) {
            Ok(path) if path.exists() => path,
            Ok(path) => {
                news.error = Some(BusError::NoBus { path });
                return;
            }
            Err(error) => {
                news.error = Some(error);
                return;
            }
        };
        news.is_running = true;
        let shared = self.shared.clone();
        let name = "truechimer-bus".to_owned();
        let started = thread::Builder::new().name(name).spawn(move || {
            // Signals are for the program's own threads.
            #[cfg(unix)]
            let _ = nix::sys::signal::SigSet::all().thread_block();
            let error = listen(&path, &shared).err();
            let mut news = shared.news.lock();
            let is_lost = news.has_answered && !matches!(error, Some(BusError::NoBus { .. }));
            let wait = if is_lost { RETRY_SOON } else { RETRY_AFTER };
            news.retry_at = Some(Instant::now() + wait);
            news.error = error;
            news.is_running = false;
        });
        if let Err(error) = started {
            news.is_running = false;
            news.error = Some(BusError::Thread(error.to_string()));
        }
        let is_first = !std::mem::replace(&mut news.was_started, true);
        drop(news);
        if is_first {
            self.await_first_answer();
        }
    }

    /// An answer takes less than a millisecond, and the first reading of a clock should have it.
    fn await_first_answer(&self) {
        for _ in 0..FIRST_ANSWER_MS {
            let news = self.shared.news.lock();
            if news.has_answered || !news.is_running {
                return;
            }
            drop(news);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The thread looks at this once a second at least.
        self.shared.stopping.store(true, Ordering::Relaxed);
    }
}

/// Listens until something goes wrong, or no timesyncd runs.
fn listen(path: &Path, shared: &Shared) -> Result<(), BusError> {
    let mut connection = Connection::open(path)?;
    let mut poll_min_s = poll_min_s_of(&mut connection);
    let mut last: Option<NtpMessage> = None;
    let mut asked: Option<Instant> = None;
    let mut was_gone = false;
    while !shared.stopping.load(Ordering::Relaxed) {
        let Some(counter) = shared.news.lock().counter.clone() else { return Ok(()) };
        let counter = &counter;
        let needs_late = shared.watch.lock().needs_late();
        let every = if needs_late && last.is_some() { LATE_EVERY } else { CONFIRM_EVERY };
        let waits = match (asked, is_watched(shared, counter)) {
            (None, _) => Duration::ZERO,
            (Some(at), true) => every.saturating_sub(at.elapsed()).min(WAIT),
            (Some(at), false) => every.saturating_sub(at.elapsed()).min(LOOK_WAIT),
        };
        let has_news = connection.wait(waits)?;
        if !is_watched(shared, counter) {
            look(shared, counter);
        }
        if !has_news && asked.is_some_and(|at| at.elapsed() < every) {
            continue;
        }
        if asked.is_some_and(|at| at.elapsed() < ASK_NOT_BEFORE) {
            thread::sleep(ASK_NOT_BEFORE);
        }
        asked = Some(Instant::now());
        let heard = ask(&mut connection, shared, counter, poll_min_s);
        let mut news = shared.news.lock();
        match heard {
            Ok(message) => {
                news.error = None;
                news.has_answered = true;
                drop(news);
                was_gone = false;
                if last.replace(message) != Some(message) || poll_min_s.is_none() {
                    poll_min_s = poll_min_s_of(&mut connection);
                    let server = connection.server_name()?;
                    shared.news.lock().server = Some(server).filter(|name| !name.is_empty());
                }
            }
            // It may be restarting, and its first message is worth watching for.
            Err(BusError::NotRunning) if news.has_answered && !was_gone => {
                news.error = Some(BusError::NotRunning);
                (was_gone, last) = (true, None);
            }
            Err(BusError::NotRunning) if news.has_answered => {
                news.error = Some(BusError::NotRunning);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// timesyncd's shortest poll, if it says it.
fn poll_min_s_of(connection: &mut Connection) -> Option<u64> {
    connection.poll_min_us().ok().map(|us| us / 1_000_000)
}

/// Asks for the last exchange, between two looks at the kernel.
fn ask(
    connection: &mut Connection,
    shared: &Shared,
    counter: &Counter,
    poll_min_s: Option<u64>,
) -> Result<NtpMessage, BusError> {
    let denied = |error: HostError| BusError::Host(error.to_string());
    let asked = Asked::now(counter).map_err(denied)?;
    let answer = connection.ntp_message();
    let message = match &answer {
        Ok(message) => Some(*message),
        Err(BusError::NotRunning) => None,
        Err(_) => return answer,
    };
    let poll_min_s = poll_min_s.unwrap_or(0);
    asked.answered(message, poll_min_s, shared, counter).map_err(denied)?;
    answer
}

/// What was read before a request.
#[derive(Debug)]
pub(super) struct Asked {
    raw: i64,
    pair: Pair,
}

impl Asked {
    /// Reads it.
    pub(super) fn now(counter: &Counter) -> Result<Asked, HostError> {
        let raw = raw_ticks(counter.host())? as i64;
        Ok(Asked { raw, pair: Pair::read(counter)? })
    }

    /// timesyncd has answered, or the bus has because no timesyncd runs.
    pub(super) fn answered(
        self,
        message: Option<NtpMessage>,
        poll_min_s: u64,
        shared: &Shared,
        counter: &Counter,
    ) -> Result<(), HostError> {
        let Asked { raw, pair } = self;
        let heard_raw = raw_ticks(counter.host())? as i64;
        let after = counter.host().kernel_state()?;
        // A look is taken under the lock, so that looks are added in their order.
        let mut watch = shared.watch.lock();
        let next = Pair::read(counter)?;
        watch.hear(message, (raw, heard_raw));
        if let Some(message) = message {
            watch.hear_late(&LateLook { pair, message, after, poll_min_s });
        }
        watch.look(next);
        Ok(())
    }
}

/// Whether the clocks were looked at lately.
pub(super) fn is_watched(shared: &Shared, counter: &Counter) -> bool {
    let Ok(now) = raw_ticks(counter.host()) else { return true };
    let watch = shared.watch.lock();
    watch.last_look().is_some_and(|pair| (now as i64) - pair.raw.1 < LOOK_EVERY_NS)
}

pub(super) fn look(shared: &Shared, counter: &Counter) {
    let mut watch = shared.watch.lock();
    if let Ok(pair) = Pair::read(counter) {
        watch.look(pair);
    }
}
