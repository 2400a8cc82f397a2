//! Numbers, durations and times as people read them: in the tables of a terminal and in the HTML report.

use crate::report::DepthDecileReport;
use sha2::{Digest, Sha256};

/// Nanoseconds in a day.
pub const NANOS_PER_DAY: i64 = 86_400_000_000_000;
/// Stands where there is no number.
const NOT_A_NUMBER: &str = "n/a";

/// A count with thousands separators: `1,234,567`.
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// A number with thousands separators and so many decimals: `-61,234.50`; `n/a` where it is not finite.
pub fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NOT_A_NUMBER.into();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    // A negative number that rounds to zero has no sign.
    let sign = if value < 0.0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) { "-" } else { "" };
    format!("{sign}{}{fraction}", grouped(whole))
}

/// An amount of money: two decimals, and below one unit enough of them for three significant digits, at most nine.
pub fn money(value: f64) -> String {
    let size = value.abs();
    let decimals =
        if size == 0.0 || size >= 1.0 || !size.is_finite() { 2 } else { (2.0 - size.log10().floor()).clamp(2.0, 9.0) as usize };
    decimal(value, decimals)
}

/// A duration to three significant digits, in the unit that keeps the number under 1,000: `842 ns`, `1.23 µs`, `45.6 ms`, `7.89 s`.
pub fn duration_ns(nanos: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
    // What rounds to 1,000 of a unit is 1.00 of the next.
    let Some((unit, name)) = UNITS.into_iter().find(|&(unit, _)| u128::from(nanos) * 2_000 >= u128::from(unit) * 1_999) else {
        return format!("{nanos} ns");
    };
    let value = nanos as f64 / unit as f64;
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{} {name}", decimal(value, decimals))
}

/// A difference of times, which may be negative, as [`duration_ns`] has it: `-1.27 s`.
pub fn signed_duration_ns(nanos: i64) -> String {
    format!("{}{}", if nanos < 0 { "-" } else { "" }, duration_ns(nanos.unsigned_abs()))
}

/// A number of bytes to three significant digits: `842 B`, `3.64 MB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = UNITS.into_iter().find(|&(unit, _)| value >= unit) else { return format!("{value} B") };
    let number = value as f64 / unit as f64;
    decimal(number, (2.0 - number.log10().floor()).clamp(0.0, 2.0) as usize) + " " + name
}

/// A stretch of time in the two largest units that have something in it: `19 min 46 s`, `2 d 3 h`, `12.5 s`.
pub fn span_ns(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0..60 => duration_ns(nanos),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", count(seconds / 86_400), seconds / 3_600 % 24),
    }
}

