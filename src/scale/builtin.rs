//! The built-in leap table. It is computed at compile time, so that using it costs nothing.

use std::borrow::Cow;

use super::leap_table::LeapTable;
use super::step::{Step, bucket_count, last_step_in_force};
use super::table_source::TableSource;

/// TAI − UTC since 1972, from IERS Bulletin C: (Unix time, seconds).
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

/// Unix seconds of 2027-06-28. No further leap second comes before it, by tz 2026f's `leapseconds`.
pub(super) const EXPIRES: i64 = 1_814_140_800;

/// Unix seconds of the midnight after the last leap second.
pub(super) const LAST: i64 = BUILTIN[BUILTIN.len() - 1].0;

static STEPS: [Step; BUILTIN.len()] = {
    let mut steps = [Step::new(BUILTIN[0].0, None, BUILTIN[0].1); BUILTIN.len()];
    let mut i = 1;
    while i < steps.len() {
        steps[i] = Step::new(BUILTIN[i].0, Some(BUILTIN[i - 1].1), BUILTIN[i].1);
        i += 1;
    }
    steps
};

static BUCKETS: [u8; bucket_count(&STEPS)] = {
    let mut buckets = [0; bucket_count(&STEPS)];
    let mut i = 0;
    while i < buckets.len() {
        buckets[i] = last_step_in_force(&STEPS, i);
        i += 1;
    }
    buckets
};

/// For texts, which are read and written without a table being given.
pub(super) static TABLE: LeapTable = LeapTable::builtin();

impl LeapTable {
    /// The built-in table, with 27 leap seconds from 1972 to 2016.
    ///
    /// It is complete until 2027-06-28 ([`expires`](Self::expires)).
    pub const fn builtin() -> LeapTable {
        LeapTable::from_parts(
            (STEPS[0], STEPS[STEPS.len() - 1]),
            Cow::Borrowed(&STEPS),
            Cow::Borrowed(&BUCKETS),
            Some(EXPIRES),
            TableSource::BuiltIn,
        )
    }
}
