//! Times as venues write them, to nanoseconds since 1970.

use super::calendar::day_number;
use super::decimal;
use crate::time::{NANOS_PER_SECOND, TimeUnit};

const SECONDS_PER_DAY: i64 = 86_400;

/// Nanoseconds of `2021-04-17T16:43:37.075687Z`, with up to nine decimals or none; `None` for anything else, and outside
/// 1970 to 2261.
pub fn iso_ns(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        bytes
            .get(from..to)?
            .iter()
            .try_fold(0_i64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    };
    let signs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !signs.iter().all(|&(place, sign)| bytes.get(place) == Some(&sign)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let fraction = match bytes.get(19..)? {
        b"Z" => 0,
        [b'.', decimals @ .., b'Z'] if (1..=9).contains(&decimals.len()) => {
            number(20, 20 + decimals.len())? * 10_i64.pow(9 - decimals.len() as u32)
        }
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(day_ns(year, month, day)? + ((hour * 60 + minute) * 60 + second) * NANOS_PER_SECOND + fraction)
}

/// Nanoseconds of `1618678133.384218`; `None` where it is not a time from 1970 to 2262.
pub(super) fn seconds_ns(text: &str) -> Option<i64> {
    // Nine decimals are kept, as of a price.
    decimal::price(text).ok().map(|price| price.0).filter(|&nanos| nanos >= 0)
}

/// Nanoseconds of a whole number of a unit since 1970; `None` where it is after 2262.
pub(super) fn unix_ns(value: u64, unit: TimeUnit) -> Option<i64> {
    i64::try_from(value).ok()?.checked_mul(unit.nanos())
}

/// Nanoseconds from 1970 to the start of a day of the calendar, UTC; `None` where there is no such day from 1970 to 2261.
pub(super) fn day_ns(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_day = (1970..=2261).contains(&year) && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    is_day.then(|| day_number(year, month, day) * SECONDS_PER_DAY * NANOS_PER_SECOND)
}

fn days_in(year: i64, month: i64) -> i64 {
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
    fn iso_times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000000Z", Some(0)),
            ("2021-04-17T16:43:37.075687Z", Some(1_618_677_817_075_687_000)),
            ("2021-04-17T16:43:37Z", Some(1_618_677_817_000_000_000)),
            ("2023-10-06T17:35:00.279389650Z", Some(1_696_613_700_279_389_650)),
            ("2019-06-01T00:00:10.4269950Z", Some(1_559_347_210_426_995_000)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000_000)),
            ("1900-02-28T00:00:00Z", None),
            ("2001-02-29T00:00:00Z", None),
            ("0001-01-01T00:00:00.000000Z", None),
            ("2021-04-17T16:43:37.Z", None),
            ("2021-04-17T24:00:00Z", None),
            ("2021-04-17T16:43:37", None),
            ("2021-04-17 16:43:37Z", None),
            ("2021-04-17T16:43:37.0000000001Z", None),
            ("", None),
        ] {
            assert_eq!(iso_ns(text), expected, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..=2261 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(day_ns(year, month, day), Some(expected * SECONDS_PER_DAY * NANOS_PER_SECOND));
                    expected += 1;
                }
                assert_eq!(day_ns(year, month, days_in(year, month) + 1), None);
            }
        }
    }

    #[test]
    fn seconds_with_decimals() {
        assert_eq!(seconds_ns("1618678133.384218"), Some(1_618_678_133_384_218_000));
        assert_eq!(seconds_ns("0.000000"), Some(0));
        assert_eq!(seconds_ns("-1"), None);
        assert_eq!(seconds_ns("now"), None);
    }
}
