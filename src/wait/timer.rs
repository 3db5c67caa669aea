//! [`Timer`]: one thread that wakes every asynchronous wait of a waiter, in order.
//!
//! The waits are kept sorted by their moments. The thread looks at the first
//! alone: it sleeps as the blocking wait does, and then wakes all that are due.
//! (A sorted map and not a binary heap: a future that is dropped takes its
//! entry out at once, wherever it is.)
//!
//! One thread a *waiter*, not a process: moments of two clocks do not compare,
//! so each needs an order of its own. It starts with the first wait and ends
//! when there has been none for a second.
//!
//! # The herald
//!
//! An executor that sleeps takes as long to wake as a thread does, some tens of
//! microseconds. If the timer spun until the moment and woke the task then, the
//! task would still be late by that. So the first task in the order, and only
//! that one, is woken early: the *herald*. It polls, yielding to the other tasks
//! in between, until its moment has passed; then it wakes what else is due, and
//! the next herald if that is near. Tasks behind the herald are woken when they
//! are due and not before, and in order. An executor that runs tasks in the
//! order in which they were woken finishes them so.
//!
//! A herald may be stuck behind a task that never yields, or be forgotten by
//! its executor. So the timer waits for it a little, and then wakes by itself
//! whatever is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::margin::Margin;
use super::outcome::WaitError;
use super::plan::{Planner, Step};
use super::sleep::FineTimer;
use super::waiter::{Core, later};
use super::watch::Watch;
use crate::clock::TrueTime;
use crate::interval::Interval;
use crate::timestamp::Timestamp;

/// How long the thread stays when there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(1);

/// A wait's place in the order. Equal moments are woken in the order of their first polls.
pub(super) type Place = (Timestamp, u64);

/// The waits of a waiter.
#[derive(Debug, Default)]
pub(super) struct Timer {
    queue: Mutex<Queue>,
    changed: Condvar,
    margin: LateWakes,
}

/// How late a task is polled after its early wake was due.
#[derive(Debug)]
struct LateWakes(Margin);

impl Default for LateWakes {
    fn default() -> LateWakes {
        LateWakes(Margin::new())
    }
}

#[derive(Debug, Default)]
struct Queue {
    waits: BTreeMap<Place, Waker>,
    deadlines: BTreeMap<(Instant, u64), Place>,
    /// Who was woken early and has not passed yet.
    herald: Option<Place>,
    /// What the thread knows of the clock. `None`: there is no thread.
    watch: Option<Watch>,
    issued: u64,
}

impl Queue {
    /// Takes out the waits that are due at `earliest`, first come first.
    fn take_due(&mut self, earliest: Timestamp) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.waits.first_entry() {
            if first.key().0 >= earliest {
                break;
            }
            due.push(first.remove());
        }
        due
    }

    /// Makes the first wait the herald, if it is no further away than `lead`.
    /// One that stands behind it loses its office.
    fn take_herald(&mut self, earliest: Timestamp, lead: Duration) -> Option<Waker> {
        let (&place, waker) = self.waits.first_key_value()?;
        let near = !lead.is_zero() && place.0 <= earliest.saturating_add(lead);
        if !near || self.herald.is_some_and(|herald| herald <= place) {
            return None;
        }
        self.herald = Some(place);
        Some(waker.clone())
    }

    /// Whether the first wait is the herald's, who sees to it that it is woken.
    fn is_heralded(&self) -> bool {
        self.waits.first_key_value().is_some_and(|(&first, _)| self.herald == Some(first))
    }

    /// The wakers of those whose deadline has come. They stay: they may be due as well.
    fn take_expired(&mut self, at: Instant) -> Vec<Waker> {
        let mut expired = Vec::new();
        while let Some(first) = self.deadlines.first_entry() {
            if first.key().0 > at {
                break;
            }
            let place = first.remove();
            expired.extend(self.waits.get(&place).cloned());
        }
        expired
    }
}

