//! [`Register`]: the words that the threads of a node share. There is no lock, and each
//! stamp costs one atomic change.
//!
//! Every word holds the 64 bits of a [`Stamp`](super::Stamp), so larger is later.
//!
//! # Why no stamp is issued twice
//!
//! An ordinary stamp is a new value of `last`, set by compare-and-swap. A commit stamp is
//! a new value of `commits`. Each word only grows, so neither kind repeats. But the two
//! kinds could meet: a commit stamp is ahead of true time, and some nanoseconds later an
//! ordinary stamp may reach its value. So commit stamps are odd, and ordinary stamps are
//! even while a commit is outstanding. What remains is a race between a commit and an
//! ordinary stamp that do not see each other. Then one of the two is discarded and taken
//! again, which is always safe:
//!
//! 1. The thread that takes an ordinary stamp swaps `last` to `n` [S1], then reads
//!    `commits` [S2]. It discards `n` if `n` is odd and not above what it reads.
//! 2. The thread that takes a commit stamp swaps `commits` to `s` [C1], then reads `last`
//!    [C2] with a read-modify-write. It discards `s` if `last` has reached it.
//! 3. [S1] and [C2] change the same word, so one of them is first. If [S1] is first, then
//!    [C2] sees `n`. If [C2] is first, then [S1] reads from it (or from a later change),
//!    so [C1] happened before [S2], which sees `s`. So if `n == s`, at least one of the
//!    two is discarded.
//!
//! # Why no stamp is above the mark in the store
//!
//! Before a stamp is taken, it is compared with the mark. That would be enough if the mark only
//! grew, but an operator may take it back, together with `last`. A thread that was compared before
//! and swaps after that would issue a stamp above the new mark. Its swap should fail, because
//! `last` has changed. But `last` may have been set to just the number that the thread had read.
//! So each thread compares again after its swap, and discards the stamp if it is above:
//!
//! 4. The operator's thread lowers `reserved` [R1], then swaps `last` [R2] and `commits` [R3].
//! 5. If a swap [S1] or [C1] comes before that of the same word, its stamp was issued before the
//!    reset. If it comes after, it reads from that (or from a later change), so [R1]
//!    happened before the comparison, which sees the lowered mark or a later one.
//!
//! # What was tried and failed
//!
//! A plain load at [C2] is not enough, with any ordering short of a full fence. That
//! variant is kept below, and loom finds the stamp that it issues twice.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A value alone on its cache line. Two lines of 64 bytes, because processors fetch pairs.
#[repr(align(128))]
#[derive(Debug)]
struct CachePadded<T>(T);

/// The words that the threads of one node share.
#[derive(Debug)]
pub(super) struct Register {
    /// The greatest stamp issued or observed. Every stamp writes it.
    last: CachePadded<AtomicU64>,
    /// The greatest commit stamp issued. Ordinary stamps only read it.
    commits: CachePadded<AtomicU64>,
    thresholds: CachePadded<Thresholds>,
}

/// Words that are written seldom and read at every stamp.
#[derive(Debug)]
struct Thresholds {
    /// The mark on disk. Nothing above it may be issued.
    reserved: AtomicU64,
    /// Above this, it is time to raise the mark.
    renew_at: AtomicU64,
    /// Nothing up to here may be issued again, though true time may not have reached it.
    unconfirmed: AtomicU64,
    /// How many logical steps were taken beyond a `latest` that stood still.
    logical_steps: AtomicU64,
    /// The greatest commit stamp of an earlier run that is waited out in this one.
    resumed: AtomicU64,
}

impl Register {
    /// A register that issues nothing up to `floor`, and that no mark on disk limits.
    pub(super) fn new(floor: u64) -> Register {
        let no_limit = || AtomicU64::new(u64::MAX);
        Register {
            last: CachePadded(AtomicU64::new(floor)),
            commits: CachePadded(AtomicU64::new(0)),
            thresholds: CachePadded(Thresholds {
                reserved: no_limit(),
                renew_at: no_limit(),
                unconfirmed: AtomicU64::new(floor),
                logical_steps: AtomicU64::new(0),
                resumed: AtomicU64::new(0),
            }),
        }
    }

