//! [`TableSource`] and [`HashState`]: where a leap table is from, and whether its hash was checked.

use std::fmt;
use std::path::PathBuf;

/// Where a table came from.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TableSource {
    /// Built into the crate.
    BuiltIn,
    /// Given by the program, as entries or as the bytes of a file.
    Given,
    /// Read from this file.
    File(PathBuf),
}

/// Whether a list's contents agree with the hash that the list itself contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HashState {
    /// The list's `#h` line agrees with its contents. (A list that disagrees is an error.)
    Verified,
    /// The list has no `#h` line, nor the `#$` line of published lists.
    Absent,
    /// The format has no hash.
    NotApplicable,
}

impl fmt::Display for TableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableSource::BuiltIn => f.write_str("built into truechimer"),
            TableSource::Given => f.write_str("given by the program"),
            TableSource::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for HashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HashState::Verified => "verified",
            HashState::Absent => "absent: the list contains no hash of itself",
            HashState::NotApplicable => "not part of this format",
        })
    }
}
