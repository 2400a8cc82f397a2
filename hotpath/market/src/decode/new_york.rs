//! Midnight in New York, from which US exchanges count the time of day.

use super::calendar::{day_number, year_of_day};
use crate::time::{NANOS_PER_SECOND, Timestamp};

const DAY_SECONDS: i64 = 86_400;
const HOUR_SECONDS: i64 = 3_600;

/// The last midnight in New York at or before an instant, by the rule in force since 2007: summer time from 02:00 on the second
/// Sunday of March to 02:00 on the first Sunday of November. Midnight is never within an hour of a change, so a day has one.
pub fn new_york_midnight(instant: Timestamp) -> Timestamp {
    let seconds = instant.0.div_euclid(NANOS_PER_SECOND);
    // In winter midnight is at 05:00 UTC. Where the day that began by that is one of summer, midnight was an hour earlier.
    let midnight_of = |day: i64| day * DAY_SECONDS + if is_summer_at_midnight(day) { 4 } else { 5 } * HOUR_SECONDS;
    let day = seconds.div_euclid(DAY_SECONDS);
    let midnight = if midnight_of(day) <= seconds { midnight_of(day) } else { midnight_of(day - 1) };
    Timestamp(midnight.saturating_mul(NANOS_PER_SECOND))
}

/// Midnight in New York at the beginning of a date, `2019-12-30`; `None` where it is not one.
pub fn new_york_midnight_of_date(date: &str) -> Option<Timestamp> {
    let mut parts = date.split('-');
    let mut number = |digits: usize| {
        let text = parts.next().filter(|text| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))?;
        text.parse::<i64>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let begins = day_number(year, month, 1);
    let is_date = parts.next().is_none() && (1..=12).contains(&month) && day >= 1 && day <= day_number(year, month + 1, 1) - begins;
    let noon = Timestamp(((begins + day - 1) * DAY_SECONDS + DAY_SECONDS / 2).checked_mul(NANOS_PER_SECOND)?);
    is_date.then(|| new_york_midnight(noon))
}

/// Whether midnight at the beginning of a day (days since 1970-01-01) in New York is in summer time.
fn is_summer_at_midnight(day: i64) -> bool {
    let year = year_of_day(day);
    // The clocks change at 02:00: the first midnight in the other time is that of the Monday.
    let begin = sunday_from(day_number(year, 3, 8)) + 1;
    let end = sunday_from(day_number(year, 11, 1)) + 1;
    (begin..end).contains(&day)
}

/// The first Sunday at or after a day. 1970-01-01 was a Thursday.
fn sunday_from(day: i64) -> i64 {
    day + (3 - day).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_date() {
        // 2019-12-30 05:00 UTC, 2024-07-01 04:00 UTC, and the leap day of 2020, 05:00 UTC.
        for (date, seconds) in [("2019-12-30", 1_577_682_000), ("2024-07-01", 1_719_806_400), ("2020-02-29", 1_582_952_400)] {
            assert_eq!(new_york_midnight_of_date(date), Some(Timestamp(seconds * NANOS_PER_SECOND)), "{date}");
        }
        for text in
            ["", "2019-12-32", "2019-13-01", "2019-02-29", "2019-00-10", "2019-1-01", "20191230", "2019-12-30-1", "2019-12-+3"]
        {
            assert_eq!(new_york_midnight_of_date(text), None, "{text}");
        }
    }

    #[test]
    fn follows_the_change_of_clocks() {
        // Instants in UTC seconds: an instant and the midnight before it, from the calendar.
        for (instant, midnight) in [
            (1_493_132_598, 1_493_092_800), // 2017-04-25 15:03:18, midnight at 04:00
            (1_485_000_000, 1_484_974_800), // 2017-01-21 12:00, midnight at 05:00
            (1_520_755_200, 1_520_744_400), // 2018-03-11 08:00, the day summer begins: midnight at 05:00
            (1_520_827_200, 1_520_827_200), // 2018-03-12 04:00, the first midnight of summer
            (1_520_827_199, 1_520_744_400), // a second before
            (1_541_314_800, 1_541_304_000), // 2018-11-04 07:00, the day summer ends: midnight at 04:00
            (1_541_394_000, 1_541_394_000), // 2018-11-05 05:00, the first midnight of winter
            (1_541_393_999, 1_541_304_000), // a second before
            (1_582_977_600, 1_582_952_400), // 2020-02-29 12:00
            (951_825_600, 951_800_400),     // 2000-02-29 12:00
        ] {
            let found = new_york_midnight(Timestamp(instant * NANOS_PER_SECOND + 5));
            assert_eq!(found.0 / NANOS_PER_SECOND, midnight, "{instant}");
        }
    }

    #[test]
    fn holds_at_the_ends_of_the_range() {
        assert!(new_york_midnight(Timestamp::MAX) <= Timestamp::MAX);
        assert!(new_york_midnight(Timestamp::MIN) < Timestamp(0));
    }
}
