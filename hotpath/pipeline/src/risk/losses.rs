//! What losses stop: of the session, of the day, from the highest equity, CDaR, and several trades in a row.

use super::checks::{FailedChecks, RiskCheck};
use super::limits::RiskLimits;
use chronos_market::{NANOS_PER_SECOND, Timestamp};

/// Samples of the drawdown that CDaR is taken over.
pub const CDAR_SAMPLES: usize = 256;
/// Nanoseconds in a day.
const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;

/// Equity is profit less fees since the session began, open positions at their marks, in quote currency, units of 1e-9.
#[derive(Debug)]
pub(super) struct Losses {
    equity: i128,
    peak: i128,
    /// End of the day, and the equity it began with.
    day_end: Timestamp,
    day_began: i128,
    /// The newest drawdowns, a ring.
    drawdowns: Box<[i128; CDAR_SAMPLES]>,
    sampled: usize,
    next_sample: Timestamp,
    scratch: Box<[i128; CDAR_SAMPLES]>,
    /// Losing trades since the last one that did not lose.
    losing_run: u32,
}

impl Losses {
    pub(super) fn new() -> Losses {
        Losses {
            equity: 0,
            peak: 0,
            day_end: Timestamp::MIN,
            day_began: 0,
            drawdowns: Box::new([0; CDAR_SAMPLES]),
            sampled: 0,
            next_sample: Timestamp::MIN,
            scratch: Box::new([0; CDAR_SAMPLES]),
            losing_run: 0,
        }
    }

    /// Takes the equity at `now`. Returns the limits that it passes.
    pub(super) fn on_equity(&mut self, now: Timestamp, equity: i128, limits: &RiskLimits) -> FailedChecks {
        if now >= self.day_end {
            // The day began with the last equity before it, not with the first in it.
            self.day_began = self.equity;
            self.day_end = Timestamp(now.0.div_euclid(DAY_NS).saturating_add(1).saturating_mul(DAY_NS));
        }
        let is_cdar_passed = limits.cdar_quote_max != i128::MAX && now >= self.next_sample && self.sample(now, limits);
        self.equity = equity;
        self.peak = self.peak.max(equity);
        let loss_passes = |from: i128, max: i128| from.saturating_sub(equity) > max;
        FailedChecks::when(RiskCheck::Loss, loss_passes(0, limits.loss_quote_max))
            .or(FailedChecks::when(RiskCheck::DailyLoss, loss_passes(self.day_began, limits.daily_loss_quote_max)))
            .or(FailedChecks::when(RiskCheck::Drawdown, loss_passes(self.peak, limits.drawdown_quote_max)))
            .or(FailedChecks::when(RiskCheck::Cdar, is_cdar_passed))
    }

    /// A trade was closed with this profit. Returns whether a cooldown begins.
    pub(super) fn on_trade(&mut self, net_quote: i128, limits: &RiskLimits) -> bool {
        self.losing_run = if net_quote < 0 { self.losing_run.saturating_add(1) } else { 0 };
        let begins = limits.losses_in_a_row_max != u32::MAX && self.losing_run >= limits.losses_in_a_row_max.max(1);
        if begins {
            self.losing_run = 0;
        }
        begins
    }

    /// Drawdown begins anew from the equity of now: somebody has seen it.
    pub(super) fn on_reset(&mut self) {
        self.peak = self.equity;
        self.sampled = 0;
    }

