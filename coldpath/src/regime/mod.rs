//! What the market is like, by two indicators over event-time windows.
//!
//! Mids are taken at most once in `sampling_ns` (sparse sampling: at higher rates the bounce of the mid drowns its volatility,
//! Aït-Sahalia, Mykland and Zhang 2005). A window's return is the sum of the log returns between those points, its realised
//! variance the sum of their squares (Andersen and Bollerslev 1998). From these:
//!
//! - *trend*: the return over the last `trend_windows` windows, over the square root of their realised variance. Near a standard
//!   normal number for a random walk.
//! - *volatility ratio*: the square root of the mean variance of the last `volatility_windows` windows, over that of the
//!   exponentially weighted mean of all windows before the last one.
//!
//! High volatility goes before trend, trend before sideways; until `trend_windows` windows were measured the regime is unknown.
//! Only the order and the times of the samples count, never when they are processed.

mod embedding;

pub use embedding::embedding;

use chronos_market::{NANOS_PER_SECOND, Regime, Timestamp, Window};
use std::collections::VecDeque;

/// Added to each window's variance in both indicators: (0.01 basis points) squared. It keeps them finite, and calm, in a market
/// that does not move.
pub const VARIANCE_FLOOR: f64 = 1e-12;

/// How the regime is told.
#[derive(Clone, PartialEq, Debug)]
pub struct RegimeConfig {
    /// Length of an event-time window in nanoseconds, above 0. The hot side cuts windows by it.
    pub window_ns: i64,
    /// Least time between two mids that count, in nanoseconds, from 1 to `window_ns`.
    pub sampling_ns: i64,
    /// Windows in the trend, at least 1; also the number that must be measured before the regime is known.
    pub trend_windows: usize,
    /// Trend at or beyond which the market is trending, above 0.
    pub trend_min: f64,
    /// Windows in the recent volatility, from 1 to `trend_windows`.
    pub volatility_windows: usize,
    /// Half-life of the slow mean of the variance, in windows, above 0.
    pub volatility_half_life_windows: f64,
    /// Volatility ratio at or above which volatility is high, above 1.
    pub volatility_ratio_min: f64,
    /// Factor on the size of new orders in each regime, in the order of [`Regime::ALL`], each from 0 to 1.
    pub size_scale: [f64; Regime::ALL.len()],
}

impl Default for RegimeConfig {
    /// Windows of 10 s, a trend over one minute at two standard deviations, high volatility at twice its level; half size in it.
    fn default() -> RegimeConfig {
        RegimeConfig {
            window_ns: 10 * NANOS_PER_SECOND,
            sampling_ns: NANOS_PER_SECOND,
            trend_windows: 6,
            trend_min: 2.0,
            volatility_windows: 2,
            volatility_half_life_windows: 30.0,
            volatility_ratio_min: 2.0,
            size_scale: [1.0, 1.0, 1.0, 1.0, 0.5],
        }
    }
}

/// A [`RegimeConfig`] that makes no sense: which field, and what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("regime.{field} must be {must_be}")]
pub struct RegimeConfigError {
    /// The field.
    pub field: &'static str,
    /// Its range.
    pub must_be: &'static str,
}

impl RegimeConfig {
    /// Checks every field's range.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), RegimeConfigError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let checks = [
            (self.window_ns > 0, "window_ns", "above 0"),
            ((1..=self.window_ns).contains(&self.sampling_ns), "sampling_ns", "from 1 to window_ns"),
            ((1..=WINDOWS_MAX).contains(&self.trend_windows), "trend_windows", "from 1 to 100000"),
            (positive(self.trend_min), "trend_min", "finite and above 0"),
            ((1..=self.trend_windows).contains(&self.volatility_windows), "volatility_windows", "from 1 to trend_windows"),
            (positive(self.volatility_half_life_windows), "volatility_half_life_windows", "finite and above 0"),
            (positive(self.volatility_ratio_min - 1.0), "volatility_ratio_min", "finite and above 1"),
            (self.size_scale.iter().all(|scale| (0.0..=1.0).contains(scale)), "size_scale", "from 0 to 1 in each regime"),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, must_be)) => Err(RegimeConfigError { field, must_be }),
            None => Ok(()),
        }
    }
}

/// Largest `trend_windows`.
const WINDOWS_MAX: usize = 100_000;

/// What is known of the market at the end of a window.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Assessment {
    /// The regime.
    pub regime: Regime,
    /// Recent return in units of its realised volatility; 0 while nothing was measured.
    pub trend: f64,
    /// Recent volatility over its slow mean; 1 while there is nothing to compare.
    pub volatility_ratio: f64,
    /// Recent realised volatility, basis points per square root of a second.
    pub volatility_bps: f64,
    /// Share of the windows needed that were measured, 0 to 1; the regime is known at 1.
    pub evidence: f64,
}

