//! Fixed-point price and quantity, and the decimal text they are read from and written to.
//!
//! Captures carry no tick size, so a [`Price`] counts units of 1e-9 and a [`Qty`] units of 1e-8 whatever the instrument. Both
//! hold every price and quantity of the venues supported exactly; what does not fit is an error, never a rounding.

use std::fmt;

/// Decimals of a [`Price`].
pub const PRICE_DECIMALS: u32 = 9;
/// Decimals of a [`Qty`].
pub const QTY_DECIMALS: u32 = 8;
/// Units of a [`Price`] of 1.
pub const PRICE_SCALE: i64 = 1_000_000_000;
/// Units of a [`Qty`] of 1.
pub const QTY_SCALE: i64 = 100_000_000;

/// A price in units of 1e-9 of the quote currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Price(pub i64);

/// A quantity in units of 1e-8: of the base coin on spot and linear contracts, of contracts on inverse ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Qty(pub i64);

/// Why a decimal text is not a [`Price`] or [`Qty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedError {
    /// No digit, or a character that has no place in a plain decimal.
    Syntax,
    /// A non-zero digit beyond the last decimal that is kept.
    Precision,
    /// Too large for 64 bits at this scale.
    Range,
}

impl fmt::Display for FixedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FixedError::Syntax => "not a plain decimal number",
            FixedError::Precision => "more decimals than are kept (9 for prices, 8 for quantities)",
            FixedError::Range => "too large for 64-bit fixed point",
        })
    }
}

impl std::error::Error for FixedError {}

impl Price {
    /// Zero.
    pub const ZERO: Price = Price(0);

    /// Reads a plain decimal such as `61804.70`.
    ///
    /// # Errors
    /// [`FixedError`] for anything but digits with an optional sign and point, for a non-zero tenth decimal, and out of range.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Price, FixedError> {
        parse_fixed(text, PRICE_DECIMALS).map(Price)
    }

    /// The price as a floating-point number, for features and display.
    #[inline]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / PRICE_SCALE as f64
    }

    /// The nearest price to a floating-point number; `None` where it is not finite or out of range.
    pub fn from_f64(value: f64) -> Option<Price> {
        round_to_i64(value * PRICE_SCALE as f64).map(Price)
    }
}

impl Qty {
    /// Zero.
    pub const ZERO: Qty = Qty(0);

    /// Reads a plain decimal such as `0.014`.
    ///
    /// # Errors
    /// [`FixedError`] for anything but digits with an optional sign and point, for a non-zero ninth decimal, and out of range.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Qty, FixedError> {
        parse_fixed(text, QTY_DECIMALS).map(Qty)
    }

    /// The quantity as a floating-point number, for features and display.
    #[inline]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / QTY_SCALE as f64
    }

    /// The nearest quantity to a floating-point number; `None` where it is not finite or out of range.
    pub fn from_f64(value: f64) -> Option<Qty> {
        round_to_i64(value * QTY_SCALE as f64).map(Qty)
    }
}

fn round_to_i64(scaled: f64) -> Option<i64> {
    let rounded = scaled.round();
    (rounded.is_finite() && rounded.abs() < 9.2e18).then_some(rounded as i64)
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fixed(f, self.0, PRICE_DECIMALS)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Qty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fixed(f, self.0, QTY_DECIMALS)
    }
}

