//! Prices and quantities from the text of a JSON number, which may have an exponent.

use crate::fixed::{FixedError, PRICE_DECIMALS, Price, QTY_DECIMALS, Qty};

/// Reads `61804.70` or `-1.5e-07` exactly.
pub(super) fn price(text: &str) -> Result<Price, FixedError> {
    if has_exponent(text) { exact(text, PRICE_DECIMALS).map(Price) } else { Price::parse(text.as_bytes()) }
}

/// Reads `0.014` or `-1.5e-07` exactly.
pub(super) fn qty(text: &str) -> Result<Qty, FixedError> {
    if has_exponent(text) { exact(text, QTY_DECIMALS).map(Qty) } else { Qty::parse(text.as_bytes()) }
}

/// The price nearest to a number that a binary float was written as: `236.61000000000001` for 236.61.
///
/// Such a text has 17 significant digits, and both the float and the text are off by less than one part in 1e16: below a million
/// that is less than half a unit of the ninth decimal.
pub(super) fn nearest_price(text: &str) -> Result<Price, FixedError> {
    scaled(text, PRICE_DECIMALS).map(|(value, _)| Price(value))
}

/// The quantity nearest to a number that a binary float was written as: see [`nearest_price`].
pub(super) fn nearest_qty(text: &str) -> Result<Qty, FixedError> {
    scaled(text, QTY_DECIMALS).map(|(value, _)| Qty(value))
}

/// Decimals a plain number is written with.
pub(super) fn decimals_written(text: &str) -> u8 {
    text.split_once('.').map_or(0, |(_, decimals)| u8::try_from(decimals.len()).unwrap_or(u8::MAX))
}

fn has_exponent(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'e' | b'E'))
}

fn exact(text: &str, decimals: u32) -> Result<i64, FixedError> {
    match scaled(text, decimals)? {
        (value, true) => Ok(value),
        (_, false) => Err(FixedError::Precision),
    }
}

/// A decimal times `10^decimals`, rounded half away from zero, and whether nothing was rounded.
fn scaled(text: &str, decimals: u32) -> Result<(i64, bool), FixedError> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| FixedError::Syntax)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 {
        return Err(FixedError::Syntax);
    }
    let mut value: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return Err(FixedError::Syntax);
        }
        value = value.checked_mul(10).and_then(|v| v.checked_add(u128::from(digit - b'0'))).ok_or(FixedError::Range)?;
    }
    let shift = i64::from(exponent) + i64::from(decimals) - fraction.len() as i64;
    let power = |exponent: i64| u32::try_from(exponent).ok().and_then(|exponent| 10_u128.checked_pow(exponent));
    let (magnitude, is_exact) = if value == 0 {
        (0, true)
    } else if shift >= 0 {
        (power(shift).and_then(|power| value.checked_mul(power)).ok_or(FixedError::Range)?, true)
    } else {
        match power(-shift) {
            Some(power) => (value / power + u128::from(value % power >= power / 2), value.is_multiple_of(power)),
            // Divided by more than any value can be.
            None => (0, false),
        }
    };
    let magnitude = i64::try_from(magnitude).map_err(|_| FixedError::Range)?;
    Ok((if is_negative { -magnitude } else { magnitude }, is_exact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_exponents_exactly() {
        for (text, expected) in [
            ("0.246386", Ok(24_638_600)),
            ("-1.48e-06", Ok(-148)),
            ("-1.5e-07", Ok(-15)),
            ("1e-8", Ok(1)),
            ("1e-9", Err(FixedError::Precision)),
            ("1.12345678912e3", Ok(112_345_678_912)),
            ("2E+3", Ok(200_000_000_000)),
            ("0e999", Ok(0)),
            ("1e999", Err(FixedError::Range)),
            ("1e-999", Err(FixedError::Precision)),
            ("92233720368.54775807", Ok(i64::MAX)),
            ("9.223372036854775808e10", Err(FixedError::Range)),
            ("e5", Err(FixedError::Syntax)),
            ("1e", Err(FixedError::Syntax)),
            ("1e5.0", Err(FixedError::Syntax)),
            ("", Err(FixedError::Syntax)),
            ("--1", Err(FixedError::Syntax)),
            ("0.-10000", Err(FixedError::Syntax)),
        ] {
            assert_eq!(qty(text).map(|qty| qty.0), expected, "{text}");
        }
    }

    #[test]
    fn gives_back_the_decimal_behind_a_float() {
        assert_eq!(nearest_price("236.61000000000001"), Price::parse(b"236.61"));
        assert_eq!(nearest_price("235.91999999999999"), Price::parse(b"235.92"));
        assert_eq!(nearest_qty("9.9999999999999995e-07"), Qty::parse(b"0.000001"));
        assert_eq!(nearest_qty("1.7885566900000001"), Qty::parse(b"1.78855669"));
    }

    #[test]
    fn counts_decimals_as_written() {
        assert_eq!(["13.203800", "5", "0.5630", "7."].map(decimals_written), [6, 0, 4, 0]);
    }

    proptest! {
        #[test]
        fn an_exponent_moves_the_point(units in any::<i64>(), exponent in -12_i64..12) {
            // units * 1e-8, written with the point moved by the exponent.
            prop_assert_eq!(qty(&format!("{units}e-8")).map(|qty| qty.0), Ok(units));
            let text = format!("{}e{}", Qty(units), exponent);
            let expected = i128::from(units) as f64 * 10_f64.powi(exponent as i32);
            if let Ok(read) = qty(&text) {
                prop_assert!((read.0 as f64 - expected).abs() <= expected.abs() * 1e-12 + 0.5);
            }
        }

        #[test]
        fn seventeen_digits_give_back_nine_decimals(price in 0_i64..1_000_000_000_000_000) {
            let value = Price(price).to_f64();
            prop_assert_eq!(nearest_price(&format!("{value:.16e}")), Ok(Price(price)));
        }
    }
}
