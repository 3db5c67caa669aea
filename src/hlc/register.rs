//! [`Register`]: the words that threads share. No lock, and one atomic change a stamp.
//!
//! Everything is in the 64 bits of a [`Stamp`](super::Stamp): larger is later.
//!
//! # Why no stamp is issued twice
//!
//! Ordinary stamps are new values of `last`, put there by compare-and-swap, and
//! commit stamps are new values of `commits`. Each word only grows, so neither
//! kind repeats. But the two kinds could meet: a commit stamp is ahead of true
//! time, and some nanoseconds later an ordinary stamp may come by. So commit
//! stamps are odd, and while one is outstanding ordinary stamps are even. What
//! remains is the race of a commit and a stamp that know nothing of each other.
//! There one of the two is thrown away and taken again, which is always safe:
//!
//! 1. The stamper swaps `last` to `n` [S1], then looks at `commits` [S2]. It
//!    throws `n` away if `n` is odd and not above what it sees.
//! 2. The committer swaps `commits` to `s` [C1], then looks at `last` [C2] with
//!    a read-modify-write. It throws `s` away if `last` has reached it.
//! 3. [S1] and [C2] change the same word, so one comes first. If it is [S1],
//!    then [C2] sees `n`. If it is [C2], then [S1] reads from it (or from what
//!    followed it), so [C1] happened before [S2], which sees `s`. Either way
//!    one of the two throws away, if `n == s`.
//!
//! A plain load at [C2] would not do, whatever its ordering short of a full
//! fence: that variant is kept below, and loom finds the stamp issued twice.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A cache line (two of them: processors fetch pairs) to itself.
#[repr(align(128))]
#[derive(Debug)]
struct Alone<T>(T);

/// What the threads of one node share.
#[derive(Debug)]
pub(super) struct Register {
    /// The greatest stamp issued or observed. Every stamp writes it.
    last: Alone<AtomicU64>,
    /// The greatest commit stamp issued. Ordinary stamps only look at it.
    commits: Alone<AtomicU64>,
    limits: Alone<Limits>,
}

/// Written seldom, read at every stamp.
#[derive(Debug)]
struct Limits {
    /// Up to here the mark on disk is ahead of what was issued.
    reserved: AtomicU64,
    /// From here it is time to raise it.
    renew_at: AtomicU64,
    /// True time may not have reached this, though nothing below it may be issued.
    unsettled: AtomicU64,
    /// How many stamps were counted beyond a `latest` that stood still.
    carried: AtomicU64,
}

impl Register {
    /// A register that issues nothing up to `floor`, and whose stamps are on no disk.
    pub(super) fn new(floor: u64) -> Register {
        let no_limit = || AtomicU64::new(u64::MAX);
        Register {
            last: Alone(AtomicU64::new(floor)),
            commits: Alone(AtomicU64::new(0)),
            limits: Alone(Limits {
                reserved: no_limit(),
                renew_at: no_limit(),
                unsettled: AtomicU64::new(floor),
                carried: AtomicU64::new(0),
            }),
        }
    }

    /// The short way: `physical` itself, where that is above all that was issued.
    ///
    /// No other check is needed: what is no later than true time is neither
    /// ahead of it nor poisoned, whatever went before.
    #[inline]
    pub(super) fn take(&self, physical: u64) -> Option<u64> {
        let last = self.last.0.load(Ordering::Relaxed);
        if physical > last && physical <= self.renew_at() && !self.may_be_a_commit(physical) {
            return self.step(last, physical);
        }
        None
    }

    /// `next`, or the number beside it if `next` may be a commit stamp. The one
    /// below where it will do: that is no further ahead.
    pub(super) fn evade(&self, last: u64, next: u64) -> Option<u64> {
        if !self.may_be_a_commit(next) {
            Some(next)
        } else if next - 1 > last {
            Some(next - 1)
        } else {
            next.checked_add(1)
        }
    }

    #[inline]
    fn may_be_a_commit(&self, stamp: u64) -> bool {
        stamp % 2 == 1 && stamp <= self.commits.0.load(Ordering::Relaxed)
    }

    /// From `last` to `next`: `None` if another thread came first, or `next` was thrown away.
    #[inline]
    pub(super) fn step(&self, last: u64, next: u64) -> Option<u64> {
        // [S1], pairs with [C2]. Acquire, for [S2]; Release, so that who sees the
        // stamp sees `carried` and `unsettled` as they were raised for it.
        let swap = self.last.0.compare_exchange(last, next, Ordering::AcqRel, Ordering::Relaxed);
        swap.ok()?;
        // [S2]. Whoever came here avoided the commit stamps there were before.
        if self.may_be_a_commit(next) { None } else { Some(next) }
    }

