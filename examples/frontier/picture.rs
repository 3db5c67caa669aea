//! Width against poll as a picture, with the misses marked.

use std::fmt::Write as _;

use super::worlds::{POLLS, Row, Way};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 140.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// The widths that are drawn, in µs.
const RANGE: (f64, f64) = (5.0, 2_000_000.0);

/// The median width of each way over all worlds of a poll, and whether any of them was missed.
pub fn svg(rows: &[Row]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"currentColor\">\n\
         <title>Median width against poll</title>\n\
         <text x=\"{LEFT}\" y=\"20\">median width of an interval in all worlds; \
         a ring marks ways that missed the truth in one of them</text>"
    );
    axes(&mut text);
    for (i, way) in Way::ALL.into_iter().enumerate() {
        line(&mut text, rows, way, i);
    }
    text.push_str("</svg>\n");
    text
}

fn axes(text: &mut String) {
    for exponent in 1..=6 {
        let micros = 10f64.powi(exponent);
        let (y, label) = (y_of(micros), label_of(micros));
        let end = WIDTH - RIGHT;
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"currentColor\" stroke-opacity=\"0.2\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            y + 4.0,
        );
    }
    for poll in POLLS {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{poll} s</text>",
            x_of(poll),
            HEIGHT - BOTTOM + 20.0,
        );
    }
}

fn line(text: &mut String, rows: &[Row], way: Way, i: usize) {
    let hue = 360 * i / Way::ALL.len();
    let colour = format!("hsl({hue} 70% 45%)");
    let mut path = String::new();
    let mut last = HEIGHT;
    for poll in POLLS {
        let of_poll = rows.iter().filter(|row| row.by.poll_s == poll);
        let cells = of_poll.flat_map(|row| &row.cells).filter(|(of, _)| *of == way);
        let cells: Vec<_> = cells.map(|(_, cell)| cell).filter(|cell| cell.readings > 0).collect();
        let mut medians: Vec<f64> = cells.iter().map(|cell| cell.median).collect();
        medians.sort_by(f64::total_cmp);
        let Some(&median) = medians.get(medians.len() / 2) else { continue };
        let (x, y) = (x_of(poll), y_of(median));
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
        if cells.iter().any(|cell| cell.misses > 0) {
            let _ = writeln!(
                text,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"none\" stroke=\"{colour}\" \
                 stroke-width=\"2\"/>"
            );
        }
        last = y;
    }
    let _ = writeln!(
        text,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
        WIDTH - RIGHT + 8.0,
        last + 4.0,
        way.name(),
    );
}

fn x_of(poll: u64) -> f64 {
    let part = (poll as f64).ln() / (POLLS[POLLS.len() - 1] as f64).ln();
    LEFT + 20.0 + part * (WIDTH - LEFT - RIGHT - 40.0)
}

fn y_of(micros: f64) -> f64 {
    let (least, most) = RANGE;
    let part = (micros.clamp(least, most) / least).ln() / (most / least).ln();
    HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
}

fn label_of(micros: f64) -> String {
    if micros < 1_000.0 {
        format!("{micros:.0} µs")
    } else if micros < 1_000_000.0 {
        format!("{:.0} ms", micros / 1_000.0)
    } else {
        format!("{:.0} s", micros / 1_000_000.0)
    }
}
