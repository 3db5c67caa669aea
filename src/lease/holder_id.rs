//! [`HolderId`]: the name under which a process acquires leases.

use std::fmt;

/// Identifies a process that acquires leases.
///
/// The grantor only compares ids. Safety rests on the fencing token, not on the id.
///
/// With the feature `serde` it is text in human-readable formats, because JSON readers round
/// numbers above 2^53.
///
/// ```
/// use truechimer::lease::HolderId;
///
/// assert_eq!(HolderId(7).to_string().parse(), Ok(HolderId(7)));
/// assert!("node-7".parse::<HolderId>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct HolderId(#[cfg_attr(feature = "serde", serde(with = "crate::decimal"))] pub u64);

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