impl<C: TrueTime> Core<C> {
    /// How early a herald is woken.
    pub(super) fn lead(&self) -> Duration {
        self.timer.margin.0.get().min(self.settings.spin)
    }

    /// A herald was polled for the first time with `left` to go, or `over` too late.
    pub(super) fn learn(&self, left: Duration, over: Duration) {
        let late = self.lead().saturating_sub(left).saturating_add(over);
        self.timer.margin.0.learn(late, self.settings.spin);
    }

    /// Takes a place in the order, with a deadline if there is one. `true`: it is
    /// so near and so far in front that it is the herald from the start.
    pub(super) fn enter(
        &self,
        t: Timestamp,
        deadline: Option<Instant>,
        waker: &Waker,
        now: Option<Interval>,
    ) -> (Place, bool) {
        let waker = waker.clone();
        let mut queue = self.timer.queue.lock();
        queue.issued += 1;
        let place = (t, queue.issued);
        queue.waits.insert(place, waker);
        if let Some(deadline) = deadline {
            queue.deadlines.insert((deadline, place.1), place);
        }
        // Only what comes first changes what the thread is to do.
        let first = queue.waits.first_key_value().is_some_and(|(&first, _)| first == place);
        let soonest = deadline.is_some_and(|deadline| {
            queue.deadlines.first_key_value().is_some_and(|(&key, _)| key == (deadline, place.1))
        });
        if first || soonest {
            self.timer.changed.notify_one();
        }
        let near = |now: Interval| queue.take_herald(now.earliest(), self.settings.spin);
        let is_herald = first && now.and_then(near).is_some();
        (place, is_herald)
    }

    /// Replaces the waker of a wait that has kept its place. `false`: it was woken and has none.
    pub(super) fn renew(&self, place: Place, waker: &Waker) -> bool {
        let mut waker = waker.clone();
        let mut queue = self.timer.queue.lock();
        let kept = queue.waits.get_mut(&place);
        let found = kept.is_some();
        if let Some(kept) = kept {
            std::mem::swap(kept, &mut waker);
        }
        // To drop a waker may drop its task, and with it other waits of this
        // queue: so wakers are dropped after the lock is let go.
        drop(queue);
        found
    }

    /// Gives a place back: its future is done, or dropped. `succeeded` if it is
    /// about to call `wake_due`: then the thread need not be woken, which takes
    /// microseconds, and may look again when it meant to.
    pub(super) fn leave(&self, place: Place, deadline: Option<Instant>, succeeded: bool) {
        let mut queue = self.timer.queue.lock();
        let removed = queue.waits.remove(&place);
        if let Some(deadline) = deadline {
            queue.deadlines.remove(&(deadline, place.1));
        }
        if queue.herald == Some(place) {
            queue.herald = None;
            if !succeeded && !queue.waits.is_empty() {
                self.timer.changed.notify_one(); // whoever comes next needs one
            }
        }
        drop(queue);
        drop(removed); // see `renew`
    }

    pub(super) fn is_herald(&self, place: Place) -> bool {
        self.timer.queue.lock().herald == Some(place)
    }

    /// Wakes what is due, in order, and early the next one if it is near.
    pub(super) fn wake_due(&self, earliest: Timestamp) {
        let mut queue = self.timer.queue.lock();
        let mut wakers = queue.take_due(earliest);
        wakers.extend(queue.take_herald(earliest, self.lead()));
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For how long the clock has given nothing new, as far as the thread knows.
    pub(super) fn silent(&self, at: Instant) -> Duration {
        let queue = self.timer.queue.lock();
        queue.watch.as_ref().map_or(Duration::ZERO, |watch| watch.silent(at))
    }

    /// How many waits have a place.
    pub(super) fn pending(&self) -> usize {
        self.timer.queue.lock().waits.len()
    }
}

/// If a clock or a waker panics, the thread ends and every wait is woken: each
/// looks at the clock itself, and the first to be polled starts another thread.
struct LastWords<'a, C>(&'a Core<C>);

