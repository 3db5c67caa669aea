//! The sampling side of a clock: its thread, and what a fork leaves of it.
//!
//! One thread a clock. It asks the sources every poll interval, and at once
//! when the wall clock is stepped: a timer on `CLOCK_REALTIME` that is set to
//! be cancelled by a step becomes readable at that moment, without privilege.
//! The same timer, set to the past, is how the thread is told to stop, so a
//! clock costs one file descriptor; where there is none to be had (a seccomp
//! filter, too many open files) the thread parks, and notices steps at its
//! next poll.
//!
//! # Fork
//!
//! The child of a `fork` has a copy of everything but the thread. Its readings
//! go on from the last bound, and widen. To sample again it calls `refresh()`.
//! But the thread may have been in the middle of a round when the process was
//! copied, and then its lock is held, in the child, by nobody who will ever
//! release it. So what samples belongs to a process ([`Desk`]): a child makes a
//! new one, takes over what the old one holds if its lock is free, and starts
//! again from the last published bound if it is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use parking_lot::Mutex;

use crate::clock::block::Block;
use crate::clock::counter::{Calibration, CounterKind};
use crate::clock::driver::{Driver, Notes, Surroundings, Witness};
use crate::clock::publish::Ring;
use crate::clock::report::{Limits, Record};
use crate::scale::LeapTable;
use crate::source::Calendar;

/// How long `refresh()` waits for a round that another thread is making.
const PATIENCE: Duration = Duration::from_secs(1);

/// What samples in one process: the driver, and the record of what it did.
pub(crate) struct Desk {
    pid: u32,
    driver: Mutex<Option<Driver>>,
    pub(crate) record: Mutex<Record>,
    /// The desk of a child of this process, in that child.
    heir: OnceLock<Box<Desk>>,
}

/// Makes the witnesses that need nothing from the user, for a child that could not inherit them.
pub(crate) type Rebuild = Box<dyn Fn() -> Vec<Witness> + Send + Sync>;

/// What all clones of a clock have in common.
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) limits: Limits,
    kind: CounterKind,
    calendar: Arc<Calendar>,
    notes: Notes,
    rebuild: Rebuild,
    desk: Desk,
}

impl Shared {
    pub(crate) fn new(
        ring: Ring,
        driver: Driver,
        limits: Limits,
        kind: CounterKind,
        calendar: Arc<Calendar>,
        rebuild: Rebuild,
    ) -> Shared {
        let desk = Desk::new(driver, Record::default());
        Shared { ring, limits, kind, calendar, notes: Notes::new(), rebuild, desk }
    }

    /// The block that is published now.
    #[inline]
    pub(crate) fn block(&self) -> Block {
        Block::from_words(self.ring.read())
    }

    /// What samples in this process.
    pub(crate) fn desk(&self) -> &Desk {
        let pid = std::process::id();
        let mut desk = &self.desk;
        while desk.pid != pid {
            desk = match desk.heir.get() {
                Some(heir) => heir,
                None => self.inherit(desk),
            };
        }
        desk
    }

    /// A desk for this process, a fork of the one that `parent` belonged to.
    fn inherit<'a>(&self, parent: &'a Desk) -> &'a Desk {
        // One thread at a time makes it. Not for ever: a fork in the middle of it
        // leaves a lock that nobody holds. For the same reason the cell is filled
        // with a desk that is made already.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.try_lock_for(PATIENCE);
        if let Some(heir) = parent.heir.get() {
            return heir;
        }
        let heir = Box::new(self.heir_of(parent));
        parent.heir.get_or_init(move || heir)
    }

    fn heir_of(&self, parent: &Desk) -> Desk {
        let inherited = parent.driver.try_lock().and_then(|mut driver| driver.take());
        let record = parent.record.try_lock().map(|mut record| std::mem::take(&mut *record));
        if let Some(driver) = inherited {
            let mut record = record.unwrap_or_default();
            record.running = false;
            return Desk::new(driver, record);
        }
        let calibration =
            Calibration::new(self.kind).unwrap_or_else(|why| Calibration::monotonic_raw(Some(why)));
        let witnesses = (self.rebuild)();
        let mut driver = Driver::new(witnesses, calibration, self.limits, self.ring.adopt());
        driver.resume_from(&self.block());
        let kept: Vec<&str> = driver.names().collect();
        let record = record.unwrap_or_default();
        let lost = record.source_names().filter(|name| !kept.contains(name)).map(str::to_owned);
        let record = Record::after_loss(lost.collect());
        Desk::new(driver, record)
    }

    /// Asks all sources once, in this thread. `false` if another thread is still at it.
    pub(crate) fn round(&self) -> bool {
        let desk = self.desk();
        match desk.driver.try_lock_for(PATIENCE).as_deref_mut() {
            Some(Some(driver)) => {
                let Shared { ring, notes, .. } = self;
                driver.round(Surroundings { ring, record: &desk.record, notes });
                desk.record.lock().rounds += 1;
                true
            }
            _ => false,
        }
    }

    /// Uses another leap table from now on. Where that changes what the wall clock
    /// means at present, what was held before rests on an error, and is forgotten.
    pub(crate) fn replace_leap_table(&self, leaps: LeapTable) {
        let differs = self.calendar.differs_now(&leaps);
        // On both sides of the change: a round that is under way takes the note
        // before it uses what it was told by the one table or by the other.
        self.notes.forget.fetch_or(differs, Ordering::SeqCst);
        self.calendar.replace(leaps);
        self.notes.forget.fetch_or(differs, Ordering::SeqCst);
        self.round();
    }

    /// Gives the operator's word again, and asks all sources.
    pub(crate) fn reassume(&self) {
        self.notes.renew.store(true, Ordering::SeqCst);
        self.round();
    }
}

