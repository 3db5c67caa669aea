//! [`HighWaterMark`]: an upper limit of the stamps issued before a crash, kept on disk.
//!
//! A restarted node must not issue the stamps again that it issued before. Its clock
//! cannot ensure that, because it may have been wrong before the crash, or be wrong now.
//! Writing each stamp to disk would ensure it, but costs a sync for each stamp. So the
//! mark on disk is kept a *window* ahead: nothing above it was issued. Stamps below it
//! need no write. When half of the window is used up, one thread writes a higher mark
//! while the others use the other half.
//!
//! After a restart the node starts above the mark. The mark may be ahead of true time by
//! up to a window, so the node first waits until it has passed.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;

use super::error::HlcError;
use super::register::Register;
use crate::durable::{Kind, Record, RecordError};
use crate::store::{Owner, StoreError};
use crate::timestamp::duration_nanos;

const KIND: Kind = Kind(*b"hlc-mark");

/// The file with the mark, and how far ahead the mark is written.
#[derive(Debug)]
pub(super) struct HighWaterMark {
    record: Mutex<Record>,
    owner: Owner,
    place: String,
    /// In nanoseconds.
    window: u64,
}

impl HighWaterMark {
    /// Opens or creates the file. Returns the mark, and its number for the register to
    /// start at.
    pub(super) fn open(path: &Path, window: Duration) -> Result<(HighWaterMark, u64), RecordError> {
        let record = match Record::create_new(path, KIND, 0) {
            Err(RecordError::Store(StoreError::Exists { .. })) => {
                Record::open_existing(path, KIND)?
            }
            other => other?,
        };
        let floor = record.value();
        let window = duration_nanos(window);
        let (owner, place) = (Owner::this_process(), record.place().to_owned());
        Ok((HighWaterMark { record: Mutex::new(record), owner, place, window }, floor))
    }

    /// How far ahead the mark on disk is kept.
    pub(super) fn window(&self) -> Duration {
        Duration::from_nanos(self.window)
    }

    /// Raises the mark so that `next` may be issued, and a window after it.
    ///
    /// It waits for the disk only if `next` is above the mark. Otherwise one thread does
    /// the work while the others continue.
    pub(super) fn reserve(&self, register: &Register, next: u64) -> Result<(), HlcError> {
        self.owner.check(&self.place).map_err(RecordError::from)?;
        let must_wait = next > register.reserved();
        let guard = if must_wait { Some(self.record.lock()) } else { self.record.try_lock() };
        let Some(mut record) = guard else { return Ok(()) };
        let reserved = register.reserved();
        if next <= register.renew_at() {
            return Ok(()); // another thread did it while this one waited
        }
        let to = next.saturating_add(self.window).max(record.value());
        match record.advance(to) {
            Ok(()) => {
                register.set_reserved(to, to - self.window.min(to) / 2);
                Ok(())
            }
            // A part of the window is left. Use half of it before the next attempt.
            Err(_) if next <= reserved => {
                register.set_reserved(reserved, next + (reserved - next) / 2);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the register back to `floor`, and the mark to a window above it.
    pub(super) fn reset(&self, register: &Register, floor: u64) -> Result<(), HlcError> {
        self.owner.check(&self.place).map_err(RecordError::from)?;
        let mut record = self.record.lock();
        // The register first, so that stamps issued from here on are below the old mark too.
        register.reset(floor);
        let to = floor.saturating_add(self.window);
        record.reset(to)?;
        register.set_reserved(to, to - self.window.min(to) / 2);
        Ok(())
    }
}
