//! [`Timer`]: one thread that wakes every asynchronous wait of a waiter, in order.
//!
//! The waits are kept sorted by their moments. The thread looks only at the first:
//! it sleeps as the blocking wait does, and then wakes all that are due.
//!
//! There is one thread for each *waiter* and not one for the process, because moments
//! of two clocks do not compare and each clock needs an order of its own. The thread
//! starts with the first wait and ends when there has been none for a second.
//!
//! # The leader
//!
//! A sleeping executor takes as long to wake as a thread does, some tens of
//! microseconds. If the timer spun until the moment and woke the task then, the
//! task would still be late by that much. So the first task in the order, and no
//! other, is woken early. It is the *leader* (as in leader/follower). It polls and
//! yields to the other tasks in between until its moment has passed. Then it wakes
//! whatever else is due, and the next leader if that is near. The followers are
//! woken when they are due, not earlier, and in order. An executor that runs tasks
//! in the order in which they were woken finishes them in that order.
//!
//! A leader may be stuck behind a task that never yields, or its executor may have
//! dropped it without polling it. So the timer waits for it a little, and then wakes
//! whatever is due by itself.
//!
//! # Fork
//!
//! The child of a `fork` has neither the thread nor, perhaps, the lock: the thread may have
//! held it. So queue, lock and thread belong to a process (see `fork`). The first wait in the
//! child makes new ones, and wakes there. A future that was pending at the fork registers
//! anew when it is polled in the child. It is not woken there by itself, because nothing of
//! this crate runs in a child before the child calls it.
//!
//! # A clock that is moved by hand
//!
//! Such a clock calls [`clock_moved`](Timer::clock_moved) in the thread that moves
//! it. So the waits that are due are woken before the move returns, and a test does
//! not depend on when the timer's thread runs. That thread only watches deadlines and
//! whether the clock has stopped. There is no leader, because time does not pass by
//! itself and spinning would end no wait.

use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::error::WaitError;
use super::fine_timer::FineTimer;
use super::margin::Margin;
use super::parker::saturating_add;
use super::planner::{Planner, Step};
use super::queue::{Key, WaitQueue};
use super::settings::WaitSettings;
use super::stall_detector::StallDetector;
use crate::clock::changes::Subscription;
use crate::clock::truetime::TrueTime;
use crate::fork::{Condvar, Mutex, Owned, PerProcess, ProcessKey};
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// How long the thread stays when there are no waits.
const IDLE: Duration = Duration::from_secs(1);

/// The least time that a leader has to wake what is due, before the thread does it.
const LEAST_GRACE: Duration = Duration::from_micros(50);

/// What the clones of a waiter, its futures and its thread share.
#[derive(Debug)]
pub(super) struct Timer<C> {
    pub(super) clock: C,
    pub(super) settings: WaitSettings,
    waits: PerProcess<Waits>,
    /// How late a leader is polled after its early wake was due.
    margin: Margin,
}

/// The waits of one process, and its thread.
#[derive(Debug)]
struct Waits {
    state: Mutex<State>,
    changed: Condvar,
    /// To a clock that is moved by hand. Unset until the first wait.
    subscription: OnceLock<Option<Subscription>>,
    /// How many forks the waiter has come through.
    forks: u64,
}

/// How many waits of one process are numbered before the numbers of its child begin: more
/// than can be made.
const NUMBERS_A_PROCESS: u64 = 1 << 48;