impl Desk {
    fn new(driver: Driver, record: Record) -> Desk {
        Desk {
            pid: std::process::id(),
            driver: Mutex::new(Some(driver)),
            record: Mutex::new(record),
            heir: OnceLock::new(),
        }
    }
}

/// Stops the thread when the last clock that has it is dropped.
pub(crate) struct Life {
    pid: u32,
    stopping: Arc<AtomicBool>,
    bell: Arc<Bell>,
    thread: Thread,
}

impl Life {
    /// Starts the thread, and waits a little for its first round.
    pub(crate) fn start(shared: Arc<Shared>, patience: Duration) -> std::io::Result<Life> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (bell, trouble) = Bell::new();
        let bell = Arc::new(bell);
        {
            let mut record = shared.desk().record.lock();
            record.running = true;
            record.step_timer = trouble;
        }
        let (first_round, rounds) = mpsc::sync_channel(1);
        let (stop, ring_of) = (stopping.clone(), bell.clone());
        let handle = thread::Builder::new().name("truechimer".to_owned()).spawn(move || {
            let _running = Running(&shared);
            // Signals are for the program's own threads.
            let _ = SigSet::all().thread_block();
            while !stop.load(Ordering::SeqCst) {
                shared.round();
                let _ = first_round.try_send(());
                if ring_of.wait(shared.limits.poll_interval, &stop) {
                    shared.desk().record.lock().steps += 1;
                }
            }
        })?;
        let _ = rounds.recv_timeout(patience);
        Ok(Life { pid: std::process::id(), stopping, bell, thread: handle.thread().clone() })
    }
}

/// Notes that the thread has ended, whatever ended it.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.desk().record.lock().running = false;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // A forked child shares the timer with its parent, and has no thread to stop.
        if self.pid == std::process::id() {
            self.stopping.store(true, Ordering::SeqCst);
            self.bell.ring(&self.thread);
        }
    }
}

/// Wakes the thread before its poll interval is over.
enum Bell {
    /// Readable when the wall clock was stepped, or when set to the past.
    Timer(TimerFd),
    /// No timer to be had: only [`Bell::ring`] wakes.
    Park,
}

impl Bell {
    /// A bell, and what is wrong with it if it does not ring at a step.
    fn new() -> (Bell, Option<String>) {
        let timer = TimerFd::new(
            ClockId::CLOCK_REALTIME,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        );
        match timer.and_then(|timer| Bell::arm(&timer).map(|()| timer)) {
            Ok(timer) => (Bell::Timer(timer), None),
            Err(errno) => (Bell::Park, Some(format!("no timerfd can be had: {errno}"))),
        }
    }

    /// Sets the timer to a time that is never reached; a step cancels it.
    fn arm(timer: &TimerFd) -> Result<(), Errno> {
        let never = TimeSpec::new(i64::from(i32::MAX) * 4, 0);
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        timer.set(Expiration::OneShot(never), flags)
    }

    /// Sleeps for `interval`, or until woken. `true` if the wall clock was stepped.
    fn wait(&self, interval: Duration, stopping: &AtomicBool) -> bool {
        let Bell::Timer(timer) = self else {
            thread::park_timeout(interval);
            return false;
        };
        if stopping.load(Ordering::SeqCst) {
            return false;
        }
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(timer), PollFlags::POLLIN)];
        let woken = ppoll(&mut fds, Some(TimeSpec::from_duration(interval)), None);
        if woken == Ok(0) {
            return false;
        }
        if woken.is_err() || timer.wait().is_err() {
            // Somebody has closed it behind our back (a daemonizing `closefrom`).
            thread::park_timeout(interval);
            return false;
        }
        let stepped = !stopping.load(Ordering::SeqCst);
        // Armed again before the sources are asked: a step while they are is
        // not missed. Before `stopping` is looked at: a bell rung in between is
        // lost, and the flag is not.
        let _ = Bell::arm(timer);
        stepped
    }

    fn ring(&self, thread: &Thread) {
        let past = TimeSpec::new(0, 1);
        if let Bell::Timer(timer) = self {
            let _ = timer.set(Expiration::OneShot(past), TimerSetTimeFlags::TFD_TIMER_ABSTIME);
        }
        thread.unpark();
    }
}
