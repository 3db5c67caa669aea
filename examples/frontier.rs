//! How narrow is an interval, and is it true? Every way to a bound, on the same simulated hosts.
//!
//! ```text
//! cargo run --release --features sim --example frontier
//! cargo run --release --features sim --example frontier -- --hours 6 --csv all.csv --svg width.svg
//! cargo run --release --features sim --example frontier -- --wander 30
//! cargo run --release --features sim --example frontier -- \
//!     --markdown src/_width/table.md --svg src/_width/width.svg     # the docs' own
//! ```
//!
//! Each row is a world: how often the server is polled, how the oscillator strays, how the network
//! delays. Each column is a way to a bound: the kernel's `maxerror`, chronyd's own report, and this
//! crate's clock with its settings. All columns of a row see the same seed. Widths are latest −
//! earliest, the whole of the uncertainty, after ten minutes.
//!
//! The server states a bound of 200 µs and is at the edge of it, which breaks no assumption.
//! chronyd's bound is an estimate and is wrong at times. This crate's clock adds what the estimate
//! leaves out, and own exchanges are evidence that needs no daemon. Where A2 holds (and A3,
//! where it is assumed) none of these may miss, and the command fails if one does.
//!
//! The daemon here is the simulator's model of chronyd (`sim::Daemon::ChronyEstimating`). What real
//! daemons do is measured in guests (`tests/guest`).

#[path = "frontier/picture.rs"]
mod picture;
#[path = "frontier/table.rs"]
mod table;
#[path = "frontier/worlds.rs"]
mod worlds;

use std::path::PathBuf;
use std::process::ExitCode;

use worlds::{By, Cell, POLLS, Row, Way};

/// What is asked for.
struct Arguments {
    hours: f64,
    /// A3, where it is assumed, in ppm.
    wander_ppm: u32,
    seed: u64,
    csv: Option<PathBuf>,
    svg: Option<PathBuf>,
    markdown: Option<PathBuf>,
}

const USAGE: &str = "usage: frontier [--hours N] [--wander PPM] [--seed N] \
                     [--csv FILE] [--svg FILE] [--markdown FILE]";

fn arguments() -> Result<Arguments, String> {
    let (csv, svg, markdown) = (None, None, None);
    let mut arguments = Arguments { hours: 1.0, wander_ppm: 20, seed: 2026, csv, svg, markdown };
    let mut given = std::env::args().skip(1);
    while let Some(option) = given.next() {
        let value = given.next().ok_or(USAGE)?;
        match option.as_str() {
            "--hours" => {
                let hours = value.parse().ok().filter(|hours| (0.01..=240.0).contains(hours));
                arguments.hours = hours.ok_or("--hours must be from 0.01 to 240")?;
            }
            "--wander" => {
                let ppm = value.parse().ok().filter(|ppm| (1..=200).contains(ppm));
                arguments.wander_ppm = ppm.ok_or("--wander must be from 1 to 200")?;
            }
            "--seed" => {
                arguments.seed = value.parse().map_err(|_| "--seed must be a whole number")?;
            }
            "--csv" => arguments.csv = Some(value.into()),
            "--svg" => arguments.svg = Some(value.into()),
            "--markdown" => arguments.markdown = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    let mut rows = Vec::new();
    for poll_s in POLLS {
        table::print_heading(poll_s);
        let Arguments { hours, wander_ppm, seed, .. } = arguments;
        for row in worlds::rows(By { poll_s, wander_ppm, seed }, hours) {
            table::print_row(&row);
            rows.push(row);
        }
    }
    table::print_summary(&rows);
    let written = [
        (&arguments.csv, table::csv(&rows)),
        (&arguments.svg, picture::svg(&rows)),
        (&arguments.markdown, table::markdown(&rows)),
    ];
    for (path, text) in written {
        let Some(path) = path else { continue };
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    let wrong: Vec<String> = rows.iter().flat_map(unexpected).collect();
    for what in &wrong {
        println!("WRONG: {what}");
    }
    println!(
        "{} worlds, {} of our own bounds broken where their assumptions hold",
        rows.len(),
        wrong.len()
    );
    ExitCode::from(u8::from(!wrong.is_empty()))
}

/// Misses of ways that must not miss in this world.
fn unexpected(row: &Row) -> Vec<String> {
    let broken = |way: Way, cell: &Cell| cell.misses > 0 && row.must_hold(way);
    let cells = row.cells.iter().filter(|(way, cell)| broken(*way, cell));
    cells
        .map(|(way, cell)| {
            format!(
                "{} at {} s: {way:?} missed {} of {}",
                row.world.name, row.by.poll_s, cell.misses, cell.readings
            )
        })
        .collect()
}
