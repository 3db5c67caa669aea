//! What a thread that takes a stamp asks of the mark, and the steps that both writers share.

use super::error::HlcError;
use super::mark_state::{MarkState, Write};
use super::register::Register;
use super::stamp::Stamp;
use crate::durable::{Record, RecordError};

/// What a thread does that comes to the end of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// It sleeps until the mark was raised.
    Block,
    /// It returns [`HlcError::MarkUsedUp`].
    Never,
}

/// What a thread needs from the mark.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) register: &'a Register,
    /// The value of the register that `next` was computed from.
    pub(super) last: u64,
    /// The stamp.
    pub(super) next: u64,
    /// How high the mark has to be.
    pub(super) level: u64,
}

impl Asked<'_> {
    /// Whether the register was taken back since. Then the stamp is not issued, and must not
    /// raise the mark to where it was.
    pub(super) fn is_void(&self) -> bool {
        self.register.last() < self.last
    }
}

/// How high a mark a future waits for.
#[derive(Clone, Copy)]
pub(super) enum Level {
    /// As high as the stamp.
    Stamp,
    /// Half of the window above it.
    HalfAWindow,
}

impl Level {
    pub(super) fn above(self, next: u64, state: &MarkState) -> u64 {
        match self {
            Level::Stamp => next,
            Level::HalfAWindow => next.saturating_add(state.window.nanos() / 2),
        }
    }
}

/// What a future has to know from one call to the next.
#[derive(Clone, Copy)]
pub(super) struct Before {
    pub(super) failures: u64,
    pub(super) resets: u64,
    pub(super) level: u64,
}

/// Shows the register the mark as it stands.
pub(super) fn adopt(state: &MarkState, register: &Register) {
    register.set_reserved(state.limit(), state.renew_at());
}

pub(super) fn used_up(asked: u64, state: &MarkState) -> HlcError {
    let (asked, limit) = (Stamp::from_bits(asked), Stamp::from_bits(state.limit()));
    HlcError::MarkUsedUp { asked, limit }
}

/// Does one write. Returns it as it was done.
pub(super) fn perform(record: &mut Record, write: Write) -> (Write, Result<(), RecordError>) {
    match write {
        Write::Raise(to) => {
            // After a reset that failed, the record may be higher than the limit.
            let to = to.max(record.value());
            (Write::Raise(to), record.advance(to))
        }
        Write::Reset(to) => (write, record.reset(to)),
    }
}
