//! The leap tables of this host: the one that the clock uses, and the one that tzdata keeps.
//!
//! The clock goes by the table that it was built with, since a program has to
//! say so if it wants another. The kernel goes by what its time daemon tells it,
//! and that is told by servers or by the host's table. Three opinions; on the
//! day of a leap second they have to be one, and a kernel that was not told will
//! be a second off from midnight on. A day before is the time to say so.

use serde::Serialize;
use truechimer::scale::LeapSecond;
use truechimer::{LeapTable, LeapTableError, RealtimeScale, UnixTime, Utc};

use super::scales::LeapView;
use crate::output::Page;

/// One table.
#[derive(Serialize)]
pub struct TableView {
    pub source: String,
    /// As UTC text; `null` where the table does not say.
    pub expires: Option<String>,
    pub expired: bool,
}

/// Both tables, and what they have against the kernel.
#[derive(Serialize)]
pub struct TablesView {
    /// The one that the clock uses.
    pub used: TableView,
    /// The host's own; `null` where there is none that can be read.
    pub system: Option<TableView>,
    /// Why it cannot be read.
    pub system_error: Option<String>,
    /// Whether both have the same leap seconds; `null` where there is but one table.
    pub agree: Option<bool>,
    /// A leap second within a day of which the kernel has not been told, in a sentence.
    pub untold: Option<String>,
    /// Whether only the host's table has that leap second.
    pub untold_and_not_in_use: bool,
}

impl TableView {
    fn of(table: &LeapTable, now: UnixTime) -> TableView {
        TableView {
            source: table.source().to_string(),
            expires: table.expires().map(|expires| format!("{:.0}", Utc::from(expires))),
            expired: table.expires().is_some_and(|expires| now >= expires),
        }
    }

    fn to_text(&self) -> String {
        let source = &self.source;
        match (&self.expires, self.expired) {
            (None, _) => format!("{source}; it does not say until when it is complete"),
            (Some(expires), false) => format!("{source}; complete until {expires}"),
            (Some(expires), true) => {
                format!("{source}; EXPIRED at {expires}: a leap second since then would be missing")
            }
        }
    }
}

