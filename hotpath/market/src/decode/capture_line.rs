//! A line of a raw capture: receive time, one space, the message as it came.

use super::digits::{digits, eight_digits, number, unsigned};
use crate::time::{TimeUnit, Timestamp};
use std::fmt;

/// A capture line split into its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaptureLine<'a> {
    /// Receive time.
    pub recv: Timestamp,
    /// The unit the line gives it in.
    pub unit: TimeUnit,
    /// The message.
    pub message: &'a [u8],
}

/// Why a line is not `<receive time> <message>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineError {
    /// It does not begin with a number and a space.
    NoReceiveTime,
    /// The number is not a time in s, ms, us or ns since 1970.
    ReceiveTimeOutOfRange,
    /// Nothing follows the receive time.
    NoMessage,
}

impl LineError {
    /// A number a reason, for records: stable, never reused, apart from the decoders'.
    pub fn code(self) -> u8 {
        match self {
            LineError::NoReceiveTime => 100,
            LineError::ReceiveTimeOutOfRange => 101,
            LineError::NoMessage => 102,
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineError::NoReceiveTime => "does not begin with a receive time and a space",
            LineError::ReceiveTimeOutOfRange => "receive time is not in s, ms, us or ns since 1970",
            LineError::NoMessage => "no message after the receive time",
        })
    }
}

impl std::error::Error for LineError {}

/// Splits a line without its newline (a carriage return at the end is dropped). The unit of the receive time is told by its
/// magnitude; a decimal fraction is kept to the nanosecond.
///
/// # Errors
/// [`LineError`] where the line is not `<receive time> <message>`.
#[inline]
pub fn split_capture_line(line: &[u8]) -> Result<CaptureLine<'_>, LineError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (recv, unit, rest) = split_time(line)?;
    match rest.first() {
        Some(b' ') => {}
        None => return Err(LineError::NoMessage),
        Some(_) => return Err(LineError::NoReceiveTime),
    }
    let message = rest[1..].trim_ascii();
    if message.is_empty() {
        return Err(LineError::NoMessage);
    }
    Ok(CaptureLine { recv, unit, message })
}

/// The Unix time that a text begins with, its unit, and what follows.
#[inline]
pub(super) fn split_time(text: &[u8]) -> Result<(Timestamp, TimeUnit, &[u8]), LineError> {
    let (value, mut place) = nineteen_digits(text).unwrap_or_else(|| unsigned(text, 0));
    // Nineteen digits cannot overflow; what has more and is a time all the same begins with zeros, which nobody writes.
    let value = i64::try_from(value).ok().filter(|_| place <= 19).ok_or(LineError::ReceiveTimeOutOfRange)?;
    if place == 0 {
        return Err(LineError::NoReceiveTime);
    }
    let unit = TimeUnit::of_magnitude(value).ok_or(LineError::ReceiveTimeOutOfRange)?;
    let mut nanos = value.checked_mul(unit.nanos()).ok_or(LineError::ReceiveTimeOutOfRange)?;
    if text.get(place) == Some(&b'.') {
        place += 1;
        let mut worth = unit.nanos();
        while let Some(digit) = text.get(place).filter(|byte| byte.is_ascii_digit()) {
            worth /= 10;
            nanos = nanos.checked_add(worth * i64::from(digit - b'0')).ok_or(LineError::ReceiveTimeOutOfRange)?;
            place += 1;
        }
    }
    Ok((Timestamp(nanos), unit, &text[place..]))
}

/// A time in nanoseconds, as most captures give it: nineteen digits, and the length they are.
#[inline]
fn nineteen_digits(text: &[u8]) -> Option<(u64, usize)> {
    let (first, rest) = text.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    let third @ [_, _, _, b' '] = rest.first_chunk()? else { return None };
    let [(8, first), (8, second), (3, third)] =
        [u64::from_le_bytes(*first), u64::from_le_bytes(*second), u64::from(u32::from_le_bytes(*third))].map(digits)
    else {
        return None;
    };
    Some((eight_digits(first) * 100_000_000_000 + eight_digits(second) * 1_000 + number(third, 3), 19))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tells_the_unit_and_keeps_fractions() {
        let line = split_capture_line(b"1723161255030314667 {}\r").unwrap();
        assert_eq!((line.recv.0, line.unit, line.message), (1_723_161_255_030_314_667, TimeUnit::Nanos, &b"{}"[..]));
        let line = split_capture_line(b"1626992741.06217 {\"a\":1}").unwrap();
        assert_eq!((line.recv.0, line.unit), (1_626_992_741_062_170_000, TimeUnit::Seconds));
        assert_eq!(split_capture_line(b"1626992741062 x").unwrap().recv.0, 1_626_992_741_062_000_000);
        assert_eq!(split_capture_line(b"1626992741062170 x").unwrap().recv.0, 1_626_992_741_062_170_000);
    }

    #[test]
    fn says_what_is_wrong() {
        for (line, error) in [
            ("", LineError::NoReceiveTime),
            ("{}", LineError::NoReceiveTime),
            ("1723161255030314667{}", LineError::NoReceiveTime),
            ("1723161255030314667", LineError::NoMessage),
            ("1723161255030314667  ", LineError::NoMessage),
            ("17 {}", LineError::ReceiveTimeOutOfRange),
            ("99999999999999999999 {}", LineError::ReceiveTimeOutOfRange),
            ("9223372036.999999999 {}", LineError::ReceiveTimeOutOfRange),
        ] {
            assert_eq!(split_capture_line(line.as_bytes()), Err(error), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn says_what_the_written_number_says(whole in "[1-9][0-9]{0,20}|0[0-9]{0,18}", fraction in "(\\.[0-9]{0,11})?") {
            let line = format!("{whole}{fraction} {{}}");
            let unit = whole.parse().ok().and_then(TimeUnit::of_magnitude);
            // A fraction finer than a nanosecond is cut off.
            let digits = fraction.trim_start_matches('.').chars().chain("000000000".chars()).take(9).collect::<String>();
            let nanos = unit.map(|unit| {
                let part = digits.parse::<i128>().unwrap() * i128::from(unit.nanos()) / 1_000_000_000;
                whole.parse::<i128>().unwrap() * i128::from(unit.nanos()) + part
            });
            let expected = nanos.and_then(|nanos| i64::try_from(nanos).ok()).ok_or(LineError::ReceiveTimeOutOfRange);
            prop_assert_eq!(split_capture_line(line.as_bytes()).map(|line| line.recv.0), expected, "{}", line);
        }
    }
}