    /// The fast path: issues `physical` itself, if it is above every stamp before.
    ///
    /// It needs no other check. A stamp that is no later than true time is neither ahead
    /// of it nor poisoned, whatever was issued before.
    #[inline]
    pub(super) fn try_issue(&self, physical: u64) -> Option<u64> {
        let last = self.last.0.load(Ordering::Relaxed);
        if physical > last && physical <= self.renew_at() && !self.may_be_a_commit(physical) {
            return self.try_advance(last, physical);
        }
        None
    }

    /// `next`, or a number beside it if `next` may be a commit stamp. It prefers the number
    /// below, which is no further ahead of true time.
    pub(super) fn skip_commit(&self, last: u64, next: u64) -> Option<u64> {
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

    /// Advances from `last` to `next`. `None` if another thread was first, or if `next` was
    /// discarded.
    #[inline]
    pub(super) fn try_advance(&self, last: u64, next: u64) -> Option<u64> {
        // [S1], pairs with [C2]. Acquire for [S2]. Release so that a thread that reads the
        // stamp also reads `logical_steps` and `unconfirmed` as they were raised for it.
        let swap = self.last.0.compare_exchange(last, next, Ordering::AcqRel, Ordering::Relaxed);
        swap.ok()?;
        // [S2]. The caller avoided the commit stamps that it saw, so only a new one can match.
        if self.may_be_a_commit(next) || next > self.reserved() { None } else { Some(next) }
    }

    /// The next commit stamp after these: odd, and at least `latest`.
    pub(super) fn commit_after(last: u64, commits: u64, latest: u64) -> Option<u64> {
        Some(latest.max(last.max(commits).checked_add(1)?) | 1)
    }

    /// Issues `stamp` as a commit stamp. `None` if another thread was first, or if it was
    /// discarded. `stamp` comes from `commit_after` with the same `last` and `commits`.
    pub(super) fn try_commit(&self, last: u64, commits: u64, stamp: u64) -> Option<u64> {
        // [C1]
        let swap =
            self.commits.0.compare_exchange(commits, stamp, Ordering::AcqRel, Ordering::Relaxed);
        swap.ok()?;
        // [C2], pairs with [S1]. It does not change the value, which is at least `last` already.
        let is_alone = self.last.0.fetch_max(last, Ordering::AcqRel) < stamp;
        (is_alone && stamp <= self.reserved()).then_some(stamp)
    }

    /// Keeps ordinary stamps away from a commit stamp of an earlier run, and makes later commit
    /// stamps greater than it.
    pub(super) fn resume_commit(&self, stamp: u64) {
        if stamp % 2 == 1 {
            self.thresholds.0.resumed.fetch_max(stamp, Ordering::Relaxed);
            self.commits.0.fetch_max(stamp, Ordering::AcqRel);
        } else if stamp > self.last() {
            // Not from `commit_after`, so an ordinary stamp could equal it. None is issued until
            // it has passed.
            self.mark_unconfirmed(stamp);
            self.advance_to(stamp);
        }
    }

    /// The greatest commit stamp that was resumed.
    pub(super) fn resumed(&self) -> u64 {
        self.thresholds.0.resumed.load(Ordering::Relaxed)
    }

    /// Makes every later stamp greater than `reached`.
    pub(super) fn advance_to(&self, reached: u64) {
        self.last.0.fetch_max(reached, Ordering::AcqRel);
    }

    /// The greatest stamp so far. Thresholds that were raised for it are visible after this.
    pub(super) fn last(&self) -> u64 {
        self.last.0.load(Ordering::Acquire) // pairs with [S1]
    }

    /// The greatest commit stamp so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.0.load(Ordering::Acquire) // pairs with [C1]
    }

    /// Returns whether logical steps alone explain a register that is `beyond` its `latest`.
    /// If so, it first notes `steps` more of them.
    ///
    /// While a clock stands still (a scripted one, or a simulated instant), stamps can only
    /// take logical steps. Each step is noted *before* its stamp can be seen. So a register
    /// that is further ahead than the noted steps was advanced by something else.
    pub(super) fn note_logical(&self, beyond: u64, steps: u64) -> bool {
        let explained = beyond <= self.logical_steps();
        if explained && steps > 0 {
            self.thresholds.0.logical_steps.fetch_add(steps, Ordering::Relaxed);
        }
        explained
    }

