//! Elementary functions in f32, written so that loops over them vectorise and so that every machine gives the same bits: only
//! additions, products, quotients and bit patterns, no library call and no fused multiply-add.

use std::f32::consts::{LN_2, LOG2_E};

/// Adding this to a small f32 rounds it to the nearest integer, which then stands in the low bits of the sum.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

/// `ln 2` split in two, the first with few bits, so that a multiple of it is subtracted without error (Cody and Waite, 1980).
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `exp(x)` within 3e-7 relative, for x held between -87 and 88; not a number for itself.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // x = k ln 2 + r with |r| <= ln 2 / 2.
    let rounded = x * LOG2_E + ROUNDER;
    let k = rounded - ROUNDER;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    exp_series(r) * power_of_2(rounded)
}

/// `2^x` within 3e-7 relative, for x not above 127 and held at -126 from below; not a number for itself. It takes a third less
/// time than [`exp`], since what `x` leaves over an integer is exact.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    let x = if x < -126.0 { -126.0 } else { x };
    let rounded = x + ROUNDER;
    let r = (x - (rounded - ROUNDER)) * LN_2;
    exp_series(r) * power_of_2(rounded)
}

/// Taylor's series of `exp(r)` for |r| <= ln 2 / 2; the first term left out, r^7 / 7!, is at most 1.2e-7.
#[inline(always)]
fn exp_series(r: f32) -> f32 {
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)));
    1.0 + (r + r * r * (0.5 + r * tail))
}

/// `2^k` from its bit pattern, where `rounded` is `k + ROUNDER`; a conversion to an integer type would stop vectorisation.
#[inline(always)]
fn power_of_2(rounded: f32) -> f32 {
    f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `ln(1 + exp(x))`.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let positive = if x > 0.0 { x } else { 0.0 };
    positive + ln_1p(exp(-x.abs()))
}

/// `ln(x)` of a positive, normal x.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let exponent = (x.to_bits() >> 23) as i32 - 127;
    let mantissa = f32::from_bits((x.to_bits() & 0x007f_ffff) | 0x3f80_0000);
    exponent as f32 * LN_2 + ln_1p(mantissa - 1.0)
}

/// `ln(1 + u)` within 2e-7 relative, for u from 0 to 1.
///
/// `ln(1 + u) = 2 artanh(s)` with `s = u / (2 + u)`, at most 1/3; the first term of the series left out is below 1e-8 of the sum.
#[inline(always)]
fn ln_1p(u: f32) -> f32 {
    let s = u / (2.0 + u);
    let q = s * s;
    let tail =
        1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0))))));
    2.0 * (s + s * (q * tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest relative error over a dense grid, against the library in f64.
    fn worst(low: f64, high: f64, ours: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let points = 200_000;
        (0..=points)
            .map(|point| {
                let x = (low + (high - low) * f64::from(point) / f64::from(points)) as f32;
                let wanted = exact(f64::from(x));
                ((f64::from(ours(x)) - wanted) / wanted.abs().max(1e-37)).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn within_1e_6_of_the_library() {
        let softplus_exact = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        for (name, error) in [
            ("exp", worst(-86.9, 87.9, exp, f64::exp)),
            ("exp near 0", worst(-1.0, 1.0, exp, f64::exp)),
            ("exp2", worst(-125.9, 1.0, exp2, f64::exp2)),
            ("exp2 near 0", worst(-1.0, 0.0, exp2, f64::exp2)),
            ("sigmoid", worst(-80.0, 80.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp()))),
            ("silu", worst(-80.0, 80.0, silu, |x| x / (1.0 + (-x).exp()))),
            ("softplus", worst(-80.0, 80.0, softplus, softplus_exact)),
            ("ln", worst(1.0, 3.0, |x| ln(x) + 1.0, |x| x.ln() + 1.0)),
            ("ln of large", worst(2.0, 1e9, ln, f64::ln)),
        ] {
            println!("{name}: {error:.1e}");
            assert!(error < 1e-6, "{name}: {error:e}");
        }
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1e-37 && exp(1e30).is_finite());
        assert!(silu(-1e4).abs() < 1e-30 && silu(1e4) == 1e4);
        assert!(softplus(1e30) == 1e30 && softplus(-1e30) >= 0.0);
        assert!(exp2(0.0) == 1.0 && exp2(-3.0) == 0.125 && exp2(-1e30) < 1.2e-38 && exp2(f32::NAN).is_nan());
        assert!(exp(f32::NAN).is_nan() && silu(f32::NAN).is_nan() && softplus(f32::NAN).is_nan());
        assert_eq!(ln(1.0), 0.0);
    }
}
