//! What a trade cost, measured from trades and quotes, or guessed from prices alone.

use crate::event::Side;
use crate::fixed::Price;

/// What a taker paid over the mid for a round trip: `2 * sign * (price - mid)`, in quote currency (Huang and Stoll 1996).
/// Negative where the mid had moved past the price.
#[inline]
pub fn effective_spread(price: Price, mid: f64, aggressor: Side) -> f64 {
    2.0 * aggressor.sign() as f64 * (price.to_f64() - mid)
}

/// What of it the maker kept: `2 * sign * (price - later_mid)`, in quote currency (Huang and Stoll 1996).
#[inline]
pub fn realized_spread(price: Price, later_mid: f64, aggressor: Side) -> f64 {
    effective_spread(price, later_mid, aggressor)
}

/// What of it the market took back: `2 * sign * (later_mid - mid)`, in quote currency: effective less realized spread.
#[inline]
pub fn price_impact(mid: f64, later_mid: f64, aggressor: Side) -> f64 {
    2.0 * aggressor.sign() as f64 * (later_mid - mid)
}

/// The spread that would explain how price changes turn back: `2 * sqrt(-covariance)` of each change with the one before; 0 where
/// they do not (Roll 1984).
#[inline]
pub fn roll_spread(covariance: f64) -> f64 {
    2.0 * (-covariance).max(0.0).sqrt()
}

/// Illiquidity of one bar: `|log return| / notional` (Amihud 2002, there with daily simple returns); 0 without notional.
#[inline]
pub fn amihud(log_return: f64, notional: f64) -> f64 {
    if notional > 0.0 { log_return.abs() / notional } else { 0.0 }
}

/// The alpha of two bars' high-low ranges (Corwin and Schultz 2012, equation 14), from `(high, low)` of each, which are positive.
pub fn corwin_schultz_alpha(before: (f64, f64), after: (f64, f64)) -> f64 {
    let squared_range = |(high, low): (f64, f64)| (high / low).ln().powi(2);
    let beta = squared_range(before) + squared_range(after);
    let gamma = squared_range((before.0.max(after.0), before.1.min(after.1)));
    let divisor = 3.0 - 2.0 * std::f64::consts::SQRT_2;
    ((2.0 * beta).sqrt() - beta.sqrt()) / divisor - (gamma / divisor).sqrt()
}

/// The relative spread `2 * (e^alpha - 1) / (e^alpha + 1)` (Corwin and Schultz 2012, equation 18): negative where the ranges tell
/// of no spread.
pub fn corwin_schultz(alpha: f64) -> f64 {
    // The hyperbolic tangent is the same quotient without its overflow.
    2.0 * (0.5 * alpha).tanh()
}