impl<C> Drop for LastWords<'_, C> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut queue = self.0.timer.queue.lock();
            queue.watch = None;
            let wakers: Vec<_> = queue.waits.values().cloned().collect();
            drop(queue);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl<C: TrueTime + Send + Sync + 'static> Core<C> {
    /// Starts the thread if there is none.
    pub(super) fn start(core: &Arc<Core<C>>) -> Result<(), WaitError> {
        let mut queue = core.timer.queue.lock();
        if queue.watch.is_some() {
            return Ok(());
        }
        let shared = core.clone();
        thread::Builder::new()
            .name("truechimer-wait".into())
            .spawn(move || shared.run())
            .map_err(|error| WaitError::Thread(error.kind()))?;
        queue.watch = Some(Watch::new(Instant::now()));
        Ok(())
    }

    /// The thread: until there has been nothing to wait for a while.
    fn run(&self) {
        let _fine = FineTimer::new();
        let _last_words = LastWords(self);
        let mut idle_since = None;
        // When everybody was last woken to look at a clock that gets nowhere.
        let mut roused = Instant::now();
        loop {
            let mut queue = self.timer.queue.lock();
            let at = Instant::now();
            if queue.waits.is_empty() {
                let since = *idle_since.get_or_insert(at);
                if at - since >= IDLE {
                    queue.watch = None;
                    return;
                }
                self.timer.changed.wait_until(&mut queue, later(since, IDLE));
                continue;
            }
            idle_since = None;
            let answer = self.clock.now();
            let Queue { watch: Some(watch), .. } = &mut *queue else { return };
            watch.saw(answer.map(|now| now.earliest()), at);
            let mut wakers = queue.take_expired(at);
            if let Ok(now) = answer {
                // A herald that is only just due is about to do this itself.
                let stuck = queue
                    .herald
                    .is_some_and(|(t, _)| t.saturating_add(self.grace()) < now.earliest());
                if !queue.is_heralded() || stuck {
                    wakers.extend(queue.take_due(now.earliest()));
                }
                wakers.extend(queue.take_herald(now.earliest(), self.lead()));
            }
            wakers.extend(self.rouse(&queue, at, &mut roused));
            if wakers.is_empty() {
                let until = self.next_look(&queue, answer.ok(), at);
                self.timer.changed.wait_until(&mut queue, until);
            } else {
                drop(queue);
                wakers.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// How long a herald has to do its work before the thread does it.
    fn grace(&self) -> Duration {
        self.lead().max(Duration::from_micros(50))
    }

    /// Until when nothing is to do, unless something changes.
    fn next_look(&self, queue: &Queue, now: Option<Interval>, at: Instant) -> Instant {
        let relook = self.settings.relook.max(Duration::from_micros(1));
        let mut until = later(at, relook);
        if let (Some(now), Some((&(first, _), _))) = (now, queue.waits.first_key_value()) {
            let (moment, margin) = if queue.is_heralded() {
                (first.saturating_add(self.grace()), Duration::ZERO)
            } else {
                (first, self.lead())
            };
            let planner = Planner { spin: margin, margin, ..self.settings.planner(margin, margin) };
            until = match planner.step(now, moment, None) {
                Step::Sleep(sleep) => later(at, sleep),
                // It became due between two readings: look again at once.
                Step::Passed | Step::Spin(_) => at,
                Step::Impossible { .. } => until,
            };
        }
        match queue.deadlines.first_key_value() {
            Some((&(deadline, _), _)) => until.min(deadline),
            None => until,
        }
    }

    /// If the clock gets nowhere, everybody is woken now and then: each has its
    /// own patience, and only its future knows it.
    fn rouse(&self, queue: &Queue, at: Instant, roused: &mut Instant) -> Vec<Waker> {
        let patience = self.settings.patience;
        let silent = queue.watch.as_ref().map_or(Duration::ZERO, |watch| watch.silent(at));
        let pause = (patience / 2).max(Duration::from_millis(1));
        if silent < patience || at - *roused < pause {
            return Vec::new();
        }
        *roused = at;
        queue.waits.values().cloned().collect()
    }
}
