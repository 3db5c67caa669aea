//! Writing to standard output and standard error.
//!
//! `println!` panics when the reader of a pipe has closed it, and `truechimer watch |
//! head -1` always ends like that. Here a closed pipe is reported as [`Reader::Gone`], and
//! only other failures, such as a full disk, are errors.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::outcome::CommandError;

/// The widest line that is written.
pub const COLUMNS: usize = 80;

/// Whether standard output still has a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// The write succeeded.
    Present,
    /// The pipe is closed.
    Gone,
}

/// Writes to standard output, and flushes it.
pub fn write(text: &str) -> Result<Reader, CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error.into()),
    }
}

/// Writes one JSON object, indented.
pub fn write_json(value: &impl Serialize) -> Result<Reader, CommandError> {
    write(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// `text`, broken into lines.
pub fn wrapped(text: &str) -> String {
    textwrap::fill(text, wrapping())
}

/// Writes to standard error. A failure to do so is ignored, because it could not be reported.
pub fn print_error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", wrapped(text));
}

/// Lines of [`COLUMNS`], broken at spaces only, because an option that is broken at a hyphen
/// cannot be copied.
fn wrapping<'a>() -> textwrap::Options<'a> {
    textwrap::Options::new(COLUMNS).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// Colour, if a terminal shows it and the user has not turned it off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paint {
    on: bool,
}

/// What a colour means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    Good,
    Careful,
    Bad,
    Heading,
}

impl Paint {
    /// Colour if standard output is a terminal that shows it. See <https://no-color.org> for NO_COLOR.
    pub fn for_stdout() -> Paint {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Paint { on: io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb }
    }

    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Careful => "1;33",
            Tone::Bad => "1;31",
            Tone::Heading => "1",
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A text of headings and named lines.
pub struct Page {
    text: String,
    paint: Paint,
}

/// Where the text of a named line begins.
const INDENT: usize = 16;

impl Page {
    pub fn new(paint: Paint) -> Page {
        Page { text: String::new(), paint }
    }

    pub fn heading(&mut self, title: &str) {
        let title = self.paint.paint(Tone::Heading, title);
        let _ = writeln!(self.text, "\n{title}");
    }

    /// A paragraph that begins at the margin.
    pub fn paragraph(&mut self, tone: Option<Tone>, text: &str) {
        let text = wrapped(text);
        let text = tone.map_or(text.clone(), |tone| self.paint.paint(tone, &text));
        let _ = writeln!(self.text, "{text}");
    }

    /// A name, and the text that belongs to it.
    pub fn line(&mut self, name: &str, text: &str) {
        // A name that is too long still has a space after it.
        let first = format!("  {name:<width$} ", width = INDENT - 3);
        let rest = " ".repeat(INDENT);
        let options = wrapping().initial_indent(&first).subsequent_indent(&rest);
        let _ = writeln!(self.text, "{}", textwrap::fill(text, options));
    }

    /// An item of a list.
    pub fn item(&mut self, number: usize, text: &str) {
        let first = format!("  {number}. ");
        let rest = " ".repeat(first.len());
        let options = wrapping().initial_indent(&first).subsequent_indent(&rest);
        let _ = writeln!(self.text, "{}", textwrap::fill(text, options));
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

/// A length of time in a unit that suits it, with three decimals. It is rounded up, because
/// an error must not be shown smaller than it is.
pub fn rounded_up(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, name) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let thousandths = nanos.div_ceil(unit / 1000);
    format!("{}.{:03} {name}", thousandths / 1000, thousandths % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_is_shown_in_a_unit_that_suits_it() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.000 µs"),
            (1_001, "1.001 µs"),
            (250_000_001, "250.001 ms"),
            (999_999_999, "1000.000 ms"),
            (1_000_000_000, "1.000 s"),
            (1_000_000_001, "1.001 s"),
            (u64::MAX, "18446744073.710 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(rounded_up(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let mut page = Page::new(Paint { on: false });
        let long = "a text that is longer than a line of a terminal ".repeat(5);
        page.heading("Title");
        page.paragraph(Some(Tone::Bad), &long);
        page.line("name", &long);
        page.item(1, &long);
        let text = page.into_text();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert!(!text.contains('\x1b'));
    }

    /// Whether `text` shows at least so many nanoseconds.
    fn shows_at_least(text: &str, nanos: u64) -> bool {
        let (number, unit) = text.split_once(' ').expect("number and unit");
        let unit = match unit {
            "ns" => 1u128,
            "µs" => 1_000,
            "ms" => 1_000_000,
            _ => 1_000_000_000,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "000"));
        let digits = |text: &str| text.parse::<u128>().expect("digits");
        digits(whole) * unit + digits(part) * unit / 1000 >= u128::from(nanos)
    }

    proptest! {
        #[test]
        fn a_length_is_never_shown_shorter_than_it_is(nanos: u64) {
            prop_assert!(shows_at_least(&rounded_up(Duration::from_nanos(nanos)), nanos));
        }
    }

    #[test]
    fn rounding_to_the_nearest_would_be_noticed() {
        let nanos = 250_000_001;
        let to_the_nearest = format!("{:.3} ms", nanos as f64 / 1e6);
        assert!(!shows_at_least(&to_the_nearest, nanos), "{to_the_nearest}");
    }
}
