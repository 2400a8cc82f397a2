//! Volatility from bars. All are variances or volatilities of one bar, not scaled to a year.

use crate::features::window::RollingSums;
use std::f64::consts::{LN_2, PI};

/// Range, open-close and jump-robust volatilities over a rolling window of bars, each in constant time.
#[derive(Clone, Debug)]
pub struct OhlcVolatility {
    /// Of each bar: squared range, Garman-Klass term, Rogers-Satchell term.
    of_bars: RollingSums<3>,
    /// Of each bar but the first: return and its square, overnight return and its square, open-close return and its square.
    of_returns: RollingSums<6>,
    /// Product of the latest two absolute returns; of the latest three the median, squared.
    products: RollingSums<1>,
    medians: RollingSums<1>,
    last_close: Option<f64>,
    /// The latest absolute returns, the newest first.
    latest: [Option<f64>; 2],
}

impl OhlcVolatility {
    /// Estimators over `window` bars, of returns over `window` returns.
    pub fn new(window: usize) -> OhlcVolatility {
        OhlcVolatility {
            of_bars: RollingSums::new(window),
            of_returns: RollingSums::new(window),
            products: RollingSums::new(window),
            medians: RollingSums::new(window),
            last_close: None,
            latest: [None; 2],
        }
    }

    /// Takes a bar; one with a price that is not positive is passed over.
    pub fn push(&mut self, open: f64, high: f64, low: f64, close: f64) {
        if open.min(high).min(low).min(close) <= 0.0 {
            return;
        }
        let (range, body) = ((high / low).ln(), (close / open).ln());
        let garman_klass = 0.5 * range * range - (2.0 * LN_2 - 1.0) * body * body;
        let rogers_satchell = (high / close).ln() * (high / open).ln() + (low / close).ln() * (low / open).ln();
        self.of_bars.push([range * range, garman_klass, rogers_satchell]);
        let Some(last_close) = self.last_close.replace(close) else { return };
        let (change, overnight) = ((close / last_close).ln(), (open / last_close).ln());
        self.of_returns.push([change, change * change, overnight, overnight * overnight, body, body * body]);
        let size = change.abs();
        if let Some(before) = self.latest[0] {
            self.products.push([size * before]);
            if let Some(earlier) = self.latest[1] {
                let median = size.min(before).max(size.max(before).min(earlier));
                self.medians.push([median * median]);
            }
        }
        self.latest = [Some(size), self.latest[0]];
    }

    /// Forgets every bar.
    pub fn clear(&mut self) {
        self.of_bars.clear();
        self.of_returns.clear();
        self.products.clear();
        self.medians.clear();
        (self.last_close, self.latest) = (None, [None; 2]);
    }

    /// Sample standard deviation of the log returns; `None` before a window of returns.
    pub fn close_to_close(&self) -> Option<f64> {
        let [sum, squares, ..] = self.returns()?;
        Some(self.sample_variance(sum, squares).sqrt())
    }

    /// `sqrt(mean of ln(high / low)^2 / (4 ln 2))` (Parkinson 1980); `None` before a window of bars.
    pub fn parkinson(&self) -> Option<f64> {
        Some((self.mean_of_bars(0)? / (4.0 * LN_2)).sqrt())
    }

    /// `sqrt(mean of ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2)` (Garman and Klass 1980); `None` before a window of
    /// bars.
    pub fn garman_klass(&self) -> Option<f64> {
        Some(self.mean_of_bars(1)?.max(0.0).sqrt())
    }

    /// `sqrt(mean of ln(high / close) ln(high / open) + ln(low / close) ln(low / open))` (Rogers and Satchell 1991); `None` before
    /// a window of bars.
    pub fn rogers_satchell(&self) -> Option<f64> {
        Some(self.mean_of_bars(2)?.max(0.0).sqrt())
    }

    /// `sqrt(var(overnight) + k var(open to close) + (1 - k) Rogers-Satchell^2)`, `k = 0.34 / (1.34 + (n + 1) / (n - 1))`,
    /// variances of samples (Yang and Zhang 2000); `None` before a window of returns, and where the window is one bar.
    pub fn yang_zhang(&self) -> Option<f64> {
        let [_, _, overnight, overnight_squares, body, body_squares] = self.returns()?;
        let count = self.of_returns.len() as f64;
        let k = 0.34 / (1.34 + (count + 1.0) / (count - 1.0));
        let variance = self.sample_variance(overnight, overnight_squares)
            + k * self.sample_variance(body, body_squares)
            + (1.0 - k) * self.mean_of_bars(2)?;
        Some(variance.max(0.0).sqrt())
    }

    /// Mean of squared log returns; `None` before a window of returns (Andersen, Bollerslev, Diebold and Labys 2003).
    pub fn realized_variance(&self) -> Option<f64> {
        let [_, squares, ..] = self.returns()?;
        Some(squares / self.of_returns.len() as f64)
    }

    /// `pi / 2 * mean of |r| |r'|`, neighbouring log returns; `None` before a window of pairs. A jump hardly shows
    /// (Barndorff-Nielsen and Shephard 2004).
    pub fn bipower_variance(&self) -> Option<f64> {
        let [products] = self.products.sums();
        self.products.is_full().then(|| 0.5 * PI * products / self.products.len() as f64)
    }

    /// `pi / (6 - 4 sqrt(3) + pi) * mean of median(|r|, |r'|, |r''|)^2`, neighbouring log returns; `None` before a window of
    /// triples (Andersen, Dobrev and Schaumburg 2012).
    pub fn median_variance(&self) -> Option<f64> {
        let [medians] = self.medians.sums();
        self.medians.is_full().then(|| PI / (6.0 - 4.0 * 3f64.sqrt() + PI) * medians / self.medians.len() as f64)
    }

    fn mean_of_bars(&self, term: usize) -> Option<f64> {
        self.of_bars.is_full().then(|| self.of_bars.sums()[term] / self.of_bars.len() as f64)
    }

    fn returns(&self) -> Option<[f64; 6]> {
        (self.of_returns.is_full() && self.of_returns.len() > 1).then(|| self.of_returns.sums())
    }

    fn sample_variance(&self, sum: f64, squares: f64) -> f64 {
        let count = self.of_returns.len() as f64;
        ((squares - sum * sum / count) / (count - 1.0)).max(0.0)
    }
}

/// Exponentially weighted variance of returns, `v = decay * v + (1 - decay) * r^2` (RiskMetrics 1996).
#[derive(Clone, Copy, Debug)]
pub struct EwmaVariance {
    decay: f64,
    variance: Option<f64>,
}

impl EwmaVariance {
    /// Starts at `seed`, or at the first squared return where that is `None`.
    pub fn new(decay: f64, seed: Option<f64>) -> EwmaVariance {
        EwmaVariance { decay, variance: seed }
    }

    /// Takes a return, gives the variance with it.
    #[inline]
    pub fn update(&mut self, change: f64) -> f64 {
        let squared = change * change;
        let variance = self.variance.map_or(squared, |variance| self.decay * variance + (1.0 - self.decay) * squared);
        self.variance = Some(variance);
        variance
    }
}
