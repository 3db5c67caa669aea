//! [`Outcome`] and [`CommandError`]: how a subcommand ends, and its exit code.

use truechimer::BuildError;

use crate::{args, convert, leaps};

/// What a subcommand found, if it did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The clock can be trusted, or the subcommand does not judge it.
    Success,
    /// The clock cannot be trusted.
    NotSynchronized,
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A clock with these settings cannot be built.
    #[error("{}", args::with_option_names(.0))]
    Build(#[from] BuildError),
    /// The output cannot be written. A closed pipe does not count.
    #[error("the output cannot be written: {0}")]
    Output(#[from] std::io::Error),
    /// A moment cannot be converted.
    #[error(transparent)]
    Convert(#[from] convert::ConvertError),
    /// The leap table cannot be shown.
    #[error(transparent)]
    Leaps(#[from] leaps::LeapsError),
    /// An answer cannot be put into JSON.
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CommandError {
    pub fn exit_code(&self) -> u8 {
        match self {
            CommandError::Build(error) if args::is_usage_error(error) => EXIT_USAGE,
            CommandError::Convert(convert::ConvertError::Input { .. }) => EXIT_USAGE,
            CommandError::Build(_)
            | CommandError::Output(_)
            | CommandError::Convert(_)
            | CommandError::Leaps(_)
            | CommandError::Json(_) => EXIT_FAILED,
        }
    }
}

const EXIT_FAILED: u8 = 1;
pub const EXIT_NOT_SYNCHRONIZED: u8 = 2;
pub const EXIT_USAGE: u8 = 64;
