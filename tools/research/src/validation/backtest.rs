//! From scores to returns: what trading on them would have earned, net of costs.
//!
//! Labels overlap, and returns of overlapping bets are not independent: as many rows, but not as many observations. So one bet is
//! held at a time. The bets are the first row, then always the first row whose event is at or after the end of the bet before; the
//! same rows for every model, so that their returns can be compared period by period.

use super::samples::{Samples, Target};
use serde::{Deserialize, Serialize};

/// How large a position a score makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// All or nothing.
    #[default]
    Unit,
    /// As large as the score.
    Proportional,
}

/// How scores become returns.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backtest {
    /// Cost of trading one unit of notional once, in basis points: fee, half the spread, slippage.
    pub cost_bps: f64,
    /// A score has to be larger than this to take a position (a direction: its magnitude).
    pub threshold: f64,
    /// How large the position is.
    pub sizing: Sizing,
}

/// Returns of the bets of one path.
#[derive(Clone, PartialEq, Debug)]
pub struct BetReturns {
    /// Return of each bet, net of costs, as a share of the capital.
    pub returns: Vec<f64>,
    /// Units of notional traded for each bet, on average.
    pub turnover: f64,
    /// Share of bets that took a position.
    pub exposure: f64,
}

/// The rows that are bets, of those tested: never two at a time, and none without length.
pub fn bets(samples: &Samples<'_>, is_tested: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut bets = Vec::new();
    let mut free_from = i64::MIN;
    for row in 0..samples.rows() {
        if samples.events_ns[row] >= free_from && samples.ends_ns[row] > samples.events_ns[row] && is_tested(row) {
            bets.push(row);
            free_from = samples.ends_ns[row];
        }
    }
    bets
}

impl Backtest {
    /// What the scores of all rows earn on the bets. Where one bet starts the moment another ends, only the difference of their
    /// positions is traded; otherwise a position is closed at the end of its label and opened anew.
    pub fn returns(&self, samples: &Samples<'_>, bets: &[usize], scores: &[f64]) -> BetReturns {
        let cost = self.cost_bps * 1e-4;
        let mut held = 0.0;
        let (mut returns, mut traded_total, mut positions) = (Vec::with_capacity(bets.len()), 0.0, 0_usize);
        for (place, &row) in bets.iter().enumerate() {
            let position = self.position(samples.target, scores[row]);
            let mut traded = f64::abs(position - held);
            held = position;
            let is_followed = bets.get(place + 1).is_some_and(|&next| samples.events_ns[next] == samples.ends_ns[row]);
            if !is_followed {
                traded += f64::abs(held);
                held = 0.0;
            }
            positions += usize::from(position != 0.0);
            traded_total += traded;
            returns.push(position * samples.returns[row] - traded * cost);
        }
        let count = bets.len().max(1) as f64;
        BetReturns { returns, turnover: traded_total / count, exposure: positions as f64 / count }
    }

    fn position(&self, target: Target, score: f64) -> f64 {
        let is_taken = match target {
            Target::Direction => score.abs() > self.threshold,
            Target::Meta => score > self.threshold,
        };
        match (is_taken, self.sizing) {
            (false, _) => 0.0,
            (true, Sizing::Unit) => score.signum(),
            (true, Sizing::Proportional) => score.clamp(-1.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::OwnedSamples;
    use super::super::samples::tests::second_by_second;
    use super::*;

    const FREE: Backtest = Backtest { cost_bps: 0.0, threshold: 0.0, sizing: Sizing::Unit };

    #[test]
    fn no_two_bets_at_a_time() {
        let mut rows = second_by_second(vec![], vec![0.1; 6]);
        rows.ends_ns = [25, 20, 30, 45, 40, 60].map(|tenths: i64| tenths * 100_000_000).to_vec();
        // Row 0 ends at 2.5 s, so rows 1 and 2 are within it; row 3 ends at 4.5 s, so row 5 follows.
        assert_eq!(bets(&rows.samples(), |_| true), vec![0, 3, 5]);
        assert_eq!(bets(&rows.samples(), |row| row > 0), vec![1, 2, 3, 5]);
        rows.ends_ns[0] = 0;
        assert_eq!(bets(&rows.samples(), |_| true)[0], 1);
    }

    #[test]
    fn positions_by_hand() {
        let rows = second_by_second(vec![], vec![0.1, -0.2, 0.3]);
        let (samples, scores) = (rows.samples(), [0.5, -0.4, 0.1]);
        let earned = |backtest: Backtest| backtest.returns(&samples, &[0, 1, 2], &scores).returns;
        assert_eq!(earned(FREE), vec![0.1, 0.2, 0.3]);
        assert_eq!(earned(Backtest { threshold: 0.2, ..FREE }), vec![0.1, 0.2, 0.0]);
        assert_eq!(earned(Backtest { sizing: Sizing::Proportional, ..FREE }), vec![0.5 * 0.1, -0.4 * -0.2, 0.1 * 0.3]);
        let meta = OwnedSamples { target: Target::Meta, ..second_by_second(vec![], vec![0.1, -0.2, 0.3]) };
        let half = Backtest { threshold: 0.5, ..FREE };
        assert_eq!(half.returns(&meta.samples(), &[0, 1, 2], &[0.6, 0.5, 0.9]).returns, vec![0.1, 0.0, 0.3]);
    }

    #[test]
    fn every_trade_is_paid_for_once() {
        let mut rows = second_by_second(vec![], vec![0.0; 4]);
        let cost = Backtest { cost_bps: 10.0, ..FREE };
        // Back to back: open 1, hold, turn (2), close and the last open and close.
        let found = cost.returns(&rows.samples(), &[0, 1, 2, 3], &[1.0, 1.0, -1.0, 0.0]);
        let paid: Vec<f64> = found.returns.iter().map(|value| (value / -1e-3).round()).collect();
        assert_eq!(paid, vec![1.0, 0.0, 2.0, 1.0]);
        assert_eq!((found.turnover, found.exposure), (1.0, 0.75));
        // A gap after the first bet: it is closed and the second opened.
        rows.ends_ns[0] -= 1;
        let found = cost.returns(&rows.samples(), &[0, 1, 2, 3], &[1.0, 1.0, -1.0, 0.0]);
        let paid: Vec<f64> = found.returns.iter().map(|value| (value / -1e-3).round()).collect();
        assert_eq!(paid, vec![2.0, 1.0, 2.0, 1.0]);
    }
}