    /// The commit stamp that follows these: odd, and at least `latest`.
    pub(super) fn commit_after(last: u64, commits: u64, latest: u64) -> Option<u64> {
        Some(latest.max(last.max(commits).checked_add(1)?) | 1)
    }

    /// Issues a commit stamp. `None` if another thread came first, or it was
    /// thrown away. It was made by `commit_after` of this `last` and `commits`.
    pub(super) fn commit(&self, last: u64, commits: u64, stamp: u64) -> Option<u64> {
        let swap =
            self.commits.0.compare_exchange(commits, stamp, Ordering::AcqRel, Ordering::Relaxed); // [C1]
        swap.ok()?;
        // [C2], pairs with [S1]. It changes nothing: `last` is there already.
        (self.last.0.fetch_max(last, Ordering::AcqRel) < stamp).then_some(stamp)
    }

    /// From now on every stamp is above `reached`.
    pub(super) fn join(&self, reached: u64) {
        self.last.0.fetch_max(reached, Ordering::AcqRel);
    }

    /// The greatest stamp so far. What was raised for it is seen after this.
    pub(super) fn last(&self) -> u64 {
        self.last.0.load(Ordering::Acquire) // pairs with [S1]
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.0.load(Ordering::Acquire)
    }

    /// Whether a register `beyond` its `latest` is so by counting alone, and if
    /// so, makes a note that it will count `steps` further.
    ///
    /// A clock that stands still (a scripted one, a simulated instant) leaves no
    /// choice but to count on. Each step is noted *before* its stamp can be
    /// seen, so a register further out than that was put there by something else.
    pub(super) fn carry(&self, beyond: u64, steps: u64) -> bool {
        let explained = beyond <= self.carried();
        if explained && steps > 0 {
            self.limits.0.carried.fetch_add(steps, Ordering::Relaxed);
        }
        explained
    }

    /// How far the register may be beyond `latest` by counting alone.
    pub(super) fn carried(&self) -> u64 {
        self.limits.0.carried.load(Ordering::Relaxed)
    }

    pub(super) fn unsettled(&self) -> u64 {
        self.limits.0.unsettled.load(Ordering::Relaxed)
    }

    /// To be called before `step` to a stamp that true time may not have reached.
    pub(super) fn unsettle(&self, stamp: u64) {
        self.limits.0.unsettled.fetch_max(stamp, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn renew_at(&self) -> u64 {
        self.limits.0.renew_at.load(Ordering::Acquire) // pairs with [D1]
    }

    pub(super) fn reserved(&self) -> u64 {
        self.limits.0.reserved.load(Ordering::Acquire) // pairs with [D1]
    }

    /// Stamps up to `reserved` are covered by the disk: to be called once they are.
    pub(super) fn cover(&self, reserved: u64, renew_at: u64) {
        self.limits.0.reserved.store(reserved, Ordering::Release); // [D1]
        self.limits.0.renew_at.store(renew_at, Ordering::Release); // [D1]
    }

    /// Back to `floor`, whatever was issued.
    pub(super) fn reset(&self, floor: u64) {
        self.last.0.store(floor, Ordering::Release);
        self.commits.0.store(0, Ordering::Release);
        self.limits.0.unsettled.store(0, Ordering::Release);
        self.limits.0.carried.store(0, Ordering::Release);
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    type Take = fn(&Register, u64) -> Option<u64>;

    /// The short way, and where it is closed the next number.
    fn stamp(register: &Register, physical: u64) -> Option<u64> {
        register.take(physical).or_else(|| {
            let last = register.last();
            register.step(last, physical.max(last + 1))
        })
    }

    /// [`stamp`] with a load and a store in place of the compare-and-swap.
    fn stamp_without_the_swap(register: &Register, physical: u64) -> Option<u64> {
        let next = physical.max(register.last() + 1);
        register.last.0.store(next, Ordering::Release);
        Some(next)
    }

    fn two_stampers(take: Take) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let shared = register.clone();
            let other = thread::spawn(move || [take(&shared, 10), take(&shared, 11)]);
            let mine = [take(&register, 10), take(&register, 12)];
            let theirs = other.join().expect("no panic");
            let issued =
                |stamps: [Option<u64>; 2]| stamps.into_iter().flatten().collect::<Vec<_>>();
            let (mine, theirs) = (issued(mine), issued(theirs));
            assert!(mine.is_sorted_by(|a, b| a < b), "went back: {mine:?}");
            assert!(theirs.is_sorted_by(|a, b| a < b), "went back: {theirs:?}");
            assert!(mine.iter().all(|stamp| !theirs.contains(stamp)), "twice: {mine:?} {theirs:?}");
        });
    }

