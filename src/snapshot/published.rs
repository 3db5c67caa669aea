//! [`Published`]: the newest snapshot, and whether its machine is still the one it was taken on.
//!
//! A virtual machine that is moved to another host, or restored from a snapshot, goes on with
//! another counter, minutes later, and no clock in it shows that. The hypervisor changes the
//! VMClock's *disruption marker* before it lets the machine run again. So a reading compares
//! markers: the one that the evidence belongs to with the one that the page shows after the
//! counter was read.
//!
//! # The order, and why it is right
//!
//! The slot of the ring is one cache line and has no room for a marker. So the marker that the
//! evidence belongs to is a word of its own, and the order of the accesses keeps the two together.
//!
//! 1. A reader loads the marker with Acquire [M1], then reads the snapshot [M2], then the counter,
//!    then the page [M3]. It accepts the snapshot if [M1] and [M3] are equal.
//! 2. A writer that sees another marker publishes a snapshot of nothing [M4], stores the new marker
//!    with Release [M5], and only then publishes evidence that was sampled under it.
//! 3. If [M1] is the new marker, it was stored after [M4], so [M2] is the snapshot of nothing or a
//!    newer one. If [M1] is the old marker and [M2] newer evidence, its writer had loaded the new
//!    marker from the page, and published afterwards, so [M3] loads the new marker too and the
//!    reader refuses. If [M2] is old evidence, it is accepted only while the page shows the old
//!    marker.
//!
//! The counter and the page need no fence between them. The marker changes only while no processor
//! of the machine executes, and what interrupts a processor discards the instructions that have not
//! been completed. So a load cannot be on the other side of the interruption than a counter reading
//! that precedes it in the program.
//!
//! Without a VMClock the page is a word that never changes, so the way is the same. Where a load
//! of the page is slow, readers are shown a copy of the marker that the evidence belongs to, and
//! only the sampler looks at the page.

use std::sync::Arc;

use super::Snapshot;
use super::ring::{Ring, WORDS};
use crate::host::{MARKER_WORD, SharedWord, VmClockPage};
use crate::sync::atomic::{AtomicU64, Ordering};

/// A ring, and the marker that its evidence belongs to.
struct MarkedRing {
    marker: AtomicU64,
    ring: Ring,
}

impl MarkedRing {
    fn new(marker: u64, first: [u64; WORDS]) -> MarkedRing {
        let (ring, _) = Ring::new(first);
        MarkedRing { marker: AtomicU64::new(marker), ring }
    }

    /// The newest publication, and the marker that it is accepted under.
    #[inline]
    fn read(&self) -> (u64, [u64; WORDS]) {
        self.read_by(Ring::read)
    }

    /// The same, by one of the ways to read a ring.
    #[inline]
    fn read_by<T>(&self, read: impl FnOnce(&Ring) -> T) -> (u64, T) {
        let marker = self.marker.load(Ordering::Acquire); // [M1], pairs with [M5]
        (marker, read(&self.ring)) // [M2]
    }

    fn publish(&self, words: [u64; WORDS]) {
        self.ring.adopt().publish(&self.ring, words);
    }

    /// From now on what is published belongs to `marker`.
    fn begin(&self, marker: u64, nothing: [u64; WORDS]) {
        self.publish(nothing); // [M4]
        self.marker.store(marker, Ordering::Release); // [M5], pairs with [M1]
    }
}

/// What readers see. There is one writer at a time: it holds the lock of the clock's record.
pub(crate) struct Published {
    marked: MarkedRing,
    /// Where readers find the present marker.
    shown: SharedWord,
    /// Where the sampler finds it: on the page, or the same word that never changes.
    page: SharedWord,
    /// What readers are shown in place of the page, where that is slow to read.
    copy: Option<Arc<std::sync::atomic::AtomicU64>>,
}

