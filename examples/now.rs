//! What time is it, and how sure is that?
//!
//! `cargo run --release --example now`, or with a bound that you vouch for:
//! `cargo run --release --example now -- 250` (milliseconds).

use std::process::ExitCode;
use std::time::Duration;

use truechimer::Clock;

/// Prints what went wrong as a sentence: a `main` that returns the error would print its `Debug`.
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = Clock::builder();
    if let Some(millis) = std::env::args().nth(1) {
        let parsed = millis.parse();
        let millis =
            parsed.map_err(|error| format!("`{millis}` is no number of milliseconds: {error}"))?;
        builder = builder.assume_error(Duration::from_millis(millis));
    }
    let clock = builder.build()?;
    match clock.now() {
        Ok(now) => println!("{now}\n± {:?}, {}", now.width() / 2, clock.status()),
        Err(why) => println!("no time: {why}"),
    }
    Ok(())
}