/// Follows mids and answers each window's end. A pure function of what it is given, in order.
///
/// No return is measured across a gap between samples longer than a window, or back in time; after `trend_windows` windows'
/// time without a sample everything learnt is forgotten. A window in which no return was measured leaves the indicators as they
/// were.
#[derive(Clone, Debug)]
pub struct RegimeEstimator {
    config: RegimeConfig,
    /// Factor a half-life gives one window.
    decay: f64,
    /// Time without samples after which all is forgotten.
    memory_ns: i64,
    /// Time of the last sample.
    last_recv: Option<Timestamp>,
    /// The last sample, not measured yet: its sampling interval, and the logarithm of its mid.
    pending: Option<(i64, f64)>,
    /// Logarithm of the last mid that was measured.
    anchor: Option<f64>,
    /// The open window so far.
    current: WindowReturn,
    /// Returns measured in the open window.
    measured: u64,
    /// The last `trend_windows` measured windows.
    history: VecDeque<WindowReturn>,
    /// Sum of weighted variances, and of weights.
    slow: (f64, f64),
    last: Assessment,
}

/// Return and realised variance of one window.
#[derive(Clone, Copy, Default, Debug)]
struct WindowReturn {
    log_return: f64,
    variance: f64,
}

impl RegimeEstimator {
    /// An estimator that has seen nothing.
    ///
    /// # Errors
    /// A field of `config` is out of its range.
    pub fn new(config: RegimeConfig) -> Result<RegimeEstimator, RegimeConfigError> {
        config.validate()?;
        Ok(RegimeEstimator {
            decay: 0.5_f64.powf(1.0 / config.volatility_half_life_windows),
            memory_ns: config.window_ns.saturating_mul(config.trend_windows as i64),
            history: VecDeque::with_capacity(config.trend_windows),
            config,
            last_recv: None,
            pending: None,
            anchor: None,
            current: WindowReturn::default(),
            measured: 0,
            slow: (0.0, 0.0),
            last: Assessment { volatility_ratio: 1.0, ..Assessment::default() },
        })
    }

    /// Takes a mid; returns whether it is one: finite and above 0. Others change nothing.
    pub fn on_sample(&mut self, recv: Timestamp, mid: f64) -> bool {
        if !(mid.is_finite() && mid > 0.0) {
            return false;
        }
        if let Some(last) = self.last_recv {
            let gap_ns = recv.since_ns(last);
            if gap_ns >= self.memory_ns {
                self.forget();
            } else if !(0..=self.config.window_ns).contains(&gap_ns) {
                self.measure_pending();
                self.anchor = None;
            }
        }
        let interval = recv.0.div_euclid(self.config.sampling_ns);
        if self.pending.is_some_and(|(pending, _)| pending != interval) {
            self.measure_pending();
        }
        self.pending = Some((interval, mid.ln()));
        self.last_recv = Some(recv);
        true
    }

    /// Closes the window and says what the market is like.
    pub fn on_window_end(&mut self, window: Window) -> Assessment {
        if self.last_recv.is_some_and(|last| window.end.since_ns(last) >= self.memory_ns) {
            self.forget();
        }
        self.measure_pending();
        if self.measured > 0 {
            self.measured = 0;
            let closed = std::mem::take(&mut self.current);
            if self.history.len() == self.config.trend_windows {
                self.history.pop_front();
            }
            self.history.push_back(closed);
            self.last = self.assess();
            self.slow = (self.slow.0 * self.decay + closed.variance, self.slow.1 * self.decay + 1.0);
        }
        self.last
    }

    fn measure_pending(&mut self) {
        let Some((_, log_mid)) = self.pending.take() else { return };
        if let Some(anchor) = self.anchor {
            let log_return = log_mid - anchor;
            self.current.log_return += log_return;
            self.current.variance += log_return * log_return;
            self.measured += 1;
        }
        self.anchor = Some(log_mid);
    }

    fn assess(&self) -> Assessment {
        let windows = self.history.len();
        let (mut log_return, mut variance) = (0.0, 0.0);
        for window in &self.history {
            log_return += window.log_return;
            variance += window.variance + VARIANCE_FLOOR;
        }
        let trend = log_return / variance.sqrt();
        let recent_windows = windows.min(self.config.volatility_windows);
        let recent: f64 = self.history.iter().rev().take(recent_windows).map(|window| window.variance).sum();
        let recent = recent / recent_windows as f64;
        let volatility_ratio = match self.slow {
            (_, 0.0) => 1.0,
            (sum, weight) => ((recent + VARIANCE_FLOOR) / (sum / weight + VARIANCE_FLOOR)).sqrt(),
        };
        let regime = if windows < self.config.trend_windows {
            Regime::Unknown
        } else if volatility_ratio >= self.config.volatility_ratio_min {
            Regime::HighVolatility
        } else if trend >= self.config.trend_min {
            Regime::TrendingUp
        } else if trend <= -self.config.trend_min {
            Regime::TrendingDown
        } else {
            Regime::Sideways
        };
        let window_s = self.config.window_ns as f64 / NANOS_PER_SECOND as f64;
        let volatility_bps = (recent / window_s).sqrt() * 1e4;
        Assessment { regime, trend, volatility_ratio, volatility_bps, evidence: windows as f64 / self.config.trend_windows as f64 }
    }

    fn forget(&mut self) {
        self.last_recv = None;
        self.pending = None;
        self.anchor = None;
        self.current = WindowReturn::default();
        self.measured = 0;
        self.history.clear();
        self.slow = (0.0, 0.0);
        self.last = Assessment { volatility_ratio: 1.0, ..Assessment::default() };
    }
}

#[cfg(test)]
mod tests;
