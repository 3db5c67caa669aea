//! [`HlcBuilder`]: the settings of a clock, and the calls that make one.

use std::path::Path;
use std::time::Duration;

use super::high_water_mark::{HighWaterMark, KIND};
use super::hlc::Hlc;
use super::register::Register;
use super::stamp::Stamp;
use crate::clock::truetime::TrueTime;
use crate::durable::{Record, RecordError};
use crate::store::Store;

/// How far ahead the mark is kept, if the store is fast: about two writes a second.
const WINDOW: Duration = Duration::from_secs(1);

/// The settings of an [`Hlc`].
#[derive(Clone, Debug)]
#[must_use = "call `build`, `create_new` or `open_existing`"]
pub struct HlcBuilder<C> {
    clock: C,
    tolerance: Duration,
    window: Duration,
    open_wait: Option<Duration>,
    not_below: Stamp,
    with_thread: bool,
}

impl<C: TrueTime> HlcBuilder<C> {
    /// How far beyond `latest` a peer's stamp may be. Default 0.
    ///
    /// It is for peers that do not use `earliest` as their physical time. For peers that
    /// do, 0 is exactly right, because logical steps need no allowance (see the
    /// [module](super)). With a tolerance, this node's stamps may be ahead of true time by
    /// as much.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        HlcBuilder { tolerance, ..self }
    }

    /// Issues no stamp up to `stamp`, the greatest of this node's own history.
    ///
    /// It is for a node that was restored from a backup, or that replays its log: its clock may be
    /// behind what it has issued before. [`Hlc::note`] would call such a stamp a sign of a broken
    /// sender. Given here, it is taken as this node's own. Until time has passed it,
    /// [`stamp`](Hlc::stamp) returns [`HlcError::Ahead`](super::HlcError::Ahead), which says how
    /// long that takes. If this is called several times, the greatest stamp counts.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use truechimer::{Hlc, HlcError, Interval, ManualClock, Stamp, Timestamp};
    /// let at = Timestamp::from_tai_nanos;
    /// let clock = ManualClock::new(Interval::from(at(1_000)));
    /// let log = [at(400), at(1_500), at(900)].map(Stamp::from);
    ///
    /// let hlc = log.into_iter().fold(Hlc::builder(clock.clone()), |b, s| b.not_below(s)).build();
    /// assert!(matches!(hlc.stamp(), Err(HlcError::Ahead { by, .. }) if by.as_nanos() == 501));
    /// clock.advance(Duration::from_nanos(501));
    /// assert!(hlc.stamp()? > log[1]);
    /// # Ok::<(), HlcError>(())
    /// ```
    pub fn not_below(self, stamp: Stamp) -> Self {
        HlcBuilder { not_below: self.not_below.max(stamp), ..self }
    }

    /// How far ahead the mark is kept at least. Default 1 s.
    ///
    /// There are about two writes per window while stamps are issued, and for eight windows after
    /// the last. The window grows to four times the latency of the store, but not beyond 10 s (or
    /// this setting, if it is longer). After a crash, up to a window is waited out. With 0, every
    /// stamp is a write, and waits for it.
    pub fn window(self, window: Duration) -> Self {
        HlcBuilder { window, ..self }
    }

    /// How long opening may wait for an old mark, or for the stamp of
    /// [`not_below`](Self::not_below), to pass.
    ///
    /// The default is what a crash under a correct clock can explain: the longest window, which
    /// is 10 s or the setting of [`window`](Self::window) if that is longer, plus twice the clock's
    /// width. The usual wait is the window at the crash, which is 1 s with a fast store. With 0
    /// it does not wait, and `stamp()` returns [`HlcError::Ahead`](super::HlcError::Ahead) until
    /// the mark has passed. It never waits on wasm32, which has no time to wait by.
    pub fn open_wait(self, limit: Duration) -> Self {
        HlcBuilder { open_wait: Some(limit), ..self }
    }

    /// The mark gets no thread of its own. The thread that takes a stamp writes it, when half of
    /// the window is used up, and waits for that write.
    ///
    /// This is for simulated worlds, in which a thread would make each run different. The window
    /// does not follow the latency of the store then, which is not measured.
    /// [`try_stamp`](Hlc::try_stamp) still writes nothing, so [`renew_mark`](Hlc::renew_mark)
    /// has to be called now and then. The calls named `..._async` block. On wasm32 it is always so.
    pub fn without_thread(self) -> Self {
        HlcBuilder { with_thread: false, ..self }
    }

    /// A clock whose register is only in memory.
    pub fn build(self) -> Hlc<C> {
        let register = Register::new(self.not_below.to_bits());
        Hlc { register, clock: self.clock, tolerance: self.tolerance, mark: None }
    }

    /// A clock whose stamps never repeat or go back across a crash, whatever its clock did. This
    /// is for the first start of the node.
    ///
    /// A new file at `path` holds a high-water mark, above which no stamp is issued. Beside it is
    /// `path.lock`, which excludes a second process, and briefly `path.new`. A thread of the
    /// `Hlc`'s own writes the mark, ahead of need. Dropping the `Hlc` ends it, after a write that
    /// is under way.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: there is a file already, or it cannot be made, or the thread cannot be
    /// started.
    pub fn create_new(self, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        let record = Record::create_new(path.as_ref(), KIND, 0)?;
        self.durable(record)
    }

    /// The clock of a node whose mark was [created](Self::create_new) before. This is for every
    /// start but the first.
    ///
    /// A mark from a crash under a correct clock is waited out before this returns, see
    /// [`open_wait`](Self::open_wait). A mark that is further ahead was written under a wrong
    /// clock. The node starts all the same, but `stamp()` returns
    /// [`HlcError::Ahead`](super::HlcError::Ahead), which says how far ahead it is, until the mark
    /// has passed or [`Hlc::reset`] is called. The same happens if the clock has no reading yet.
    ///
    /// # Errors
    ///
    /// [`RecordError`]: the file is missing, torn, truncated, of another kind, read-only, or
    /// locked by another process, or the thread cannot be started. The error says what to do, and
    /// the file is unchanged. A missing file is not created: the stamps issued under it are
    /// unknown, and would be issued again.
    pub fn open_existing(self, path: impl AsRef<Path>) -> Result<Hlc<C>, RecordError> {
        let record = Record::open_existing(path.as_ref(), KIND)?;
        self.durable(record)
    }

    /// Like [`create_new`](Self::create_new), with the mark in any [`Store`], which is empty yet.
    ///
    /// # Errors
    ///
    /// As [`create_new`](Self::create_new), and the errors of the store.
    pub fn create_new_in(self, store: impl Store + 'static) -> Result<Hlc<C>, RecordError> {
        let record = Record::create_new_in(store, KIND, 0)?;
        self.durable(record)
    }

    /// Like [`open_existing`](Self::open_existing), with the mark in any [`Store`], which has it.
    ///
    /// # Errors
    ///
    /// As [`open_existing`](Self::open_existing), and the errors of the store.
    pub fn open_existing_in(self, store: impl Store + 'static) -> Result<Hlc<C>, RecordError> {
        let record = Record::open_existing_in(store, KIND)?;
        self.durable(record)
    }

    fn durable(self, record: Record) -> Result<Hlc<C>, RecordError> {
        let (mark, stored) = HighWaterMark::new(record, self.window, self.with_thread)?;
        let register = Register::new(stored.max(self.not_below.to_bits()));
        register.set_reserved(stored, stored);
        let (clock, tolerance) = (self.clock, self.tolerance);
        let hlc = Hlc { register, clock, tolerance, mark: Some(mark) };
        hlc.wait_out_the_mark(self.open_wait);
        Ok(hlc)
    }
}

impl<C: TrueTime> Hlc<C> {
    /// A clock whose register is only in memory.
    pub fn new(clock: C) -> Hlc<C> {
        Hlc::builder(clock).build()
    }

    /// A clock with other settings than the defaults, or with a mark that survives a crash.
    pub fn builder(clock: C) -> HlcBuilder<C> {
        HlcBuilder {
            clock,
            tolerance: Duration::ZERO,
            window: WINDOW,
            open_wait: None,
            not_below: Stamp::MIN,
            with_thread: true,
        }
    }
}
