//! The regime as the step graph's input.

use super::Assessment;
use chronos_market::{REGIME_EMBEDDING, Regime};

/// The input `regime` of the step graph.
///
/// | place | value |
/// |---|---|
/// | 0 to 4 | 1 at the regime's number ([`Regime::ALL`]), 0 elsewhere |
/// | 5 | trend, `x / (1 + abs(x))`, within -1 and 1 |
/// | 6 | logarithm of the volatility ratio, likewise |
/// | 7 | volatility in basis points per square root of a second, likewise, within 0 and 1 |
/// | 8 | evidence, 0 to 1 |
/// | 9 and on | 0 |
pub fn embedding(assessment: &Assessment) -> [f32; REGIME_EMBEDDING] {
    let mut places = [0.0; REGIME_EMBEDDING];
    places[assessment.regime as usize] = 1.0;
    let first = Regime::ALL.len();
    places[first] = bounded(assessment.trend);
    places[first + 1] = bounded(assessment.volatility_ratio.ln());
    places[first + 2] = bounded(assessment.volatility_bps);
    places[first + 3] = assessment.evidence as f32;
    places
}

fn bounded(value: f64) -> f32 {
    (value / (1.0 + value.abs())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_documented() {
        let places = embedding(&Assessment {
            regime: Regime::TrendingDown,
            trend: -3.0,
            volatility_ratio: 1.0,
            volatility_bps: 1.0,
            evidence: 1.0,
        });
        assert_eq!(places[..10], [0.0, 0.0, 0.0, 1.0, 0.0, -0.75, 0.0, 0.5, 1.0, 0.0]);
        assert!(places[9..].iter().all(|&place| place == 0.0));
    }
}
