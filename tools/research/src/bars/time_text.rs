//! Times as histories write them.

use chronos_market::{NANOS_PER_SECOND, TimeUnit};

const SECONDS_PER_DAY: i64 = 86_400;

/// Nanoseconds since 1970 of a time in a history: a whole number in s, ms, us or ns, told by its magnitude; or `2020-10-23`,
/// optionally followed by `T` or a space, `11:00`, seconds and up to nine decimals, and `Z` or an offset such as `+03:00` (UTC where
/// there is none). `None` for anything else, and outside 1973 to 2261.
pub fn time_ns(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let value: i64 = text.parse().ok()?;
        return value.checked_mul(TimeUnit::of_magnitude(value)?.nanos());
    }
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let day = day_number(year, month, day)?;
    if rest.is_empty() {
        return Some(day * SECONDS_PER_DAY * NANOS_PER_SECOND);
    }
    let (hour, rest) = digits(rest.strip_prefix(['T', ' '])?, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (mut second, mut nanos) = (0, 0);
    if let Some(seconds) = rest.strip_prefix(':') {
        (second, rest) = digits(seconds, 2)?;
        if let Some(fraction) = rest.strip_prefix('.') {
            let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&count) {
                return None;
            }
            (nanos, rest) = digits(fraction, count)?;
            nanos *= 10_i64.pow(9 - count as u32);
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset_minutes = match rest {
        "" | "Z" => 0,
        _ => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            let (hours, rest) = digits(rest.strip_prefix(['+', '-'])?, 2)?;
            let (minutes, rest) = digits(rest.strip_prefix(':').unwrap_or(rest), 2)?;
            if !rest.is_empty() || hours > 14 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes)
        }
    };
    let seconds = day * SECONDS_PER_DAY + (hour * 60 + minute - offset_minutes) * 60 + second;
    Some(seconds * NANOS_PER_SECOND + nanos)
}

/// The first `count` digits as a number, and what follows.
fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let head = text.get(..count).filter(|head| head.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((head.parse().ok()?, &text[count..]))
}

/// Days since 1970 of a day of the calendar; `None` where there is no such day from 1973 to 2261.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok().filter(|before| *before < 12)?;
    if !(1973..=2261).contains(&year) || !(1..=lengths[before]).contains(&day) {
        return None;
    }
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    Some(days + lengths[..before].iter().sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_they_are_written() {
        for (text, expected) in [
            ("1537167600", Some(1_537_167_600_000_000_000)),
            ("1537167600123", Some(1_537_167_600_123_000_000)),
            ("2018-09-17", Some(1_537_142_400_000_000_000)),
            ("2020-10-23 11:00:00+03:00", Some(1_603_440_000_000_000_000)),
            ("2020-10-23 08:00:00", Some(1_603_440_000_000_000_000)),
            ("2020-10-23T08:00:00.5Z", Some(1_603_440_000_500_000_000)),
            ("2020-10-23 11:59:59.999000+0300", Some(1_603_443_599_999_000_000)),
            ("2000-02-29 00:00", Some(951_782_400_000_000_000)),
            ("2001-02-29", None),
            ("2020-13-01", None),
            ("2020-10-23 24:00:00", None),
            ("2020-10-23 08:00:00 UTC", None),
            ("2020-10-23 08:00:00.0000000001", None),
            ("12", None),
            ("", None),
            ("2020-10-2é", None),
        ] {
            assert_eq!(time_ns(text), expected, "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 1_096;
        for year in 1973..=2261 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(number) = day_number(year, month, day) {
                        assert_eq!(number, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        // From 1973 on there are 289 years, 70 of them leap years.
        assert_eq!(expected - 1_096, 289 * 365 + 70);
    }
}
