//! [`WallWatch`]: steps and suspends, seen by comparing a wall clock with a monotonic clock.
//!
//! # The problem
//!
//! Linux has `CLOCK_BOOTTIME`, which counts suspends, and slews `CLOCK_MONOTONIC` together
//! with the wall clock. So a suspend and a step each show in a difference of two clocks,
//! exactly. Other systems have other clocks, and std shows two of them: the wall clock, and
//! an [`Instant`](std::time::Instant) that may stand still in a suspend (macOS) or go on
//! (Windows), and that may be slewed with the wall clock (FreeBSD) or not.
//!
//! # The naive fix, and why it fails
//!
//! A step is a change of the difference of the two. But on a system that slews only one of
//! them the difference changes all the time, and each reading would be a step.
//!
//! # The insight
//!
//! A slew is slow. So a change of the difference is a slew if it is smaller than
//! [`NOISE_NS`] and what [`SLEW_PPM`] makes of the time since the last look. A larger
//! change is a jump:
//!
//! - **backwards**: the wall clock was stepped back. No suspend looks like this.
//! - **forwards**: the wall clock was stepped, or the monotonic clock stood still while the
//!   machine was suspended. The two cannot be told apart. A suspend is the worse one,
//!   because the counter may have stood still and then nothing known from before holds.
//!   So a jump forwards counts as a suspend.
//!
//! From this it makes the two clocks that are missing. `CLOCK_MONOTONIC` is the wall clock
//! without its jumps, and `CLOCK_BOOTTIME` is that plus all jumps forwards. Then everything
//! above asks the same questions as on Linux.
//!
//! # What it cannot see
//!
//! A suspend shorter than the allowance (1.05 ms between two looks that are 100 ms apart,
//! 1.8 s if they are an hour apart), and a suspend that somebody hides by setting the wall
//! clock back by just as much before the next look.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::{HostClock, ProcessKey};

/// A change of the difference below this is a delay of the reading, or a slew.
const NOISE_NS: i64 = 1_000_000;

/// How fast a wall clock may be slewed, in ppm: NTP's limit. A faster slew counts as a jump,
/// which is safe.
const SLEW_PPM: i64 = 500;

/// A reading wider than this does not become the one that later ones are compared with.
const NARROW_NS: i64 = 100_000;

/// How many times in all the clocks are read for a narrow reading.
const ATTEMPTS: usize = 4;

/// The two clocks that every system has.
pub(crate) trait TwoClocks {
    /// Nanoseconds since 1970, in Unix time.
    fn wall_ns(&self) -> i64;

    /// Nanoseconds since some moment. It never goes backwards.
    fn monotonic_ns(&self) -> i64;
}

/// The wall clock, read between two reads of the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Look {
    before_ns: i64,
    wall_ns: i64,
    after_ns: i64,
}

impl Look {
    /// The first narrow look of a few, or the last one.
    fn take(clocks: &impl TwoClocks) -> Look {
        let once = || Look {
            before_ns: clocks.monotonic_ns(),
            wall_ns: clocks.wall_ns(),
            after_ns: clocks.monotonic_ns(),
        };
        let mut look = once();
        for _ in 1..ATTEMPTS {
            if look.is_narrow() {
                break;
            }
            look = once();
        }
        look
    }

    fn is_narrow(&self) -> bool {
        self.after_ns.saturating_sub(self.before_ns) <= NARROW_NS
    }

    /// Wall clock − monotonic clock is within these two.
    fn difference(&self) -> (i64, i64) {
        (self.wall_ns.saturating_sub(self.after_ns), self.wall_ns.saturating_sub(self.before_ns))
    }
}

/// What is known from all looks so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    /// The difference of the clocks at the look that the next one is compared with.
    difference: (i64, i64),
    /// The monotonic clock at that look.
    at_ns: i64,
    /// The wall clock less this is the wall clock without jumps.
    base_ns: i64,
    /// The sum of all jumps forwards, each rounded up.
    forwards_ns: i64,
}

impl Known {
    /// The first look, after jumps of `forwards_ns` that were seen before.
    fn first(look: &Look, forwards_ns: i64) -> Known {
        let difference = look.difference();
        Known { difference, at_ns: look.after_ns, base_ns: difference.0, forwards_ns }
    }

    /// What is known after one more look.
    fn after(self, look: &Look) -> Known {
        let Some(elapsed) = look.before_ns.checked_sub(self.at_ns).filter(|&ns| ns >= 0) else {
            return self; // another thread has looked later
        };
        let allowance = NOISE_NS.saturating_add(elapsed / 1_000_000 * SLEW_PPM);
        let difference = look.difference();
        let least = difference.0.saturating_sub(self.difference.1);
        let most = difference.1.saturating_sub(self.difference.0);
        let seen = Known { difference, at_ns: look.after_ns, ..self };
        if least > allowance {
            let base_ns = self.base_ns.saturating_add(least);
            Known { base_ns, forwards_ns: self.forwards_ns.saturating_add(most), ..seen }
        } else if most < -allowance {
            Known { base_ns: self.base_ns.saturating_add(most), ..seen }
        } else if look.is_narrow() {
            seen
        } else {
            self
        }
    }
}

