//! [`NotAFuture`]: what a blocking section may return, if it is checked before and after it runs.

/// Everything but a future.
///
/// A section that returns a future has done nothing yet when it returns. If the check after it
/// looked then, it would call a write safe that has not begun. So the blocking forms
/// (`run`, `with`) refuse a future when they are compiled, and the forms for futures (`run_async`,
/// `with_async`) check after the future has ended.
///
/// Rust has no bound "does not implement". Here a future has two implementations, which differ by the
/// marker, and everything else has one. So the compiler can infer the marker only of what is no
/// future. The functions name their marker after what to call instead, because the error shows
/// that name.
pub trait NotAFuture<Marker> {}

impl<T> NotAFuture<()> for T {}

/// The marker that makes futures ambiguous.
#[derive(Debug)]
pub struct AlsoAFuture;

impl<T: Future> NotAFuture<AlsoAFuture> for T {}