    /// Takes the samples that are due, all at the equity that has held since the last call. Returns whether CDaR passes its limit.
    ///
    /// CDaR at level alpha is the mean of the worst `1 - alpha` share of the drawdowns (Chekhlov, Uryasev, Zabarankin, "Drawdown
    /// measure in portfolio optimization", 2005, for equally likely samples), here of the newest [`CDAR_SAMPLES`].
    #[cold]
    fn sample(&mut self, now: Timestamp, limits: &RiskLimits) -> bool {
        let step_ns = limits.cdar_sample_ns.max(1);
        let due = match self.next_sample {
            Timestamp::MIN => 1,
            next => (now.since_ns(next) / step_ns).saturating_add(1),
        };
        self.next_sample = match self.next_sample {
            Timestamp::MIN => now.plus_nanos(step_ns),
            next => next.plus_nanos(step_ns.saturating_mul(due)),
        };
        for _ in 0..due.min(CDAR_SAMPLES as i64) {
            self.drawdowns[self.sampled % CDAR_SAMPLES] = self.peak.saturating_sub(self.equity);
            self.sampled += 1;
        }
        let count = self.sampled.min(CDAR_SAMPLES);
        let share = 1_000 - limits.cdar_alpha_permille.min(1_000) as usize;
        let worst = (count * share).div_ceil(1_000).clamp(1, count);
        let scratch = &mut self.scratch[..count];
        scratch.copy_from_slice(&self.drawdowns[..count]);
        scratch.select_nth_unstable_by(worst - 1, |a, b| b.cmp(a));
        let sum = scratch[..worst].iter().fold(0i128, |sum, drawdown| sum.saturating_add(*drawdown));
        sum > limits.cdar_quote_max.saturating_mul(worst as i128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn none() -> RiskLimits {
        RiskLimits { loss_quote_max: i128::MAX, ..RiskLimits::default() }
    }

    #[test]
    fn the_day_begins_with_the_last_equity_before_it() {
        let limits = RiskLimits { daily_loss_quote_max: 50, ..none() };
        let mut losses = Losses::new();
        let mut check = |at: i64, equity: i128| losses.on_equity(Timestamp(at), equity, &limits).first();
        assert_eq!(check(DAY_NS - 10, 100), None);
        assert_eq!(check(DAY_NS - 1, 60), None, "the session began with 0");
        assert_eq!(check(DAY_NS, 10), None);
        assert_eq!(check(DAY_NS + 1, 9), Some(RiskCheck::DailyLoss));
        assert_eq!(check(2 * DAY_NS, -40), None, "from 9 on");
        assert_eq!(check(2 * DAY_NS + 1, -42), Some(RiskCheck::DailyLoss));
        assert_eq!(check(-1, -42), Some(RiskCheck::DailyLoss), "time never goes back, and nothing breaks where it does");
    }

    #[test]
    fn session_loss_and_drawdown_are_inclusive() {
        let limits = RiskLimits { loss_quote_max: 30, drawdown_quote_max: 100, ..none() };
        let mut losses = Losses::new();
        let mut check = |equity: i128| losses.on_equity(Timestamp(0), equity, &limits).first();
        assert_eq!([check(-30), check(-31), check(80), check(-20)], [None, Some(RiskCheck::Loss), None, None]);
        assert_eq!(check(-21), Some(RiskCheck::Drawdown));
        losses.on_reset();
        assert!(losses.on_equity(Timestamp(0), -30, &limits).is_empty(), "a reset begins anew");
    }

    #[test]
    fn losing_trades_in_a_row_begin_a_cooldown_and_a_good_one_ends_the_row() {
        let limits = RiskLimits { losses_in_a_row_max: 3, ..none() };
        let mut losses = Losses::new();
        let results = [-1, -1, 0, -1, -1, -1, -1].map(|net| losses.on_trade(net, &limits));
        assert_eq!(results, [false, false, false, false, false, true, false]);
    }

    proptest! {
        #[test]
        fn cdar_is_the_mean_of_the_worst_samples(
            moves in prop::collection::vec((1i64..400, -50i128..50), 1..300), alpha in 0u32..=1_000, max in 0i128..200
        ) {
            let limits = RiskLimits { cdar_quote_max: max, cdar_alpha_permille: alpha, cdar_sample_ns: 100, ..none() };
            let (mut losses, mut now, mut equity) = (Losses::new(), 0, 0i128);
            // The plain way: the equity at each sample, its drawdown from the highest so far, the worst of the newest sorted.
            let (mut samples, mut peak, mut begun) = (Vec::new(), 0i128, None);
            for (gap, step) in moves {
                now += gap;
                let first = *begun.get_or_insert(now);
                let mut is_due = false;
                while first + samples.len() as i64 * 100 <= now {
                    samples.push(peak - equity);
                    is_due = true;
                }
                let newest = &samples[samples.len().saturating_sub(CDAR_SAMPLES)..];
                let mut sorted = newest.to_vec();
                sorted.sort_unstable_by(|a, b| b.cmp(a));
                let share = (sorted.len() as f64 * f64::from(1_000 - alpha) / 1_000.0 - 1e-9).ceil().max(1.0) as usize;
                let mean = sorted[..share].iter().sum::<i128>() as f64 / share as f64;
                equity += step;
                peak = peak.max(equity);
                let passed = losses.on_equity(Timestamp(now), equity, &limits).contains(RiskCheck::Cdar);
                prop_assert_eq!(passed, is_due && mean > max as f64);
            }
        }

        #[test]
        fn no_equity_panics(moves in prop::collection::vec((any::<i64>(), any::<i128>()), 1..40), max: i128, step: i64) {
            let limits = RiskLimits {
                loss_quote_max: max, daily_loss_quote_max: max, drawdown_quote_max: max, cdar_quote_max: max, cdar_sample_ns: step,
                ..none()
            };
            let mut losses = Losses::new();
            for (now, equity) in moves {
                let _ = losses.on_equity(Timestamp(now), equity, &limits);
            }
        }
    }
}
