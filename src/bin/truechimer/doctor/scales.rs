//! TAI − UTC and leap seconds: what the kernel was told, and what the table says.

use serde::Serialize;
use truechimer::scale::UnixToTai;
use truechimer::source::KernelState;
use truechimer::{LeapTable, UnixTime};

use crate::output::Page;

/// TAI − UTC, from both.
#[derive(Serialize)]
pub struct TaiView {
    /// As the kernel was told, in seconds; 0 if nobody told it.
    pub kernel_s: Option<i32>,
    /// By the built-in leap table, in seconds.
    pub table_s: Option<i32>,
    pub agree: bool,
}

impl TaiView {
    pub fn new(kernel: Option<&KernelState>) -> TaiView {
        let kernel_s = kernel.map(|kernel| kernel.tai);
        let table_s = kernel.and_then(|kernel| table_offset(kernel.unix_ns));
        TaiView { kernel_s, table_s, agree: kernel_s.is_some() && kernel_s == table_s }
    }

    pub fn lines(&self, page: &mut Page) {
        let words = match (self.kernel_s, self.table_s) {
            (None, _) => "not known, since the kernel cannot be asked".to_owned(),
            (Some(_), None) => "the clock shows a time that the leap table does not cover".into(),
            (Some(kernel), Some(table)) if kernel == table => {
                format!("{table} s; the kernel and the leap table agree")
            }
            (Some(0), Some(table)) => {
                format!("{table} s by the leap table; nobody told the kernel (it says 0)")
            }
            (Some(kernel), Some(table)) => format!(
                "{table} s by the leap table, {kernel} s by the kernel: one of them is wrong"
            ),
        };
        page.line("TAI − UTC", &words);
    }
}

/// What is coming.
#[derive(Serialize)]
pub struct LeapView {
    /// none, insert, delete, in_progress or passed; `null` if the kernel cannot be asked.
    pub state: Option<&'static str>,
    /// Whether the clock's table has a leap second within a day of now.
    pub listed_within_a_day: bool,
}

const STA_INS: i32 = 0x0010;
const STA_DEL: i32 = 0x0020;

impl LeapView {
    pub fn new(kernel: Option<&KernelState>) -> LeapView {
        let state = kernel.map(|kernel| match (kernel.state, kernel.status) {
            (3, _) => "in_progress",
            (4, _) => "passed",
            // The state ERROR hides the others, the flags stay.
            (_, status) if status & STA_INS != 0 => "insert",
            (_, status) if status & STA_DEL != 0 => "delete",
            _ => "none",
        });
        let near = kernel.and_then(|kernel| {
            LeapTable::builtin().offsets_near(kernel.unix_ns.div_euclid(1_000_000_000), 86_400)
        });
        LeapView { state, listed_within_a_day: near.is_some_and(|(least, most)| least != most) }
    }

    pub fn lines(&self, page: &mut Page) {
        let words = match self.state {
            None => "not known, since the kernel cannot be asked",
            Some("insert") => "the kernel will insert one at the end of this UTC day",
            Some("delete") => "the kernel will delete one at the end of this UTC day",
            Some("in_progress") => "one is in progress",
            Some("passed") => "one has passed just now",
            Some(_) => "the kernel has not been told of one",
        };
        let listed = if self.listed_within_a_day { "has one" } else { "has none" };
        page.line(
            "leap second",
            &format!("{words}; the clock's table {listed} within a day of now"),
        );
    }
}

fn table_offset(unix_ns: i64) -> Option<i32> {
    let seconds = unix_ns.div_euclid(1_000_000_000);
    LeapTable::builtin().offsets_near(seconds, 0).map(|(_, offset)| offset)
}

/// What a wall clock that shows this says in UTC.
pub fn utc_of_unix(unix_ns: i64) -> Option<String> {
    match LeapTable::builtin().unix_to_tai(UnixTime::from_nanos(unix_ns)).ok()? {
        UnixToTai::Unique(t) | UnixToTai::Ambiguous(t, _) => Some(t.to_string()),
        UnixToTai::Skipped => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix: i64, state: i32, status: i32, tai: i32) -> KernelState {
        let mut kernel = KernelState::read().expect("no filter denies it in tests");
        kernel.unix_ns = unix * 1_000_000_000;
        (kernel.state, kernel.status, kernel.tai) = (state, status, tai);
        kernel
    }

    #[test]
    fn the_leap_state_is_seen_through_the_state_error() {
        let last_leap = 1_483_228_800;
        let cases = [
            (last_leap - 10, 1, STA_INS, "insert", true),
            (last_leap - 10, 5, STA_INS | 0x40, "insert", true),
            (1_700_000_000, 2, STA_DEL, "delete", false),
            (last_leap - 1, 3, STA_INS, "in_progress", true),
            (last_leap, 4, STA_INS, "passed", true),
            (1_700_000_000, 0, 0, "none", false),
            (1_700_000_000, 5, 0x40, "none", false),
        ];
        for (unix, state, status, word, listed) in cases {
            let view = LeapView::new(Some(&at(unix, state, status, 0)));
            assert_eq!((view.state, view.listed_within_a_day), (Some(word), listed), "{unix}");
        }
        assert_eq!(LeapView::new(None).state, None);
    }

    #[test]
    fn the_kernels_tai_agrees_only_with_the_table() {
        for (tai, agree) in [(37, true), (0, false), (36, false)] {
            let view = TaiView::new(Some(&at(1_700_000_000, 0, 0, tai)));
            assert_eq!((view.table_s, view.agree), (Some(37), agree));
        }
        assert!(!TaiView::new(Some(&at(0, 0, 0, 0))).agree, "before 1972 there is no offset");
        assert!(!TaiView::new(None).agree);
    }
}
