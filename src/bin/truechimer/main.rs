//! The `truechimer` command: what time it is on this host, how certain that is, and why.
//!
//! It is for an operator who has to decide whether a clock can be trusted, and for the
//! script that has to decide it at night. So each subcommand prints an answer first and
//! its reasons after it. Its exit code says the same:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | the clock is synchronized, or the operator states its error (`--assume`) |
//! | 1 | the command failed: no clock can be read, or the output cannot be written |
//! | 2 | the clock cannot be trusted; the reason and the remedy are printed |
//! | 64 | the command line is wrong (EX_USAGE of sysexits.h) |
//!
//! Clap's own code for a wrong command line is 2. A script could not tell that from a clock
//! that lost its synchronization, hence 64.
//!
//! When a reader closes the pipe (`truechimer watch | head -1`), the command ends with
//! success. `println!` would panic then, so everything is written through [`output`].

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
mod stop;
mod timex;
mod watch;
mod way;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use truechimer::{BuildError, UnixTime};

use args::{Cli, Command};

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
            // Clap wraps its help but not its errors.
            output::print_error(error.render().to_string().trim_end());
            return ExitCode::from(EXIT_USAGE);
        }
        Err(help) => {
            // If it cannot be written, there is nothing else to do.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let outcome = match cli.command {
        Command::Now(args) => now::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Convert(args) => print(|out| Ok(convert::run(&args, wall_clock(), out)?)),
        Command::Leaps(args) => print(|out| Ok(leaps::run(&args, wall_clock(), out)?)),
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

/// Runs a subcommand that only prints. If it fails, what it printed before is still written.
fn print(
    subcommand: impl FnOnce(&mut Vec<u8>) -> Result<(), CommandError>,
) -> Result<Outcome, CommandError> {
    let mut out = Vec::new();
    let outcome = subcommand(&mut out);
    output::write(&String::from_utf8_lossy(&out))?;
    outcome.map(|()| Outcome::Success)
}

/// What the wall clock shows. Tables only need a time that is near, so its error does not matter.
fn wall_clock() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_nanos(since_1970.as_nanos().try_into().unwrap_or(i64::MAX))
}