/// What all threads of a process know together.
///
/// The lock belongs to a process and not to a thread. The child of a `fork` may inherit it
/// from a thread that does not exist there, and takes it then.
#[derive(Debug)]
pub(crate) struct WallWatch {
    /// The process that holds the lock, or [`FREE`].
    owner: AtomicU64,
    /// [`Known`], word by word; the reference is at [`NEVER`] before the first look.
    at_ns: AtomicI64,
    difference: (AtomicI64, AtomicI64),
    base_ns: AtomicI64,
    forwards_ns: AtomicI64,
}

const FREE: u64 = 0;
const NEVER: i64 = i64::MIN;

impl WallWatch {
    pub(crate) const fn new() -> WallWatch {
        WallWatch {
            owner: AtomicU64::new(FREE),
            at_ns: AtomicI64::new(NEVER),
            difference: (AtomicI64::new(0), AtomicI64::new(0)),
            base_ns: AtomicI64::new(0),
            forwards_ns: AtomicI64::new(0),
        }
    }

    /// One of the host's clocks, made from these two. `None` if it cannot be made.
    ///
    /// `MonotonicRaw` and `Realtime` take no lock, because readers of a clock ask for them.
    pub(crate) fn nanos(
        &self,
        clock: HostClock,
        clocks: &impl TwoClocks,
        process: ProcessKey,
    ) -> Option<i64> {
        match clock {
            HostClock::Realtime => Some(clocks.wall_ns()),
            HostClock::RealtimeCoarse => None,
            HostClock::MonotonicRaw => Some(clocks.monotonic_ns()),
            HostClock::Monotonic => {
                let (look, known) = self.look(clocks, process);
                Some(look.wall_ns.saturating_sub(known.base_ns))
            }
            HostClock::Boottime => {
                let (look, known) = self.look(clocks, process);
                let monotonic_ns = look.wall_ns.saturating_sub(known.base_ns);
                Some(monotonic_ns.saturating_add(known.forwards_ns))
            }
        }
    }

    fn look(&self, clocks: &impl TwoClocks, process: ProcessKey) -> (Look, Known) {
        let was_lost = self.lock(process);
        let look = Look::take(clocks);
        let known = match self.load() {
            // The words may be half of one look and half of another. A suspend is the safe
            // conclusion: the clock of the child begins anew.
            Some(known) if was_lost => {
                Known::first(&look, known.forwards_ns.saturating_add(2 * NOISE_NS))
            }
            Some(known) => known.after(&look),
            None => Known::first(&look, 0),
        };
        self.store(&known);
        // Released for the thread that takes the lock next.
        self.owner.store(FREE, Ordering::Release);
        (look, known)
    }

    /// Takes the lock. `true` if it was held by a thread that a fork left behind.
    fn lock(&self, process: ProcessKey) -> bool {
        let process = process.number();
        loop {
            // Acquire pairs with the release in `look`.
            let free =
                self.owner.compare_exchange(FREE, process, Ordering::Acquire, Ordering::Relaxed);
            match free {
                Ok(_) => return false,
                Err(holder) if holder == process => std::thread::yield_now(),
                Err(lost) => {
                    let (order, failed) = (Ordering::Acquire, Ordering::Relaxed);
                    if self.owner.compare_exchange(lost, process, order, failed).is_ok() {
                        return true;
                    }
                }
            }
        }
    }

    fn load(&self) -> Option<Known> {
        let word = |word: &AtomicI64| word.load(Ordering::Relaxed);
        let at_ns = word(&self.at_ns);
        (at_ns != NEVER).then(|| Known {
            at_ns,
            difference: (word(&self.difference.0), word(&self.difference.1)),
            base_ns: word(&self.base_ns),
            forwards_ns: word(&self.forwards_ns),
        })
    }

