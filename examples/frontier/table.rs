//! The table, for people and as CSV.

use std::fmt::Write as _;

use super::worlds::{Cell, Row, Way};

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
