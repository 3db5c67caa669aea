//! [`Stop`]: waiting that ends early when the user has seen enough.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod portable;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub use linux::Stop;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use portable::Stop;

/// How a wait has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// A signal has come, or the reader of standard output has gone.
    Stopped,
    /// The time is over, or standard output has room.
    Finished,
}
