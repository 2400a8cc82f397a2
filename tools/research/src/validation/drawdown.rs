//! Drawdowns: how far wealth lay below its highest so far, and risk measured on that.

use super::performance::{conditional_value_at_risk, value_at_risk};

/// How returns make wealth, which starts at 1 before the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wealth {
    /// Returns multiply; a drawdown is a share of the highest wealth.
    Compounded,
    /// Returns add up; a drawdown is an amount.
    Additive,
}

/// The drawdown after each return, 0 at a new high.
pub fn drawdowns(returns: &[f64], wealth: Wealth) -> Vec<f64> {
    let step = |(now, high): &mut (f64, f64), value: &f64| {
        *now = match wealth {
            Wealth::Compounded => *now * (1.0 + value),
            Wealth::Additive => *now + value,
        };
        *high = high.max(*now);
        Some(match wealth {
            Wealth::Compounded => (*high - *now) / *high,
            Wealth::Additive => *high - *now,
        })
    };
    returns.iter().scan((1.0, 1.0), step).collect()
}

/// The largest drawdown; 0 of none.
pub fn maximum_drawdown(drawdowns: &[f64]) -> f64 {
    drawdowns.iter().copied().fold(0.0, f64::max)
}

/// Mean of the drawdowns, new highs included.
pub fn average_drawdown(drawdowns: &[f64]) -> f64 {
    super::performance::mean(drawdowns)
}

/// Ulcer index: root mean square of the drawdowns, new highs included (Martin 1987).
pub fn ulcer_index(drawdowns: &[f64]) -> f64 {
    (drawdowns.iter().map(|drawdown| drawdown * drawdown).sum::<f64>() / drawdowns.len() as f64).sqrt()
}

/// The drawdown that only the share of the worst exceeds.
pub fn drawdown_at_risk(drawdowns: &[f64], share: f64) -> f64 {
    value_at_risk(&negated(drawdowns), share)
}

/// Conditional drawdown at risk: the mean of the worst share of drawdowns (Chekhlov, Uryasev and Zabarankin 2005).
pub fn conditional_drawdown_at_risk(drawdowns: &[f64], share: f64) -> f64 {
    conditional_value_at_risk(&negated(drawdowns), share)
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawdowns_by_hand() {
        let returns = [-0.5, 1.0, 0.5, -0.2];
        let (compounded, additive) = (drawdowns(&returns, Wealth::Compounded), drawdowns(&returns, Wealth::Additive));
        for found in [&compounded, &additive] {
            assert!(found.iter().zip([0.5, 0.0, 0.0, 0.2]).all(|(one, two)| (one - two).abs() < 1e-15), "{found:?}");
        }
        assert_eq!(maximum_drawdown(&additive), 0.5);
        assert!((average_drawdown(&additive) - 0.175).abs() < 1e-15);
        assert!((ulcer_index(&additive) - (0.29_f64 / 4.0).sqrt()).abs() < 1e-15);
        assert!((drawdown_at_risk(&additive, 0.5) - 0.2).abs() < 1e-15);
        assert!((conditional_drawdown_at_risk(&additive, 0.5) - 0.35).abs() < 1e-15);
        assert_eq!(maximum_drawdown(&drawdowns(&[], Wealth::Additive)), 0.0);
    }
}
