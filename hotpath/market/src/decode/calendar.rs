//! Days of the Gregorian calendar.

/// Days from 1970-01-01 to a date; months count from 1, and a day beyond its month runs on into the next.
pub(super) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March has its leap day at the end, and its months before that follow a straight line.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// The year that a day since 1970-01-01 is in.
pub(super) fn year_of_day(day: i64) -> i64 {
    // By the mean length of a year, which is off by one at most.
    let guess = 1970 + (day * 400).div_euclid(146_097);
    if day < day_number(guess, 1, 1) {
        guess - 1
    } else if day >= day_number(guess + 1, 1, 1) {
        guess + 1
    } else {
        guess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_days_of_the_calendar() {
        for (date, number) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2017, 4, 25), 17_281),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(day_number(date.0, date.1, date.2), number, "{date:?}");
        }
    }

    #[test]
    fn every_day_is_in_one_year() {
        for year in 1900..2200 {
            let (first, last) = (day_number(year, 1, 1), day_number(year, 12, 31));
            assert_eq!([year_of_day(first - 1), year_of_day(first), year_of_day(last)], [year - 1, year, year]);
        }
    }
}