/// The date of a Unix time in UTC: `2024-08-08`.
pub fn date_utc(unix_ns: i64) -> String {
    let (year, month, day) = civil_from_days(unix_ns.div_euclid(NANOS_PER_DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The time of day of a Unix time in UTC, cut (not rounded) to so many decimals of a second: `23:54:14.206`.
pub fn clock_utc(unix_ns: i64, decimals: usize) -> String {
    let of_day = unix_ns.rem_euclid(NANOS_PER_DAY);
    let seconds = of_day / 1_000_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match decimals.min(9) {
        0 => clock,
        decimals => format!("{clock}.{}", &format!("{:09}", of_day % 1_000_000_000)[..decimals]),
    }
}

/// A name in snake case as words; parts of tick-to-trade, which stand beside the whole, by what tells them apart.
pub fn words(name: &str) -> String {
    name.strip_prefix("tick_to_trade_").unwrap_or(name).replace('_', " ")
}

/// How many level changes the messages of a decile have.
pub fn level_range(decile: &DepthDecileReport) -> String {
    match (decile.levels_min, decile.levels_max) {
        (1, 1) => "1 level".into(),
        (min, max) if min == max => format!("{} levels", count(max.into())),
        (min, max) => format!("{} to {} levels", count(min.into()), count(max.into())),
    }
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Thousands separators in a string of digits.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`). Years begin in March, so that the leap day is the last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_and_decimals_are_grouped() {
        assert_eq!(
            ["0", "999", "1,000", "18,446,744,073,709,551,615"],
            [0, 999, 1_000, u64::MAX].map(count).each_ref().map(String::as_str)
        );
        assert_eq!(decimal(-61_234.5, 2), "-61,234.50");
        assert_eq!(decimal(999.96, 1), "1,000.0");
        assert_eq!(decimal(-0.004, 2), "0.00");
        assert_eq!(decimal(f64::NAN, 2), "n/a");
        assert_eq!(decimal(f64::NEG_INFINITY, 2), "n/a");
    }

    #[test]
    fn money_keeps_three_digits_below_one() {
        assert_eq!(money(0.0), "0.00");
        assert_eq!(money(-1_234.567), "-1,234.57");
        assert_eq!(money(0.001_234), "0.00123");
        assert_eq!(money(-0.5), "-0.500");
        assert_eq!(money(1e-30), "0.000000000");
        assert_eq!(money(f64::INFINITY), "n/a");
    }

    #[test]
    fn durations_change_unit_where_they_round_to_a_thousand() {
        let cases = [
            (0, "0 ns"),
            (842, "842 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (99_949, "99.9 µs"),
            (99_960, "100 µs"),
            (999_400, "999 µs"),
            (999_500, "1.00 ms"),
            (45_600_000, "45.6 ms"),
            (999_600_000, "1.00 s"),
            (60_000_000_000, "60.0 s"),
            (1_234_000_000_000, "1,234 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration_ns(nanos), text);
        }
    }

    #[test]
    fn sizes_and_differences_have_units() {
        assert_eq!([0, 999, 1_000, 3_637_062, 18_900_000_000].map(bytes), ["0 B", "999 B", "1.00 kB", "3.64 MB", "18.9 GB"]);
        assert_eq!([0, -1_270_000_000, 4_500].map(signed_duration_ns), ["0 ns", "-1.27 s", "4.50 µs"]);
    }

    #[test]
    fn spans_show_two_units() {
        assert_eq!(span_ns(12_500_000_000), "12.5 s");
        assert_eq!(span_ns(1_186_000_000_000), "19 min 46 s");
        assert_eq!(span_ns(7_260_000_000_000), "2 h 1 min");
        assert_eq!(span_ns(u64::MAX), "213,503 d 23 h");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // From `date -u -d @N`.
        for (seconds, date, clock) in [
            (0, "1970-01-01", "00:00:00"),
            (-1, "1969-12-31", "23:59:59"),
            (951_782_400, "2000-02-29", "00:00:00"),
            (1_723_161_254, "2024-08-08", "23:54:14"),
            (4_107_542_399, "2100-02-28", "23:59:59"),
            (4_107_542_400, "2100-03-01", "00:00:00"),
        ] {
            assert_eq!((date_utc(seconds * 1_000_000_000), clock_utc(seconds * 1_000_000_000, 0)), (date.into(), clock.into()));
        }
        assert_eq!(clock_utc(1_723_161_254_206_652_067, 3), "23:54:14.206");
        assert_eq!(clock_utc(1_723_161_254_206_652_067, 20), "23:54:14.206652067");
        assert_eq!(date_utc(i64::MAX), "2262-04-11");
        assert_eq!(date_utc(i64::MIN), "1677-09-21");
    }

    proptest! {
        #[test]
        fn a_day_later_is_the_next_date(day in -100_000i64..100_000) {
            let (here, next) = (civil_from_days(day), civil_from_days(day + 1));
            let month_lengths = [31, if here.0 % 4 == 0 && (here.0 % 100 != 0 || here.0 % 400 == 0) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let expected = if here.2 < month_lengths[here.1 as usize - 1] {
                (here.0, here.1, here.2 + 1)
            } else if here.1 < 12 {
                (here.0, here.1 + 1, 1)
            } else {
                (here.0 + 1, 1, 1)
            };
            prop_assert_eq!(next, expected);
        }

        #[test]
        fn separators_are_all_that_is_added(value in any::<u64>()) {
            let text = count(value);
            prop_assert_eq!(text.replace(',', "").parse::<u64>().ok(), Some(value));
            prop_assert!(text.split(',').skip(1).all(|group| group.len() == 3));
        }
    }
}