impl Published {
    /// Shows `first`. Readers look at the page themselves if `in_readings` is set.
    pub(crate) fn new(first: Snapshot, page: Option<&VmClockPage>, in_readings: bool) -> Published {
        let marker = page.map_or(0, VmClockPage::marker);
        let copy = Arc::new(std::sync::atomic::AtomicU64::new(marker));
        let constant = SharedWord::owned(copy.clone());
        let page = page.map(|page| page.word(MARKER_WORD));
        Published {
            marked: MarkedRing::new(marker, first.to_words()),
            shown: page.clone().filter(|_| in_readings).unwrap_or(constant.clone()),
            page: page.unwrap_or(constant),
            copy: (!in_readings).then_some(copy),
        }
    }

    /// The newest snapshot, and the marker that it belongs to. After the counter was read,
    /// [`is_disrupted_since`](Self::is_disrupted_since) says whether it may be used.
    #[inline]
    pub(crate) fn read(&self) -> (u64, Snapshot) {
        let (marker, words) = self.marked.read();
        (marker, Snapshot::from_words(words))
    }

    /// Whether the machine was moved or restored since it showed `marker`, as far as readers see.
    #[inline]
    pub(crate) fn is_disrupted_since(&self, marker: u64) -> bool {
        self.shown.load() != marker // [M3]
    }

    /// Whether the machine was moved or restored since the evidence began.
    pub(crate) fn is_disrupted(&self) -> bool {
        self.present_marker() != self.marked.marker.load(Ordering::Acquire) // pairs with [M5]
    }

    /// The marker that the hypervisor shows now.
    pub(crate) fn present_marker(&self) -> u64 {
        self.page.load()
    }

    /// Shows another snapshot, of evidence that belongs to the present marker.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.marked.publish(snapshot.to_words());
    }

    /// Begins anew under `marker`: shows `nothing`, and then accepts what is published.
    pub(crate) fn begin(&self, marker: u64, nothing: Snapshot) {
        self.marked.begin(marker, nothing.to_words());
        if let Some(copy) = &self.copy {
            copy.store(marker, std::sync::atomic::Ordering::Release);
        }
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_marked`.
#[cfg(all(test, loom))]
mod loom_marked {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// A snapshot in the models: the marker under which it was sampled, or nothing.
    const NOTHING: [u64; WORDS] = [u64::MAX; WORDS];

    /// A hypervisor that moves the machine, a sampler that follows, and a reader that is anywhere.
    fn race(begin: fn(&MarkedRing, u64)) {
        loom::model(move || {
            let marked = Arc::new(MarkedRing::new(1, [1; WORDS]));
            let page = Arc::new(AtomicU64::new(1));
            let (shared, of_hypervisor) = (marked.clone(), page.clone());
            // The sampler notices after the hypervisor has acted, so one thread plays both. What
            // the reader sees of the page is still any value that the memory model allows.
            let thread = thread::spawn(move || {
                of_hypervisor.store(2, Ordering::Relaxed);
                begin(&shared, 2);
                // It publishes only what it has sampled without a change of the marker.
                shared.publish([2; WORDS]);
            });
            // One attempt: loom would try for ever to let it fail.
            let (marker, words) = marked.read_by(Ring::try_read);
            // The counter would be read here.
            let is_same = page.load(Ordering::Relaxed) == marker;
            if let Some(words) = words.filter(|&words| is_same && words != NOTHING) {
                assert_eq!(words, [marker; WORDS], "evidence of another machine");
            }
            thread.join().expect("the sampler does not panic");
        });
    }

    #[test]
    fn loom_marked_a_reader_accepts_no_evidence_from_before_a_disruption() {
        race(|marked, marker| marked.begin(marker, NOTHING));
    }

    #[test]
    #[should_panic(expected = "evidence of another machine")]
    fn loom_marked_with_the_marker_before_the_empty_snapshot_old_evidence_is_accepted() {
        race(|marked, marker| {
            marked.marker.store(marker, Ordering::Release);
            marked.publish(NOTHING);
        });
    }
}