impl TablesView {
    /// What is to be said of the tables at `now`, as the wall clock shows it.
    pub fn new(
        now: UnixTime,
        system: Result<LeapTable, LeapTableError>,
        kernel: &LeapView,
        shows: RealtimeScale,
    ) -> TablesView {
        let used = LeapTable::builtin();
        let (system, system_error) = match system {
            Ok(table) => (Some(table), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let of = |table| untold(now, table, kernel.state, shows);
        let by_used = of(&used);
        let by_system = system.as_ref().and_then(of);
        let (leap, by) = match (by_used, by_system) {
            (Some(leap), _) => (Some(leap), "the table that the clock uses"),
            (None, leap) => (leap, "the system's leap table"),
        };
        TablesView {
            used: TableView::of(&used, now),
            agree: system.as_ref().map(|table| table.entries().eq(used.entries())),
            system: system.map(|table| TableView::of(&table, now)),
            system_error,
            untold: leap.map(|leap| warning(&leap, by)),
            untold_and_not_in_use: by_used.is_none() && by_system.is_some(),
        }
    }

    fn used_to_text(&self) -> String {
        let ignored = if self.used.expired { ". Expired but ignored: it is used on" } else { "" };
        self.used.to_text() + ignored
    }

    pub fn lines(&self, page: &mut Page) {
        page.line("table in use", &self.used_to_text());
        match (&self.system, &self.system_error) {
            (Some(table), _) => {
                let same = if self.agree == Some(true) { "the same" } else { "OTHER" };
                page.line("system table", &format!("{}; {same} leap seconds", table.to_text()));
            }
            (None, Some(error)) => page.line("system table", error),
            (None, None) => {}
        }
    }
}

/// The leap second that `table` has within the next day, and the kernel knows nothing of.
///
/// A wall clock that smears must not be told; one that cannot be asked may have been.
fn untold(
    now: UnixTime,
    table: &LeapTable,
    state: Option<&str>,
    shows: RealtimeScale,
) -> Option<LeapSecond> {
    const DAY_NS: i64 = 86_400_000_000_000;
    if matches!(shows, RealtimeScale::Smeared(_)) {
        return None;
    }
    let here = table.unix_to_interval(now.into()).ok()?.earliest();
    let leap = table.next_leap(here)?;
    let is_near = leap.at.tai_nanos().saturating_sub(here.tai_nanos()) <= DAY_NS;
    let was_told = match state? {
        "insert" => leap.inserts,
        "delete" => !leap.inserts,
        "in_progress" | "passed" => true,
        _ => false,
    };
    (is_near && !was_told).then_some(leap)
}

fn warning(leap: &LeapSecond, by: &str) -> String {
    let (what, flag) = if leap.inserts { ("inserts", "STA_INS") } else { ("skips", "STA_DEL") };
    format!(
        "A leap second is near, and the kernel has not been told of it ({flag} is not set): UTC \
         {what} {:.0} by {by}, and this clock will be a second off from then on",
        leap.label
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use truechimer::Smear;

    /// 2016-12-31T23:59:60Z is inserted before this.
    const LEAP: i64 = 1_483_228_800;

    fn unix(seconds: i64) -> UnixTime {
        UnixTime::new(seconds, 0).expect("in range")
    }

    /// The built-in leap seconds, and one that is inserted or skipped at the end of June 2028.
    fn newer(change: i32) -> LeapTable {
        let builtin = LeapTable::builtin();
        let mut entries: Vec<_> =
            builtin.entries().map(|entry| (entry.since.seconds(), entry.tai_minus_utc)).collect();
        entries.push((JULY_2028, 37 + change));
        LeapTable::from_entries(&entries).expect("a table")
    }

    const JULY_2028: i64 = 1_846_022_400;

    #[test]
    fn a_kernel_that_was_not_told_is_warned_of_within_the_day_before() {
        let google = RealtimeScale::Smeared(Smear::Google);
        let (utc, unknown) = (RealtimeScale::Utc, RealtimeScale::Unknown);
        let cases = [
            (LEAP - 60, Some("none"), utc, true),
            (LEAP - 1, Some("none"), utc, true),
            (LEAP - 86_400, Some("none"), utc, true),
            (LEAP - 86_401, Some("none"), utc, false),
            (LEAP + 1, Some("none"), utc, false),
            (LEAP - 60, Some("insert"), utc, false),
            (LEAP - 60, Some("delete"), utc, true),
            (LEAP - 1, Some("in_progress"), utc, false),
            (LEAP - 60, None, utc, false),
            (LEAP - 60, Some("none"), unknown, true),
            (LEAP - 60, Some("none"), google, false),
        ];
        for (now, state, shows, warned) in cases {
            let leap = untold(unix(now), &LeapTable::builtin(), state, shows);
            assert_eq!(leap.is_some(), warned, "{now} {state:?} {shows:?}");
        }
        let skipped = |state| untold(unix(JULY_2028 - 60), &newer(-1), Some(state), utc).is_some();
        assert!(skipped("none") && skipped("insert") && !skipped("delete"));
    }

    fn view(now: i64, system: Result<LeapTable, LeapTableError>) -> TablesView {
        let kernel = LeapView { state: Some("none"), listed_within_a_day: false };
        TablesView::new(unix(now), system, &kernel, RealtimeScale::Utc)
    }

    #[test]
    fn a_leap_second_that_only_the_systems_table_has_is_warned_of_too() {
        let seen = view(JULY_2028 - 3600, Ok(newer(1)));
        let words = seen.untold.as_deref().expect("a warning");
        assert!(words.contains("2028-06-30T23:59:60Z by the system's leap table"), "{words}");
        assert!(words.contains("STA_INS is not set") && seen.untold_and_not_in_use);
        assert_eq!(seen.agree, Some(false));
        let seen = view(LEAP - 3600, Ok(newer(1)));
        assert!(seen.untold.is_some_and(|words| words.contains("the clock uses")));
        assert!(!seen.untold_and_not_in_use);
    }

    #[test]
    fn the_table_in_use_is_named_and_its_expiry_is_ignored_aloud() {
        let seen = view(1_795_500_000, Ok(LeapTable::builtin()));
        assert_eq!(
            (seen.used.expired, seen.agree, seen.untold.is_some()),
            (false, Some(true), false)
        );
        let words = seen.used_to_text();
        assert!(words.contains("built into") && words.contains("until 2027-06-28"), "{words}");
        let missing = Err(LeapTableError::NotFound { searched: vec!["/nowhere".into()] });
        let seen = view(1_814_140_800, missing);
        let words = seen.used_to_text();
        assert!(words.contains("EXPIRED") && words.contains("xpired but ignored"), "{words}");
        assert!(seen.system_error.is_some_and(|error| error.contains("tzdata")));
    }
}
