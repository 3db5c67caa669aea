//! The table, for people and as CSV.

use std::fmt::Write as _;

use super::worlds::{Cell, POLLS, Row, Way};

pub fn print_heading(poll_s: u64) {
    println!(
        "\npoll {poll_s} s: widths in µs, median / 99th of a hundred, and misses in a million"
    );
    print!("{:<26}", "");
    for way in Way::ALL {
        print!(" {:>23}", way.name());
    }
    println!();
}

pub fn print_row(row: &Row) {
    print!("{:<26}", row.world.name);
    for way in Way::ALL {
        let cell = row.cells.iter().find(|(of, _)| *of == way).map(|(_, cell)| cell);
        print!(" {:>23}", cell.map_or_else(String::new, text));
    }
    println!();
}

/// The README's table: for each poll the median over its worlds, and all misses together, where no
/// machine is moved unseen.
pub fn print_summary(rows: &[Row]) {
    println!("\nmedians over the worlds of a poll in µs, and all misses, but for unseen moves");
    print!("{:<26}", "");
    for way in Way::ALL {
        print!(" {:>23}", way.name());
    }
    println!();
    for poll_s in POLLS {
        print!("{:<26}", format!("{poll_s} s"));
        for way in Way::ALL {
            let cells = cells_of(rows, way).filter(|(poll, _)| *poll == poll_s);
            let mut medians: Vec<f64> = cells.map(|(_, cell)| cell.median).collect();
            medians.sort_by(f64::total_cmp);
            let middle = medians.get(medians.len() / 2).copied().unwrap_or(f64::NAN);
            print!(" {middle:>23.0}");
        }
        println!();
    }
    print!("{:<26}", "misses / readings");
    for way in Way::ALL {
        let sum = |of: fn(&Cell) -> u64| cells_of(rows, way).map(|(_, cell)| of(cell)).sum::<u64>();
        let (misses, readings) = (sum(|cell| cell.misses), sum(|cell| cell.readings));
        print!(" {:>23}", format!("{misses} / {readings}"));
    }
    println!();
}

/// What a way gave where no machine is moved unseen, with the poll.
fn cells_of(rows: &[Row], way: Way) -> impl Iterator<Item = (u64, &Cell)> {
    let rows = rows.iter().filter(|row| row.keeps_a2());
    let cells = rows.flat_map(|row| row.cells.iter().map(|cell| (row.by.poll_s, cell)));
    cells.filter(move |(_, (of, _))| *of == way).map(|(poll_s, (_, cell))| (poll_s, cell))
}

fn text(cell: &Cell) -> String {
    if cell.readings == 0 {
        return "–".to_owned();
    }
    let per_million = cell.misses as f64 / cell.readings as f64 * 1e6;
    let misses = if cell.misses == 0 { "0".to_owned() } else { format!("{per_million:.0}!") };
    format!("{:.0}/{:.0} {misses}", cell.median, cell.p99)
}

/// All numbers, one line for each way in each world.
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from("poll_s,world,way,readings,misses,median_us,p99_us,largest_us\n");
    for row in rows {
        for (way, cell) in &row.cells {
            let Cell { readings, misses, median, p99, largest } = cell;
            let _ = writeln!(
                text,
                "{},\"{}\",\"{}\",{readings},{misses},{median:.3},{p99:.3},{largest:.3}",
                row.by.poll_s,
                row.world.name,
                way.name(),
            );
        }
    }
    text
}

/// Tables for the docs, one for each poll.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut poll_s = None;
    for row in rows {
        if poll_s.replace(row.by.poll_s) != Some(row.by.poll_s) {
            let _ = write!(text, "\n**Poll {} s**\n\n| |", row.by.poll_s);
            for way in Way::ALL {
                let _ = write!(text, " {} |", way.name());
            }
            text.push_str("\n|---|");
            text.push_str(&"---|".repeat(Way::ALL.len()));
            text.push('\n');
        }
        let _ = write!(text, "| {} |", row.world.name);
        for way in Way::ALL {
            let cell = row.cells.iter().find(|(of, _)| *of == way).map(|(_, cell)| cell);
            let _ = write!(text, " {} |", cell.map_or_else(String::new, in_markdown));
        }
        text.push('\n');
    }
    text
}

fn in_markdown(cell: &Cell) -> String {
    if cell.readings == 0 {
        return "–".to_owned();
    }
    let widths = format!("{:.0} / {:.0}", cell.median, cell.p99);
    match cell.misses {
        0 => widths,
        misses => {
            format!("{widths}, **{:.2} % wrong**", misses as f64 * 100.0 / cell.readings as f64)
        }
    }
}