    #[test]
    fn loom_no_stamp_is_issued_twice() {
        two_stampers(stamp);
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn loom_without_the_swap_a_stamp_is_issued_twice() {
        two_stampers(stamp_without_the_swap);
    }

    type Commit = fn(&Register, u64, u64, u64) -> Option<u64>;

    /// [`Register::commit`] with a load at [C2].
    fn commit_with_a_load(r: &Register, _: u64, commits: u64, stamp: u64) -> Option<u64> {
        let swap =
            r.commits.0.compare_exchange(commits, stamp, Ordering::AcqRel, Ordering::Relaxed);
        swap.ok()?;
        (r.last.0.load(Ordering::Acquire) < stamp).then_some(stamp)
    }

    /// The interval is one moment, 11: the hardest case for the two kinds to stay apart.
    fn stamper_and_committer(commit: Commit) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let shared = register.clone();
            let committer = thread::spawn(move || {
                let (last, commits) = (shared.last(), shared.commits());
                let stamp = Register::commit_after(last, commits, 11).expect("far from the end");
                commit(&shared, last, commits, stamp)
            });
            let ordinary = [stamp(&register, 11), stamp(&register, 11)];
            if let Some(committed) = committer.join().expect("no panic") {
                assert!(!ordinary.contains(&Some(committed)), "twice: {committed}");
            }
        });
    }

    #[test]
    fn loom_a_commit_stamp_is_no_ordinary_stamp() {
        stamper_and_committer(Register::commit);
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn loom_with_a_load_in_the_committer_a_stamp_is_issued_twice() {
        stamper_and_committer(commit_with_a_load);
    }

    fn stamper_and_receiver(join: fn(&Register, u64)) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let shared = register.clone();
            let stamper = thread::spawn(move || stamp(&shared, 20));
            join(&register, 10);
            let after = register.last();
            assert!(after >= 10, "the observed stamp was lost: {after}");
            let Some(issued) = stamper.join().expect("no panic") else { return };
            let next = stamp(&register, 5).expect("nobody else is there");
            assert!(next > issued.max(10), "went back: {next} after {issued}");
        });
    }

    /// [`Register::join`] with a load and a store.
    fn join_with_a_store(register: &Register, reached: u64) {
        if register.last() < reached {
            register.last.0.store(reached, Ordering::Release);
        }
    }

    #[test]
    fn loom_an_observed_stamp_never_takes_the_register_back() {
        stamper_and_receiver(Register::join);
    }

    #[test]
    #[should_panic(expected = "went back")]
    fn loom_with_a_store_an_observed_stamp_takes_the_register_back() {
        stamper_and_receiver(join_with_a_store);
    }

    /// Counts on from a clock that stands at 10, exactly. `false`: taken for poisoned.
    fn count_on(register: &Register, swap_first: bool) -> bool {
        let last = register.last();
        if swap_first && register.step(last, last + 1).is_none() {
            return true;
        }
        let explained = register.carry(last - 10, 1);
        if !swap_first {
            register.step(last, last + 1);
        }
        explained
    }

    fn two_who_count_on(swap_first: bool) {
        loom::model(move || {
            let register = Arc::new(Register::new(10));
            let shared = register.clone();
            let other = thread::spawn(move || count_on(&shared, swap_first));
            let mine = count_on(&register, swap_first);
            let theirs = other.join().expect("no panic");
            assert!(mine && theirs, "falsely poisoned");
        });
    }

    #[test]
    fn loom_who_counts_on_is_not_taken_for_poisoned() {
        two_who_count_on(false);
    }

    #[test]
    #[should_panic(expected = "falsely poisoned")]
    fn loom_counted_after_the_swap_it_is_taken_for_poisoned() {
        two_who_count_on(true);
    }

    /// A renewal on one thread, stamps on another; the disk is a word.
    fn renewer_and_stamper(disk_first: bool) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let disk = Arc::new(AtomicU64::new(5));
            register.cover(5, 5);
            let (shared, written) = (register.clone(), disk.clone());
            let renewer = thread::spawn(move || {
                if disk_first {
                    written.store(20, Ordering::Relaxed);
                    shared.cover(20, 20);
                } else {
                    shared.cover(20, 20);
                    written.store(20, Ordering::Relaxed);
                }
            });
            if let Some(stamp) = register.take(10) {
                let covered = disk.load(Ordering::Relaxed);
                assert!(stamp <= covered, "{stamp} is not covered by {covered}");
            }
            renewer.join().expect("no panic");
        });
    }

    #[test]
    fn loom_no_stamp_is_beyond_what_the_disk_holds() {
        renewer_and_stamper(true);
    }

    #[test]
    #[should_panic(expected = "not covered")]
    fn loom_announced_before_it_is_written_a_stamp_is_beyond_the_disk() {
        renewer_and_stamper(false);
    }
}
