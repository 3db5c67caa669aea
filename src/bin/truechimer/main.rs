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
mod duration;
mod leaps;
mod now;
mod outcome;
mod output;
mod problem;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod raw_read;
mod reading;
mod stop;
mod timex;
mod wall_clock;
mod watch;
mod way;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use outcome::{CommandError, EXIT_NOT_SYNCHRONIZED, EXIT_USAGE, Outcome};
use wall_clock::wall_clock;

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
