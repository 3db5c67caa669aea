//! [`Mark`]: what was issued before a crash, kept on disk in strides.
//!
//! A restarted node must not issue what it issued before, and its clock does
//! not help: it may have been wrong before the crash, or be wrong now. To write
//! every stamp to disk would help, at a sync a stamp. So the disk is kept a
//! *window* ahead: "nothing above this number was issued". Stamps below it cost
//! nothing, and the next write comes when half of the window is used up, made
//! by one thread while the others go on with the other half.
//!
//! After a restart the node starts above the mark. That is ahead of true time
//! by up to the window, so it is waited out first.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::error::HlcError;
use super::register::Register;
use crate::durable::{Kind, Record, RecordError};

const KIND: Kind = Kind(*b"hlc-mark");

/// The file, and how far ahead it is written.
#[derive(Debug)]
pub(super) struct Mark {
    record: Mutex<Record>,
    window: u64,
}

impl Mark {
    /// Opens or creates the file. Its number is the register's floor.
    pub(super) fn open(path: &Path, window: Duration) -> Result<(Mark, u64), RecordError> {
        let record = Record::open(path, KIND, 0)?;
        let floor = record.value();
        let window = super::nanos(window);
        Ok((Mark { record: Mutex::new(record), window }, floor))
    }

    /// How far ahead the disk is kept, in nanoseconds.
    pub(super) fn window(&self) -> Duration {
        Duration::from_nanos(self.window)
    }

    /// Raises the mark so that `next` may be issued, and a window after it.
    ///
    /// Waits for the disk only where `next` is beyond the mark. Before that,
    /// one thread does the work and the others go on.
    pub(super) fn reserve(&self, register: &Register, next: u64) -> Result<(), HlcError> {
        let must = next > register.reserved();
        let guard = if must { Some(self.record.lock()) } else { self.record.try_lock() };
        let Some(mut record) = guard else { return Ok(()) };
        let reserved = register.reserved();
        if next <= register.renew_at() {
            return Ok(()); // another thread did it while this one waited
        }
        let to = next.saturating_add(self.window).max(record.value());
        match record.advance(to) {
            Ok(()) => {
                register.cover(to, to - self.window.min(to) / 2);
                Ok(())
            }
            // Half of the window is left: use it, and try again with what is left then.
            Err(_) if next <= reserved => {
                register.cover(reserved, next + (reserved - next) / 2);
                Ok(())
            }
            Err(error) => Err(HlcError::Mark(Arc::new(error))),
        }
    }

    /// Takes the register back to `floor`, and the mark to a window above it.
    pub(super) fn reset(&self, register: &Register, floor: u64) -> Result<(), HlcError> {
        let mut record = self.record.lock();
        // The register first: what is issued from here on is below the old mark too.
        register.reset(floor);
        let to = floor.saturating_add(self.window);
        record.reset(to).map_err(|error| HlcError::Mark(Arc::new(error)))?;
        register.cover(to, to - self.window.min(to) / 2);
        Ok(())
    }
}
