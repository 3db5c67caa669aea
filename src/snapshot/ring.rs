//! [`Ring`]: one writer publishes a snapshot to any number of readers, and no side waits.
//!
//! A reader needs seven words that belong together, in a few nanoseconds, perhaps in a
//! signal handler. A lock would make it wait for the writer. A plain seqlock does too: if
//! the writer loses the processor in the middle of a write, every reader spins until the
//! writer comes back (64 ms were measured).
//!
//! So there are four slots. The writer fills the one that has been out of use
//! longest and then moves `current` to it. A writer that stops half-way has
//! changed only a slot that `current` does not name. A reader has to start over only if the
//! *reader* was stopped for so long that the writer came round to its slot again. Then it
//! reads the newer bound.
//!
//! # Why a reader never sees a torn bound
//!
//! Publication `k` lives in slot `k % SLOTS`, and the slot's `generation` is
//! `2k` when it is whole and `2k - 1` while it is written.
//!
//! 1. The reader loads `current` = `k` with Acquire [R1]; the writer stored it
//!    with Release after the words [W4]. So it sees the words of `k`, or newer.
//! 2. If any word is newer, it was stored by publication `k + SLOTS` or later,
//!    after that one's Release fence [W2], which comes after its store of the
//!    odd generation [W1]. The reader's Acquire fence [R2] pairs with [W2]:
//!    its second read of `generation` sees that odd number, or a later one.
//! 3. So a generation of exactly `2k` at [R3] proves that every word is of `k`.
//!
//! The words are relaxed atomics, not plain memory: a race on them is defined,
//! and no `unsafe` is needed. Remove either fence and loom finds a torn read;
//! both removals are kept below as models that must fail.
//!
//! The design is Boehm's ("Can seqlocks get along with programming language
//! memory models?", MSPC 2012) with the slots of a ring in place of one.

use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// How many words one publication holds: with its generation, one cache line.
pub(crate) const WORDS: usize = 7;

/// Two are enough to be correct. Four make it likely that a reader that lost
/// the processor for a few polls still finds its slot untouched. Under loom two
/// keep the number of interleavings small, and are the harder case.
const SLOTS: u64 = if cfg!(all(test, loom)) { 2 } else { 4 };

/// One publication. Aligned so that it shares its cache line with nothing.
#[repr(align(64))]
struct Slot {
    generation: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// A line to itself: it is written once a publication and read at every reading.
#[repr(align(64))]
struct Current(AtomicU64);

/// The slots, and which of them to read.
pub(crate) struct Ring {
    current: Current,
    slots: [Slot; SLOTS as usize],
}

/// The right to publish. There is one writer at a time.
pub(crate) struct Writer {
    last: u64,
}

impl Ring {
    /// A ring that shows `first`, and the right to replace it.
    pub(crate) fn new(first: [u64; WORDS]) -> (Ring, Writer) {
        let slot = |_| Slot {
            generation: AtomicU64::new(0),
            words: std::array::from_fn(|i| AtomicU64::new(first[i])),
        };
        let slots = std::array::from_fn(slot);
        // Publication 0 is in slot 0, whose generation is 2 × 0.
        (Ring { current: Current(AtomicU64::new(0)), slots }, Writer { last: 0 })
    }

    /// The right to publish, taken again. Only for a thread that has the ring to itself,
    /// because it holds the lock that all writers of its process take.
    ///
    /// After a `fork` the child's copy has lost its writer, perhaps in the middle of a
    /// write. That write was not to the slot in use, so the next one goes to the same slot
    /// and completes it.
    pub(crate) fn adopt(&self) -> Writer {
        Writer { last: self.current.0.load(Ordering::Acquire) } // pairs with [W4]
    }

    /// The newest publication.
    #[inline]
    pub(crate) fn read(&self) -> [u64; WORDS] {
        loop {
            if let Some(words) = self.try_read() {
                return words;
            }
        }
    }

    /// One attempt: `None` if the writer came round to this slot meanwhile.
    #[inline]
    pub(super) fn try_read(&self) -> Option<[u64; WORDS]> {
        let k = self.current.0.load(Ordering::Acquire); // [R1], pairs with [W4]
        let slot = &self.slots[(k % SLOTS) as usize];
        let words = std::array::from_fn(|i| slot.words[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire); // [R2], pairs with [W2]
        let whole = slot.generation.load(Ordering::Relaxed) == 2 * k; // [R3]
        whole.then_some(words)
    }
}

impl Writer {
    /// Replaces what `ring` shows.
    pub(crate) fn publish(&mut self, ring: &Ring, words: [u64; WORDS]) {
        let k = self.last + 1;
        let slot = &ring.slots[(k % SLOTS) as usize];
        slot.generation.store(2 * k - 1, Ordering::Relaxed); // [W1]
        fence(Ordering::Release); // [W2], pairs with [R2]
        for (to, word) in slot.words.iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        // Relaxed: a reader that is sent here by [W4] sees it, and one that was
        // sent here earlier may only see a number that makes it start over.
        slot.generation.store(2 * k, Ordering::Relaxed); // [W3]
        ring.current.0.store(k, Ordering::Release); // [W4], pairs with [R1]
        self.last = k;
    }
}

/// Run by `RUSTFLAGS="--cfg loom" cargo test --release --lib loom_`.
#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Publication `k` is the word `k` everywhere: a mixture shows.
    fn is_whole(words: [u64; WORDS]) -> bool {
        words.iter().all(|&word| word == words[0])
    }

