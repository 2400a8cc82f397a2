//! Indicators that follow one value after the other, usually the closing prices of [bars](super::Bar), each in constant time.

use crate::features::window::RollingSums;

/// Mean of the last values.
#[derive(Clone, Debug)]
pub struct Sma {
    latest: RollingSums<1>,
}

impl Sma {
    /// A mean over `window` values (at least one).
    pub fn new(window: usize) -> Sma {
        Sma { latest: RollingSums::new(window) }
    }

    /// Takes a value; the mean, once the window is full.
    #[inline]
    pub fn update(&mut self, value: f64) -> Option<f64> {
        self.latest.push([value]);
        let [sum] = self.latest.sums();
        self.latest.is_full().then(|| sum / self.latest.len() as f64)
    }
}

/// Exponentially weighted mean: the newest value weighs `2 / (span + 1)`; the first value is the first mean.
#[derive(Clone, Copy, Debug)]
pub struct Ema {
    weight: f64,
    mean: Option<f64>,
}

impl Ema {
    /// A mean over about `span` values.
    pub fn new(span: u32) -> Ema {
        Ema { weight: 2.0 / (f64::from(span) + 1.0), mean: None }
    }

    /// Takes a value, returns the mean.
    #[inline]
    pub fn update(&mut self, value: f64) -> f64 {
        let mean = self.mean.map_or(value, |mean| mean + self.weight * (value - mean));
        self.mean = Some(mean);
        mean
    }
}

/// Relative strength index (Wilder 1978): `100 * gain / (gain + loss)` of the mean gain and loss from value to value.
#[derive(Clone, Copy, Debug)]
pub struct Rsi {
    window: u32,
    last: Option<f64>,
    changes: u32,
    gain: f64,
    loss: f64,
}

impl Rsi {
    /// Wilder's means of `window` changes (14 in the book): of the first so many the plain mean, then `m += (x - m) / window`.
    pub fn new(window: u32) -> Rsi {
        Rsi { window: window.max(1), last: None, changes: 0, gain: 0.0, loss: 0.0 }
    }

    /// Takes a value; the index, 0 to 100, from `window` changes on. 50 where nothing changed.
    #[inline]
    pub fn update(&mut self, value: f64) -> Option<f64> {
        let change = value - self.last.replace(value)?;
        self.changes = self.window.min(self.changes + 1);
        let weight = 1.0 / f64::from(self.changes);
        self.gain += weight * (change.max(0.0) - self.gain);
        self.loss += weight * ((-change).max(0.0) - self.loss);
        let total = self.gain + self.loss;
        (self.changes == self.window).then(|| if total > 0.0 { 100.0 * self.gain / total } else { 50.0 })
    }
}

/// Moving average convergence and divergence (Appel 1979).
#[derive(Clone, Copy, Debug)]
pub struct Macd {
    fast: Ema,
    slow: Ema,
    signal: Ema,
}

/// One value of a [`Macd`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MacdValue {
    /// Fast less slow mean.
    pub line: f64,
    /// Mean of the line.
    pub signal: f64,
    /// Line less signal.
    pub histogram: f64,
}

impl Macd {
    /// Spans of the fast, the slow and the signal mean (12, 26 and 9 by custom).
    pub fn new(fast: u32, slow: u32, signal: u32) -> Macd {
        Macd { fast: Ema::new(fast), slow: Ema::new(slow), signal: Ema::new(signal) }
    }

    /// Takes a value.
    #[inline]
    pub fn update(&mut self, value: f64) -> MacdValue {
        let line = self.fast.update(value) - self.slow.update(value);
        let signal = self.signal.update(line);
        MacdValue { line, signal, histogram: line - signal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn means_by_hand() {
        let mut sma = Sma::new(3);
        assert_eq!([1.0, 2.0, 6.0, 4.0].map(|value| sma.update(value)), [None, None, Some(3.0), Some(4.0)]);
        let mut ema = Ema::new(3);
        assert_eq!([8.0, 4.0, 6.0].map(|value| ema.update(value)), [8.0, 6.0, 6.0]);
        let mut macd = Macd::new(1, 3, 3);
        assert_eq!(macd.update(8.0), MacdValue { line: 0.0, signal: 0.0, histogram: 0.0 });
        assert_eq!(macd.update(4.0), MacdValue { line: -2.0, signal: -1.0, histogram: -1.0 });
    }

    #[test]
    fn rsi_by_hand() {
        let mut rsi = Rsi::new(2);
        // Changes +3, -1: gain 1.5, loss 0.5. Then +1: gain 1.25, loss 0.25.
        assert_eq!([10.0, 13.0, 12.0, 13.0].map(|value| rsi.update(value)), [None, None, Some(75.0), Some(100.0 * 1.25 / 1.5)]);
        let mut still = Rsi::new(1);
        assert_eq!([still.update(5.0), still.update(5.0), still.update(6.0)], [None, Some(50.0), Some(100.0)]);
    }

    proptest! {
        /// The means written out as weighted sums over all values.
        #[test]
        fn recursions_equal_their_weighted_sums(values in prop::collection::vec(1.0f64..100.0, 1..80), window in 1u32..20) {
            let weighted = |values: &[f64], weight: f64| {
                let newest = values.len() - 1;
                values.iter().enumerate().fold(0.0, |mean, (place, value)| {
                    let decayed = (1.0 - weight).powi((newest - place) as i32);
                    mean + value * decayed * if place == 0 { 1.0 } else { weight }
                })
            };
            let (mut sma, mut ema, mut rsi) = (Sma::new(window as usize), Ema::new(window), Rsi::new(window));
            for count in 1..=values.len() {
                let seen = &values[..count];
                let value = seen[count - 1];
                let plain = (count >= window as usize)
                    .then(|| seen[count - window as usize..].iter().sum::<f64>() / f64::from(window));
                let mean = sma.update(value);
                prop_assert_eq!(mean.is_some(), plain.is_some());
                prop_assert!(mean.zip(plain).is_none_or(|(mean, plain)| (mean - plain).abs() < 1e-9));
                prop_assert!((ema.update(value) - weighted(seen, 2.0 / f64::from(window + 1))).abs() < 1e-9);
                let index = rsi.update(value);
                prop_assert_eq!(index.is_some(), count > window as usize);
                if let Some(index) = index {
                    let changes: Vec<f64> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
                    let mean = |of: fn(f64) -> f64| {
                        let parts: Vec<f64> = changes.iter().map(|change| of(*change)).collect();
                        let (first, later) = parts.split_at(window as usize);
                        let mut smoothed = vec![first.iter().sum::<f64>() / f64::from(window)];
                        smoothed.extend(later);
                        weighted(&smoothed, 1.0 / f64::from(window))
                    };
                    let (gain, loss) = (mean(|change| change.max(0.0)), mean(|change| (-change).max(0.0)));
                    prop_assert!((index - (100.0 - 100.0 / (1.0 + gain / loss))).abs() < 1e-6);
                }
            }
        }
    }
}
