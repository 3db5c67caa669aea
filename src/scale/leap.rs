//! The leap table.

/// When TAI − UTC changed, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeapTable {
    /// (Unix time from which the offset holds, TAI − UTC in seconds), ascending.
    entries: Vec<(i64, i32)>,
}

/// TAI − UTC since 1972, from IERS Bulletin C.
const BUILTIN: [(i64, i32); 28] = [
    (63_072_000, 10),
    (78_796_800, 11),
    (94_694_400, 12),
    (126_230_400, 13),
    (157_766_400, 14),
    (189_302_400, 15),
    (220_924_800, 16),
    (252_460_800, 17),
    (283_996_800, 18),
    (315_532_800, 19),
    (362_793_600, 20),
    (394_329_600, 21),
    (425_865_600, 22),
    (489_024_000, 23),
    (567_993_600, 24),
    (631_152_000, 25),
    (662_688_000, 26),
    (709_948_800, 27),
    (741_484_800, 28),
    (773_020_800, 29),
    (820_454_400, 30),
    (867_715_200, 31),
    (915_148_800, 32),
    (1_136_073_600, 33),
    (1_230_768_000, 34),
    (1_341_100_800, 35),
    (1_435_708_800, 36),
    (1_483_228_800, 37),
];

impl LeapTable {
    /// The table this crate was built with.
    pub fn builtin() -> LeapTable {
        LeapTable { entries: BUILTIN.to_vec() }
    }

    /// The least and the greatest TAI − UTC, in seconds, that are in force
    /// anywhere within `slack` seconds of `unix` on the POSIX scale; `None` if that
    /// reaches before 1972, when UTC did not have whole seconds yet.
    pub fn offsets_near(&self, unix: i64, slack: i64) -> Option<(i32, i32)> {
        let (from, to) = (unix.saturating_sub(slack), unix.saturating_add(slack));
        let in_force =
            |at: i64| self.entries.partition_point(|&(since, _)| since <= at).checked_sub(1);
        let (first, last) = (in_force(from)?, in_force(to)?);
        let offsets = self.entries[first..=last].iter().map(|&(_, offset)| offset);
        Some((offsets.clone().min()?, offsets.max()?))
    }
}