    fn store(&self, known: &Known) {
        self.at_ns.store(known.at_ns, Ordering::Relaxed);
        self.difference.0.store(known.difference.0, Ordering::Relaxed);
        self.difference.1.store(known.difference.1, Ordering::Relaxed);
        self.base_ns.store(known.base_ns, Ordering::Relaxed);
        self.forwards_ns.store(known.forwards_ns, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const MS: i64 = 1_000_000;
    const SECOND: i64 = 1_000 * MS;
    const HOUR: i64 = 3_600 * SECOND;

    fn process() -> ProcessKey {
        ProcessKey::simulated(1)
    }

    /// A wall clock and a monotonic clock that a test moves; a read takes `cost`.
    struct Clocks {
        wall: Cell<i64>,
        monotonic: Cell<i64>,
        cost: Cell<i64>,
    }

    impl Clocks {
        fn new() -> Clocks {
            let (wall, monotonic) = (Cell::new(1_700_000_000 * SECOND), Cell::new(HOUR));
            Clocks { wall, monotonic, cost: Cell::new(100) }
        }

        fn pass(&self, wall: i64, monotonic: i64) {
            self.wall.set(self.wall.get() + wall);
            self.monotonic.set(self.monotonic.get() + monotonic);
        }
    }

    impl TwoClocks for Clocks {
        fn wall_ns(&self) -> i64 {
            self.pass(self.cost.get(), self.cost.get());
            self.wall.get()
        }

        fn monotonic_ns(&self) -> i64 {
            self.pass(self.cost.get(), self.cost.get());
            self.monotonic.get()
        }
    }

    /// `CLOCK_BOOTTIME - CLOCK_MONOTONIC` and `CLOCK_REALTIME - CLOCK_MONOTONIC`, to 1 µs.
    fn differences(watch: &WallWatch, clocks: &Clocks) -> (i64, i64) {
        let read = |clock| watch.nanos(clock, clocks, process()).expect("made of the two");
        let boot = read(HostClock::Boottime);
        let monotonic = read(HostClock::Monotonic);
        let wall = read(HostClock::Realtime);
        ((boot - monotonic + 500) / 1_000 * 1_000, (wall - monotonic + 500) / 1_000 * 1_000)
    }

    #[test]
    fn a_jump_is_told_from_a_slew_and_its_direction_says_what_it_may_have_been() {
        let cases = [
            // the wall clock's advance, the monotonic clock's, is it a suspend, is it a step
            ("time passes", 100 * MS, 100 * MS, false, false),
            ("a slew by 500 ppm", 100 * MS + 50_000, 100 * MS, false, false),
            ("a slew the other way", 100 * MS - 50_000, 100 * MS, false, false),
            ("a slew for an hour", HOUR + HOUR / 2_000, HOUR, false, false),
            ("a short suspend", 1_100 * MS, 100 * MS, true, true),
            ("a long suspend", 8 * HOUR, 0, true, true),
            ("a suspend that the monotonic clock counts", 8 * HOUR, 8 * HOUR, false, false),
            ("a step forwards", 105 * MS, 100 * MS, true, true),
            ("a step backwards", 95 * MS, 100 * MS, false, true),
            ("a step to last year", -8_000 * HOUR, 100 * MS, false, true),
        ];
        for (what, wall, monotonic, is_suspend, is_step) in cases {
            let (watch, clocks) = (WallWatch::new(), Clocks::new());
            let before = differences(&watch, &clocks);
            clocks.pass(wall, monotonic);
            let after = differences(&watch, &clocks);
            assert_eq!(after.0 != before.0, is_suspend, "{what}: {before:?}, {after:?}");
            assert_eq!(after.1 != before.1, is_step, "{what}: {before:?}, {after:?}");
            let (suspended, jump) = (after.0 - before.0, wall - monotonic);
            if is_suspend {
                assert!((jump..jump + 2_000).contains(&suspended), "{what}: {suspended}");
            }
            assert_eq!(differences(&watch, &clocks), after, "{what}: once");
        }
    }

    #[test]
    fn slews_do_not_add_up_to_a_jump() {
        let (watch, clocks) = (WallWatch::new(), Clocks::new());
        let before = differences(&watch, &clocks);
        for _ in 0..100_000 {
            clocks.pass(100 * MS + 50_000, 100 * MS);
            assert_eq!(differences(&watch, &clocks), before);
        }
    }

    #[test]
    fn a_thread_that_is_interrupted_in_every_look_neither_sees_nor_forgets_a_jump() {
        let (watch, clocks) = (WallWatch::new(), Clocks::new());
        let before = differences(&watch, &clocks).0;
        clocks.cost.set(20 * MS);
        clocks.pass(15 * MS, 0);
        watch.nanos(HostClock::Monotonic, &clocks, process());
        clocks.cost.set(100);
        let suspended = differences(&watch, &clocks).0 - before;
        assert!((15 * MS..16 * MS).contains(&suspended), "{suspended}");
    }

    #[test]
    fn an_older_look_changes_nothing() {
        let look = |ns: i64| Look { before_ns: ns, wall_ns: ns, after_ns: ns };
        let known = Known::first(&look(SECOND), 0);
        assert_eq!(known.after(&Look { wall_ns: -HOUR, ..look(0) }), known);
        let extreme = Look { before_ns: i64::MAX, wall_ns: i64::MIN, after_ns: i64::MAX };
        assert_eq!(known.after(&extreme).forwards_ns, 0, "nothing overflows");
    }

    #[test]
    fn a_child_whose_parent_was_in_the_middle_of_a_look_counts_a_suspend() {
        let (watch, clocks) = (WallWatch::new(), Clocks::new());
        let before = differences(&watch, &clocks);
        let child = ProcessKey::simulated(2);
        watch.lock(process());
        let boot =
            watch.nanos(HostClock::Boottime, &clocks, child).expect("the lock is taken over");
        let monotonic = watch.nanos(HostClock::Monotonic, &clocks, child).expect("and free again");
        assert!(boot - monotonic > before.0 + NOISE_NS);
    }
}