    /// One writer that goes round the ring and one reader that may be anywhere.
    fn race(
        write: fn(&mut Writer, &Ring, [u64; WORDS]),
        read: fn(&Ring) -> Option<[u64; WORDS]>,
        publications: u64,
    ) {
        loom::model(move || {
            let (ring, mut writer) = Ring::new([0; WORDS]);
            let ring = Arc::new(ring);
            let shared = ring.clone();
            let thread = thread::spawn(move || {
                for k in 1..=publications {
                    write(&mut writer, &shared, [k; WORDS]);
                }
            });
            if let Some(words) = read(&ring) {
                assert!(is_whole(words), "torn: {words:?}");
            }
            thread.join().expect("the writer does not panic");
        });
    }

    #[test]
    fn loom_a_reader_never_sees_a_torn_bound() {
        race(Writer::publish, Ring::try_read, SLOTS + 1);
    }

    #[test]
    fn loom_an_older_bound_never_follows_a_newer_one() {
        loom::model(|| {
            let (ring, mut writer) = Ring::new([0; WORDS]);
            let ring = Arc::new(ring);
            let shared = ring.clone();
            let thread = thread::spawn(move || {
                for k in 1..=SLOTS {
                    writer.publish(&shared, [k; WORDS]);
                }
            });
            let seen: Vec<_> = (0..2).filter_map(|_| ring.try_read()).map(|w| w[0]).collect();
            assert!(seen.is_sorted(), "went back: {seen:?}");
            thread.join().expect("the writer does not panic");
        });
    }

    #[test]
    fn loom_a_writer_stopped_in_the_middle_delays_no_reader() {
        loom::model(|| {
            let (ring, _stopped) = Ring::new([0; WORDS]);
            let ring = Arc::new(ring);
            let shared = ring.clone();
            let thread = thread::spawn(move || {
                let slot = &shared.slots[1];
                slot.generation.store(1, Ordering::Relaxed);
                fence(Ordering::Release);
                slot.words[0].store(1, Ordering::Relaxed);
                // ... and never comes back.
            });
            assert_eq!(ring.try_read(), Some([0; WORDS]), "at the first attempt");
            thread.join().expect("the writer does not panic");
            // A forked child takes over from there.
            ring.adopt().publish(&ring, [1; WORDS]);
            assert_eq!(ring.try_read(), Some([1; WORDS]));
        });
    }

    /// [`Writer::publish`] without [W2].
    fn publish_without_the_fence(writer: &mut Writer, ring: &Ring, words: [u64; WORDS]) {
        let k = writer.last + 1;
        let slot = &ring.slots[(k % SLOTS) as usize];
        slot.generation.store(2 * k - 1, Ordering::Relaxed);
        for (to, word) in slot.words.iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        slot.generation.store(2 * k, Ordering::Release);
        ring.current.0.store(k, Ordering::Release);
        writer.last = k;
    }

    /// [`Ring::try_read`] with an Acquire load at [R3] in place of the fence [R2].
    fn read_with_an_acquire_load(ring: &Ring) -> Option<[u64; WORDS]> {
        let k = ring.current.0.load(Ordering::Acquire);
        let slot = &ring.slots[(k % SLOTS) as usize];
        let words = std::array::from_fn(|i| slot.words[i].load(Ordering::Relaxed));
        let whole = slot.generation.load(Ordering::Acquire) == 2 * k;
        whole.then_some(words)
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn loom_without_the_writers_fence_a_reading_tears() {
        race(publish_without_the_fence, Ring::try_read, SLOTS);
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn loom_with_an_acquire_load_for_the_readers_fence_a_reading_tears() {
        race(Writer::publish, read_with_an_acquire_load, SLOTS);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn what_was_published_last_is_read() {
        let (ring, mut writer) = Ring::new([0; WORDS]);
        for k in 0..3 * SLOTS {
            assert_eq!(ring.read(), [k; WORDS]);
            writer.publish(&ring, [k + 1; WORDS]);
        }
    }

    #[test]
    fn a_publication_is_one_cache_line() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
    }

    #[test]
    fn readings_are_whole_and_in_order_while_the_writer_runs_at_full_speed() {
        let (ring, mut writer) = Ring::new([0; WORDS]);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let words = ring.read();
                        assert!(words.iter().all(|&word| word == words[0]), "torn: {words:?}");
                        assert!(words[0] >= last, "{} after {last}", words[0]);
                        last = words[0];
                    }
                });
            }
            for k in 1..=if cfg!(miri) { 300 } else { 1_000_000 } {
                writer.publish(&ring, [k; WORDS]);
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
