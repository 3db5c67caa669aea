//! The `truechimer` command: what time is it on this host, how sure is that, and why.
//!
//! It is for the person who has to decide whether a clock may be believed, and
//! for the script that has to decide it at night. So each subcommand has an
//! answer first, the reasons after it, and an exit code that says the same:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the clock is synchronized, or the operator vouches for it (`--assume`) |
//! | 1 | the command could not do its work: no clock can be read, nothing can be written |
//! | 2 | the clock may not be believed; the reason and the remedy are said |
//! | 64 | the command line makes no sense (EX_USAGE of sysexits.h) |
//!
//! Clap's own code for a wrong command line is 2, which a script could not tell
//! from a clock that lost its synchronization; hence 64.
//!
//! A reader that goes away (`truechimer watch | head -1`) is no error. Nothing
//! here uses `println!`, which panics then: all goes through [`output`].

mod args;
mod bench;
mod convert;
mod doctor;
mod leaps;
mod now;
mod output;
mod problem;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod raw_read;
mod reading;
mod timex;
mod watch;
mod way;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use truechimer::{BuildError, UnixTime};

use args::{Cli, Command};

/// What a subcommand found, where it could do its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The clock may be believed, or nobody asked whether it may.
    Success,
    /// It may not.
    NotSynchronized,
}

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A clock with these settings cannot be had.
    #[error("{}", args::with_option_names(.0))]
    Build(#[from] BuildError),
    /// The output cannot be written, for another reason than that nobody reads it.
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
    fn exit_code(&self) -> u8 {
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
const EXIT_NOT_SYNCHRONIZED: u8 = 2;
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // Clap wraps its help, and not its errors.
            output::print_error(error.render().to_string().trim_end());
            return ExitCode::from(EXIT_USAGE);
        }
        Err(help) => {
            // Where it cannot be written there is nobody who asked for it.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let outcome = match cli.command {
        Command::Now(args) => now::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Convert(args) => printed(|out| Ok(convert::run(&args, wall_clock(), out)?)),
        Command::Leaps(args) => printed(|out| Ok(leaps::run(&args, wall_clock(), out)?)),
    };
    match outcome {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::NotSynchronized) => ExitCode::from(EXIT_NOT_SYNCHRONIZED),
        Err(error) => {
            output::print_error(&format!("truechimer: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs a subcommand that only prints, and writes what it printed, up to its error if it has one.
fn printed(
    print: impl FnOnce(&mut Vec<u8>) -> Result<(), CommandError>,
) -> Result<Outcome, CommandError> {
    let mut out = Vec::new();
    let outcome = print(&mut out);
    output::write(&String::from_utf8_lossy(&out))?;
    outcome.map(|()| Outcome::Success)
}

/// What the wall clock shows, believed or not: for tables it only has to be near.
fn wall_clock() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_nanos(since_1970.as_nanos().try_into().unwrap_or(i64::MAX))
}
