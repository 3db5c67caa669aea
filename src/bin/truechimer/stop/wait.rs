//! [`Wait`]: how a wait has ended.

/// How a wait has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// A signal has come, or the reader of standard output has gone.
    Stopped,
    /// The time is over, or standard output has room.
    Finished,
}
