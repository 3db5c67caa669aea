//! Days since 1970-01-01 and the Gregorian calendar, both ways.
//!
//! The calendar repeats every 400 years, which are 146 097 days. Counting years
//! from March puts the leap day last, where it disturbs no other month. Then
//! months of 31, 30, 31, 30, 31 days repeat, and `(153 m + 2) / 5` is the number of
//! days before month `m`.

/// Days of one cycle of 400 years.
const CYCLE: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
/// Seconds of a day without a leap second.
pub(super) const DAY: i64 = 86_400;

/// Days from 1970-01-01 to a date, which must exist in the calendar.
pub(super) const fn days_from_date(year: i64, month: u8, day: u8) -> i64 {
    let (year, month) =
        if month > 2 { (year, month as i64 - 3) } else { (year - 1, month as i64 + 9) };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day as i64 - 1;
    cycle * CYCLE + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - EPOCH
}

/// Whole cycles added before dividing, so that days from year −12 000 on are not negative.
const SHIFT: i64 = 30;

/// Year, month and day of the date `days` after 1970-01-01, from year −12 000 to 2 000 000.
///
/// All divisions are of unsigned 32 bits by constants, which the compiler turns into
/// multiplications. Counting quarters of days makes each leap day disappear in the rounding of
/// its quotient (Neri and Schneider, "Euclidean affine functions", 2022).
#[inline]
pub(super) const fn date_from_days(days: i64) -> (i64, u8, u8) {
    let quarters = 4 * (days + EPOCH + SHIFT * CYCLE) as u32 + 3;
    let (century, of_century) = (quarters / CYCLE as u32, quarters % CYCLE as u32 / 4);
    let quarters = 4 * of_century + 3;
    let (year, of_year) = (quarters / 1_461, quarters % 1_461 / 4);
    let fifths = 5 * of_year + 2;
    let (month, day) = (fifths / 153, fifths % 153 / 5 + 1);
    let (carry, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    let year = (100 * century + year + carry) as i64 - SHIFT * 400;
    (year, month as u8, day as u8)
}

/// Days of the month, 1 to 12.
pub(super) const fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_from_year_minus_9999_to_9999_comes_after_the_one_before() {
        let mut days = days_from_date(-9999, 1, 1);
        for year in -9999..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_date(year, month, day), days);
                    assert_eq!(date_from_days(days), (year, month, day));
                    days += 1;
                }
            }
        }
        assert_eq!(days, days_from_date(10_000, 1, 1));
    }

    #[test]
    fn dates_known_from_elsewhere() {
        let cases = [
            ((1970, 1, 1), 0),
            ((1972, 1, 1), 730),
            ((2000, 2, 29), 11_016),
            ((2017, 1, 1), 17_167),
            ((1677, 9, 21), -106_752),
            ((2262, 4, 11), 106_751),
        ];
        for ((year, month, day), days) in cases {
            assert_eq!(days_from_date(year, month, day), days, "{year}-{month}-{day}");
        }
    }
}
