//! What time is it, and how sure is that?
//!
//! `cargo run --release --example now`, or with a bound that you vouch for:
//! `cargo run --release --example now -- 250` (milliseconds).

use std::time::Duration;

use truechimer::{BuildError, Clock};

fn main() -> Result<(), BuildError> {
    let mut builder = Clock::builder();
    if let Some(millis) = std::env::args().nth(1) {
        match millis.parse() {
            Ok(millis) => builder = builder.assume_error(Duration::from_millis(millis)),
            Err(error) => {
                eprintln!("`{millis}` is no number of milliseconds: {error}");
                std::process::exit(1);
            }
        }
    }
    let clock = builder.build()?;
    match clock.now() {
        Ok(now) => println!("{now}\n± {:?}, {}", now.width() / 2, clock.status()),
        Err(why) => println!("no time: {why}"),
    }
    Ok(())
}