impl fmt::Debug for Qty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const POWERS: [i64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

#[inline]
fn parse_fixed(text: &[u8], decimals: u32) -> Result<i64, FixedError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut value: u64 = 0;
    let mut index = 0;
    // Eighteen digits cannot overflow u64; longer texts take the checked path.
    if digits.len() > 18 {
        return parse_fixed_long(digits, decimals, negative);
    }
    while index < digits.len() && digits[index].is_ascii_digit() {
        value = value * 10 + u64::from(digits[index] - b'0');
        index += 1;
    }
    let mut kept = 0;
    let mut seen = index;
    if index < digits.len() {
        if digits[index] != b'.' {
            return Err(FixedError::Syntax);
        }
        for &digit in &digits[index + 1..] {
            if !digit.is_ascii_digit() {
                return Err(FixedError::Syntax);
            }
            seen += 1;
            if kept < decimals {
                value = value * 10 + u64::from(digit - b'0');
                kept += 1;
            } else if digit != b'0' {
                return Err(FixedError::Precision);
            }
        }
    }
    if seen == 0 {
        return Err(FixedError::Syntax);
    }
    let scaled = value.checked_mul(POWERS[(decimals - kept) as usize] as u64).ok_or(FixedError::Range)?;
    let magnitude = i64::try_from(scaled).map_err(|_| FixedError::Range)?;
    Ok(if negative { -magnitude } else { magnitude })
}

#[cold]
fn parse_fixed_long(digits: &[u8], decimals: u32, negative: bool) -> Result<i64, FixedError> {
    let mut value: i64 = 0;
    let (mut seen, mut kept, mut after_point) = (0usize, 0, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                seen += 1;
                if after_point && kept == decimals {
                    if byte != b'0' {
                        return Err(FixedError::Precision);
                    }
                    continue;
                }
                kept += u32::from(after_point);
                value = value.checked_mul(10).and_then(|v| v.checked_add(i64::from(byte - b'0'))).ok_or(FixedError::Range)?;
            }
            b'.' if !after_point => after_point = true,
            _ => return Err(FixedError::Syntax),
        }
    }
    if seen == 0 {
        return Err(FixedError::Syntax);
    }
    let magnitude = value.checked_mul(POWERS[(decimals - kept) as usize]).ok_or(FixedError::Range)?;
    Ok(if negative { -magnitude } else { magnitude })
}

fn write_fixed(f: &mut fmt::Formatter<'_>, value: i64, decimals: u32) -> fmt::Result {
    let scale = POWERS[decimals as usize] as u64;
    let magnitude = value.unsigned_abs();
    let (whole, mut fraction) = (magnitude / scale, magnitude % scale);
    let mut width = decimals as usize;
    while width > 0 && fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    let sign = if value < 0 { "-" } else { "" };
    match width {
        0 => f.pad(&format!("{sign}{whole}")),
        _ => f.pad(&format!("{sign}{whole}.{fraction:0width$}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_decimals_exactly() {
        assert_eq!(Price::parse(b"61804.70"), Ok(Price(61_804_700_000_000)));
        assert_eq!(Price::parse(b"0.00006547"), Ok(Price(65_470)));
        assert_eq!(Qty::parse(b"0.00000000"), Ok(Qty(0)));
        assert_eq!(Qty::parse(b"-1.5"), Ok(Qty(-150_000_000)));
        assert_eq!(Qty::parse(b"5."), Ok(Qty(500_000_000)));
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        for text in ["", ".", "-", "1e5", "1,5", " 1", "+1", "1.2.3", "0x1"] {
            assert_eq!(Price::parse(text.as_bytes()), Err(FixedError::Syntax), "{text:?}");
        }
        assert_eq!(Qty::parse(b"0.000000001"), Err(FixedError::Precision));
        assert_eq!(Qty::parse(b"0.0000000010000000000001"), Err(FixedError::Precision));
        assert_eq!(Price::parse(b"9223372037"), Err(FixedError::Range));
        assert_eq!(Price::parse(b"99999999999999999999"), Err(FixedError::Range));
        assert_eq!(Price::parse(b"1.000000000000000000000000000"), Ok(Price(PRICE_SCALE)));
    }

    #[test]
    fn display_reads_back() {
        for raw in [0, 1, -1, 65_470, 61_804_700_000_000, i64::MAX, -123_000_000_000] {
            assert_eq!(Price::parse(Price(raw).to_string().as_bytes()), Ok(Price(raw)));
        }
        assert_eq!(Price(61_804_700_000_000).to_string(), "61804.7");
    }
}