    /// How far the register may be beyond `latest` by logical steps alone.
    pub(super) fn logical_steps(&self) -> u64 {
        self.thresholds.0.logical_steps.load(Ordering::Relaxed)
    }

    /// The greatest stamp that may not be issued again though true time may not have
    /// reached it.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.thresholds.0.unconfirmed.load(Ordering::Relaxed)
    }

    /// Marks `stamp` as one that true time may not have reached. Call it before
    /// [`try_advance`](Self::try_advance) to that stamp.
    pub(super) fn mark_unconfirmed(&self, stamp: u64) {
        self.thresholds.0.unconfirmed.fetch_max(stamp, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn renew_at(&self) -> u64 {
        self.thresholds.0.renew_at.load(Ordering::Acquire) // pairs with [D1]
    }

    pub(super) fn reserved(&self) -> u64 {
        self.thresholds.0.reserved.load(Ordering::Acquire) // pairs with [D1]
    }

    /// Allows stamps up to `reserved`. Call it once the mark in the store is that high, or before
    /// it is lowered.
    pub(super) fn set_reserved(&self, reserved: u64, renew_at: u64) {
        self.thresholds.0.reserved.store(reserved, Ordering::Release); // [D1]
        self.thresholds.0.renew_at.store(renew_at, Ordering::Release); // [D1]
    }

    /// Goes back to `floor`, whatever was issued before. If there is a mark, it is lowered before
    /// [R1].
    pub(super) fn reset(&self, floor: u64) {
        self.last.0.swap(floor, Ordering::AcqRel); // [R2], pairs with [S1]
        self.commits.0.swap(0, Ordering::AcqRel); // [R3], pairs with [C1]
        self.thresholds.0.resumed.store(0, Ordering::Release);
        self.thresholds.0.unconfirmed.store(0, Ordering::Release);
        self.thresholds.0.logical_steps.store(0, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
#[path = "register_tests.rs"]
mod tests;

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    type Issue = fn(&Register, u64) -> Option<u64>;

    /// The fast path, or the next number if that path is closed.
    fn stamp(register: &Register, physical: u64) -> Option<u64> {
        register.try_issue(physical).or_else(|| {
            let last = register.last();
            register.try_advance(last, physical.max(last + 1))
        })
    }

    /// [`stamp`] with a load and a store in place of the compare-and-swap.
    fn stamp_with_a_store(register: &Register, physical: u64) -> Option<u64> {
        let next = physical.max(register.last() + 1);
        register.last.0.store(next, Ordering::Release);
        Some(next)
    }

    fn two_stampers(issue: Issue) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let shared = register.clone();
            let other = thread::spawn(move || [issue(&shared, 10), issue(&shared, 11)]);
            let mine = [issue(&register, 10), issue(&register, 12)];
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
        two_stampers(stamp_with_a_store);
    }

    type Commit = fn(&Register, u64, u64, u64) -> Option<u64>;

    /// [`Register::try_commit`] with a load at [C2].
    fn commit_with_a_load(r: &Register, _: u64, commits: u64, stamp: u64) -> Option<u64> {
        let swap =
            r.commits.0.compare_exchange(commits, stamp, Ordering::AcqRel, Ordering::Relaxed);
        swap.ok()?;
        (r.last.0.load(Ordering::Acquire) < stamp).then_some(stamp)
    }

    /// The interval is the single moment 11, where the two kinds of stamp are most likely to meet.
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
    fn loom_a_commit_stamp_is_never_an_ordinary_stamp() {
        stamper_and_committer(Register::try_commit);
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn loom_with_a_plain_load_in_the_committer_a_stamp_is_issued_twice() {
        stamper_and_committer(commit_with_a_load);
    }

    fn stamper_and_receiver(advance_to: fn(&Register, u64)) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let shared = register.clone();
            let stamper = thread::spawn(move || stamp(&shared, 20));
            advance_to(&register, 10);
            let after = register.last();
            assert!(after >= 10, "the observed stamp was lost: {after}");
            let Some(issued) = stamper.join().expect("no panic") else { return };
            let next = stamp(&register, 5).expect("no other thread is left");
            assert!(next > issued.max(10), "went back: {next} after {issued}");
        });
    }

    /// [`Register::advance_to`] with a load and a store.
    fn advance_to_with_a_store(register: &Register, reached: u64) {
        if register.last() < reached {
            register.last.0.store(reached, Ordering::Release);
        }
    }

    #[test]
    fn loom_an_observed_stamp_never_takes_the_register_back() {
        stamper_and_receiver(Register::advance_to);
    }

    #[test]
    #[should_panic(expected = "went back")]
    fn loom_with_a_store_an_observed_stamp_takes_the_register_back() {
        stamper_and_receiver(advance_to_with_a_store);
    }

    /// Takes a logical step beyond a clock that stands at 10. `false` means that the register
    /// is mistaken for poisoned.
    fn step_beyond(register: &Register, swap_first: bool) -> bool {
        let last = register.last();
        if swap_first && register.try_advance(last, last + 1).is_none() {
            return true;
        }
        let explained = register.note_logical(last - 10, 1);
        if !swap_first {
            register.try_advance(last, last + 1);
        }
        explained
    }

    fn two_logical_steps(swap_first: bool) {
        loom::model(move || {
            let register = Arc::new(Register::new(10));
            let shared = register.clone();
            let other = thread::spawn(move || step_beyond(&shared, swap_first));
            let mine = step_beyond(&register, swap_first);
            let theirs = other.join().expect("no panic");
            assert!(mine && theirs, "falsely poisoned");
        });
    }

    #[test]
    fn loom_logical_steps_are_not_mistaken_for_poison() {
        two_logical_steps(false);
    }

    #[test]
    #[should_panic(expected = "falsely poisoned")]
    fn loom_steps_noted_after_the_swap_are_mistaken_for_poison() {
        two_logical_steps(true);
    }

    /// One thread raises the mark and another takes a stamp. An atomic word stands for the disk.
    fn renewer_and_stamper(disk_first: bool) {
        loom::model(move || {
            let register = Arc::new(Register::new(0));
            let disk = Arc::new(AtomicU64::new(5));
            register.set_reserved(5, 5);
            let (shared, written) = (register.clone(), disk.clone());
            let renewer = thread::spawn(move || {
                if disk_first {
                    written.store(20, Ordering::Relaxed);
                    shared.set_reserved(20, 20);
                } else {
                    shared.set_reserved(20, 20);
                    written.store(20, Ordering::Relaxed);
                }
            });
            if let Some(stamp) = register.try_issue(10) {
                let covered = disk.load(Ordering::Relaxed);
                assert!(stamp <= covered, "{stamp} is above the mark {covered}");
            }
            renewer.join().expect("no panic");
        });
    }

    /// An operator takes the register back to the number that it has, and the mark below the stamp
    /// of another thread, in a store that has both numbers from the start of the write on.
    fn resetter_and_stamper(take: Issue) {
        loom::model(move || {
            let register = Arc::new(Register::new(10));
            register.set_reserved(100, 100);
            let shared = register.clone();
            let operator = thread::spawn(move || {
                shared.set_reserved(15, 15); // [R1]
                shared.reset(10);
            });
            let issued = take(&register, 20);
            operator.join().expect("no panic");
            // The stamp is in `last` only if its swap came after the reset.
            let is_after = register.last() == 20;
            assert!(!(is_after && issued.is_some()), "above the mark: {issued:?}");
        });
    }

    /// [`Register::try_issue`] without the second comparison.
    fn issue_without_a_second_look(r: &Register, physical: u64) -> Option<u64> {
        let last = r.last.0.load(Ordering::Relaxed);
        if physical <= last || physical > r.renew_at() {
            return None;
        }
        let swap = r.last.0.compare_exchange(last, physical, Ordering::AcqRel, Ordering::Relaxed);
        swap.ok()
    }

    #[test]
    fn loom_no_stamp_is_above_a_mark_that_was_taken_back() {
        resetter_and_stamper(Register::try_issue);
    }

    #[test]
    #[should_panic(expected = "above the mark")]
    fn loom_without_a_second_look_a_stamp_is_above_a_mark_that_was_taken_back() {
        resetter_and_stamper(issue_without_a_second_look);
    }

    #[test]
    fn loom_no_stamp_is_above_the_mark_on_disk() {
        renewer_and_stamper(true);
    }

    #[test]
    #[should_panic(expected = "above the mark")]
    fn loom_a_mark_announced_before_its_write_lets_a_stamp_above_it() {
        renewer_and_stamper(false);
    }
}