impl Waits {
    /// Nothing of the parent's is taken over, because waking its tasks would take the locks of
    /// its executor. A future of the parent finds its number unknown here, and registers anew.
    fn after(parent: Option<&Waits>) -> Waits {
        let forks = parent.map_or(0, |parent| parent.forks.wrapping_add(1));
        let queue = WaitQueue::numbered_from(forks.wrapping_mul(NUMBERS_A_PROCESS));
        Waits {
            state: Mutex::new(State { queue, thread: None }),
            changed: Condvar::default(),
            subscription: OnceLock::new(),
            forks,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    queue: WaitQueue,
    /// What the thread knows about the clock. `None` means that there is no thread.
    thread: Option<StallDetector>,
}

impl<C: TrueTime> Timer<C> {
    pub(super) fn new(clock: C, settings: WaitSettings) -> Timer<C> {
        Timer { clock, settings, waits: PerProcess::new(), margin: Margin::new() }
    }

    /// The waits of this process.
    fn waits(&self) -> Arc<Owned<Waits>> {
        self.waits.get(ProcessKey::current(), Waits::after)
    }

    /// Whether the clock is moved by hand, and calls `clock_moved`.
    fn is_moved_by_hand(&self) -> bool {
        self.waits().subscription.get().is_some_and(Option::is_some)
    }

    /// For how long a leader may spin. With 0 there is no leader.
    fn spin(&self) -> Duration {
        if self.is_moved_by_hand() { Duration::ZERO } else { self.settings.spin }
    }

    /// How early a leader is woken.
    pub(super) fn lead(&self) -> Duration {
        self.margin.get().min(self.spin())
    }

    /// A leader was polled for the first time with `left` to go, or `over` too late.
    pub(super) fn learn(&self, left: Duration, over: Duration) {
        let late = self.lead().saturating_sub(left).saturating_add(over);
        self.margin.learn(late, self.settings.spin);
    }

    /// Adds a wait, with a deadline if there is one. The flag says whether it leads
    /// from the start, because it is the first and its moment is near.
    pub(super) fn register(
        &self,
        t: Timestamp,
        deadline: Option<Instant>,
        waker: &Waker,
        now: Option<Interval>,
    ) -> (Key, bool) {
        let waker = waker.clone();
        let waits = self.waits();
        let spin = self.spin();
        let mut state = waits.state.lock();
        let queue = &mut state.queue;
        let key = queue.insert(t, deadline, waker);
        // Only what comes first changes what the thread has to do.
        let is_first = queue.is_first(key);
        if is_first || queue.is_first_deadline(key) {
            waits.changed.notify_one();
        }
        let near = |now: Interval| queue.elect(now.earliest(), spin);
        let leads = is_first && now.and_then(near).is_some();
        drop(state);
        // The clock may have been moved after `now` was read and before the wait was in
        // the queue. Then `clock_moved` did not find it.
        if self.is_moved_by_hand() {
            if let Ok(now) = self.clock.now() {
                self.wake_due(now.earliest());
            }
        }
        (key, leads)
    }

    /// Replaces the waker of a wait. `false` means that the wait is no longer in the
    /// queue, because it was due and has been woken.
    pub(super) fn replace_waker(&self, key: Key, waker: &Waker) -> bool {
        let mut waker = waker.clone();
        let waits = self.waits();
        let mut state = waits.state.lock();
        let kept = state.queue.waker_mut(key);
        let found = kept.is_some();
        if let Some(kept) = kept {
            std::mem::swap(kept, &mut waker);
        }
        // Dropping a waker may drop its task, and with it other waits of this queue.
        // So wakers are dropped after the lock is released.
        drop(state);
        found
    }

    /// Removes a wait whose future is done or dropped.
    ///
    /// `succeeded` means that the caller is about to call `wake_due`. Then the thread
    /// is not woken, which would take microseconds, and looks again when it planned to.
    pub(super) fn deregister(&self, key: Key, deadline: Option<Instant>, succeeded: bool) {
        let waits = self.waits();
        let mut state = waits.state.lock();
        let removed = state.queue.remove(key, deadline);
        if state.queue.depose(key) && !succeeded && !state.queue.is_empty() {
            waits.changed.notify_one(); // the waits behind it need another leader
        }
        drop(state);
        drop(removed); // see `replace_waker`
    }

    pub(super) fn is_leader(&self, key: Key) -> bool {
        self.waits().state.lock().queue.leader() == Some(key)
    }

    /// Wakes what is due, in order, and the next leader if its moment is near.
    pub(super) fn wake_due(&self, earliest: Timestamp) {
        let waits = self.waits();
        let lead = self.lead();
        let mut state = waits.state.lock();
        let mut wakers = state.queue.take_due(earliest);
        wakers.extend(state.queue.elect(earliest, lead));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A clock that is moved by hand has been moved: wakes what is due now. If it
    /// failed, wakes every wait, because the error may end it.
    fn clock_moved(&self) {
        match self.clock.now() {
            Ok(now) => self.wake_due(now.earliest()),
            Err(_) => {
                let wakers: Vec<_> = self.waits().state.lock().queue.wakers().collect();
                wakers.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// How long the clock has not advanced, as far as the thread knows.
    pub(super) fn stalled_for(&self, at: Instant) -> Duration {
        let waits = self.waits();
        let state = waits.state.lock();
        state.thread.as_ref().map_or(Duration::ZERO, |stall| stall.stalled_for(at))
    }

    /// How many waits are pending.
    pub(super) fn pending(&self) -> usize {
        self.waits().state.lock().queue.len()
    }
}

/// Passes a clock's moves on to its timer, as long as that lives.
struct OnMove<C>(Weak<Timer<C>>);

impl<C: TrueTime + Send + Sync> Wake for OnMove<C> {
    fn wake(self: Arc<Self>) {
        if let Some(timer) = self.0.upgrade() {
            timer.clock_moved();
        }
    }
}

/// If the clock or a waker panics, the thread ends and every wait is woken. Each
/// reads the clock itself, and the first to be polled starts another thread.
struct WakeAllOnPanic<'a, C: TrueTime>(&'a Timer<C>);

impl<C: TrueTime> Drop for WakeAllOnPanic<'_, C> {
    fn drop(&mut self) {
        if thread::panicking() {
            let waits = self.0.waits();
            let mut state = waits.state.lock();
            state.thread = None;
            let wakers: Vec<_> = state.queue.wakers().collect();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl<C: TrueTime + Send + Sync + 'static> Timer<C> {
    /// Subscribes to a clock that is moved by hand. Does nothing after the first call in a
    /// process.
    ///
    /// Call it before reading the clock, so that no move is missed.
    pub(super) fn subscribe(timer: &Arc<Timer<C>>) {
        timer.waits().subscription.get_or_init(|| {
            let changes = timer.clock.changes()?;
            Some(changes.subscribe(Waker::from(Arc::new(OnMove(Arc::downgrade(timer))))))
        });
    }

    /// Starts the thread if there is none.
    pub(super) fn start(timer: &Arc<Timer<C>>) -> Result<(), WaitError> {
        let waits = timer.waits();
        let mut state = waits.state.lock();
        if state.thread.is_some() {
            return Ok(());
        }
        let shared = timer.clone();
        thread::Builder::new()
            .name("truechimer-wait".into())
            .spawn(move || shared.run())
            .map_err(|error| WaitError::Thread(error.kind()))?;
        state.thread = Some(StallDetector::new(Instant::now()));
        Ok(())
    }

    /// The thread. It runs until there have been no waits for a while.
    fn run(&self) {
        let _fine = FineTimer::new();
        let _on_panic = WakeAllOnPanic(self);
        let waits = self.waits();
        let mut idle_since = None;
        // When all waits were last woken because the clock had stopped.
        let mut woke_all = Instant::now();
        loop {
            let mut state = waits.state.lock();
            let at = Instant::now();

            // Without waits, stay for a while and then end.
            if state.queue.is_empty() {
                let since = *idle_since.get_or_insert(at);
                if at - since >= IDLE {
                    state.thread = None;
                    return;
                }
                drop(waits.changed.wait_until(state, saturating_add(since, IDLE)));
                continue;
            }
            idle_since = None;

            // Read the clock.
            let reading = self.clock.now();
            let State { queue, thread: Some(stall) } = &mut *state else { return };
            stall.observe(reading.map(|now| now.earliest()), at);
            let stalled = stall.stalled_for(at);

            // Collect whoever has to be woken.
            let mut wakers = queue.take_expired(at);
            if let (Ok(now), false) = (reading, self.is_moved_by_hand()) {
                // A leader that is only just due is about to do this itself.
                let is_stuck = queue
                    .leader()
                    .is_some_and(|(t, _)| t.saturating_add(self.grace()) < now.earliest());
                if !queue.is_led() || is_stuck {
                    wakers.extend(queue.take_due(now.earliest()));
                }
                wakers.extend(queue.elect(now.earliest(), self.lead()));
            }
            wakers.extend(self.wake_stalled(queue, stalled, at, &mut woke_all));

            // Wake them without the lock, or sleep until something is due or changes.
            if wakers.is_empty() {
                let until = self.next_look(queue, reading.ok(), at);
                drop(waits.changed.wait_until(state, until));
            } else {
                drop(state);
                wakers.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// How long a leader has to wake what is due, before the thread does it.
    fn grace(&self) -> Duration {
        self.lead().max(LEAST_GRACE)
    }

    /// When the thread has to look again, unless something changes before.
    fn next_look(&self, queue: &WaitQueue, now: Option<Interval>, at: Instant) -> Instant {
        let max_sleep = self.settings.max_sleep.max(Duration::from_micros(1));
        let mut until = saturating_add(at, max_sleep);
        let now = now.filter(|_| !self.is_moved_by_hand());
        if let (Some(now), Some(first)) = (now, queue.first()) {
            let (moment, margin) = if queue.is_led() {
                (first.saturating_add(self.grace()), Duration::ZERO)
            } else {
                (first, self.lead())
            };
            let planner = Planner { spin: margin, margin, ..self.settings.planner(margin, margin) };
            until = match planner.step(now, moment, None) {
                Step::Sleep(sleep) => saturating_add(at, sleep),
                // It became due between two readings: look again at once.
                Step::Passed | Step::Spin(_) => at,
                Step::Impossible { .. } => until,
            };
        }
        queue.first_deadline().map_or(until, |deadline| until.min(deadline))
    }

    /// If the clock has stopped, all waits are woken now and then. Each decides by
    /// itself whether its patience is over.
    fn wake_stalled(
        &self,
        queue: &WaitQueue,
        stalled: Duration,
        at: Instant,
        woke_all: &mut Instant,
    ) -> Vec<Waker> {
        let patience = self.settings.patience;
        let pause = (patience / 2).max(Duration::from_millis(1));
        if stalled < patience || at - *woke_all < pause {
            return Vec::new();
        }
        *woke_all = at;
        queue.wakers().collect()
    }
}
