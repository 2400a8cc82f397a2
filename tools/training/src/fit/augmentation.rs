//! Changed copies of training windows, so that a model does not learn accidents of single samples.
//!
//! After Um et al., "Data augmentation of wearable sensor data for Parkinson's disease monitoring" (2017): noise, and smooth changes of
//! size and of pace. A sample's changes depend on the seed, the epoch and the sample alone. The last row stays the last row and nothing
//! comes from outside the window, so there is no look-ahead.

use super::seeds::seed_of;
use std::f64::consts::TAU;

/// How strongly windows are changed; all zeros change nothing.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Standard deviation of normal noise on every value, in the features' units (1 is a standard deviation of scaled features).
    pub jitter: f64,
    /// Standard deviation around 1 of a factor for each feature, which moves in straight lines between knots.
    pub magnitude_warp: f64,
    /// Standard deviation around 1 of the pace of time, which moves in straight lines between knots; rows between two are interpolated.
    pub time_warp: f64,
    /// Knots over a window, at least 2.
    pub knots: usize,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { jitter: 0.0, magnitude_warp: 0.0, time_warp: 0.0, knots: 4 }
    }
}

/// The least pace, so that time never stands still or turns.
const PACE_MIN: f64 = 0.1;

impl Augmentation {
    /// Whether nothing is changed.
    pub fn is_none(&self) -> bool {
        self.jitter == 0.0 && self.magnitude_warp == 0.0 && self.time_warp == 0.0
    }

    /// Changes one window of rows of `features` values, the oldest first.
    pub fn apply(&self, window: &mut [f32], features: usize, seed: u64, epoch: u64, sample: usize) {
        let steps = window.len() / features.max(1);
        if self.is_none() || steps == 0 {
            return;
        }
        let mut random = fastrand::Rng::with_seed(seed_of(seed, &[epoch, sample as u64]));
        if self.time_warp > 0.0 && steps > 1 {
            self.warp_time(window, features, steps, &mut random);
        }
        if self.magnitude_warp > 0.0 {
            for feature in 0..features {
                let factors = self.curve(self.magnitude_warp, steps, &mut random);
                for (row, factor) in factors.iter().enumerate() {
                    window[row * features + feature] *= *factor as f32;
                }
            }
        }
        if self.jitter > 0.0 {
            for value in window.iter_mut() {
                *value += (self.jitter * normal(&mut random)) as f32;
            }
        }
    }

    fn warp_time(&self, window: &mut [f32], features: usize, steps: usize, random: &mut fastrand::Rng) {
        // The places that are read: sums of paces, from the first row to the last.
        let mut places = vec![0.0; steps];
        for (row, pace) in self.curve(self.time_warp, steps, random).iter().enumerate().skip(1) {
            places[row] = places[row - 1] + pace.max(PACE_MIN);
        }
        let scale = (steps - 1) as f64 / places[steps - 1];
        let from = window.to_vec();
        for (row, place) in places.iter().enumerate() {
            let place = (place * scale).min((steps - 1) as f64);
            let low = (place as usize).min(steps - 2);
            let share = (place - low as f64) as f32;
            for feature in 0..features {
                let (one, two) = (from[low * features + feature], from[(low + 1) * features + feature]);
                window[row * features + feature] = one + share * (two - one);
            }
        }
    }

    /// Values around 1 for each step, in straight lines between normal knots.
    fn curve(&self, deviation: f64, steps: usize, random: &mut fastrand::Rng) -> Vec<f64> {
        let knots: Vec<f64> = (0..self.knots.max(2)).map(|_| 1.0 + deviation * normal(random)).collect();
        let scale = (knots.len() - 1) as f64 / (steps.max(2) - 1) as f64;
        let value = |step: usize| {
            let place = step as f64 * scale;
            let low = (place as usize).min(knots.len() - 2);
            knots[low] + (place - low as f64) * (knots[low + 1] - knots[low])
        };
        (0..steps).map(value).collect()
    }
}

/// A normal value (Box and Muller, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEPS: usize = 16;

    /// A feature that counts rows, and one that is 1.
    fn rows() -> Vec<f32> {
        (0..STEPS).flat_map(|row| [row as f32, 1.0]).collect()
    }

    proptest! {
        #[test]
        fn a_change_depends_on_seed_epoch_and_sample(seed in any::<u64>(), epoch in 0_u64..9, sample in 0_usize..99) {
            let change = Augmentation { jitter: 0.1, magnitude_warp: 0.2, time_warp: 0.3, knots: 3 };
            let of = |seed, epoch, sample| {
                let mut window = rows();
                change.apply(&mut window, 2, seed, epoch, sample);
                window
            };
            let one = of(seed, epoch, sample);
            prop_assert_eq!(&one, &of(seed, epoch, sample));
            for other in [of(seed ^ 1, epoch, sample), of(seed, epoch + 1, sample), of(seed, epoch, sample + 1)] {
                prop_assert_ne!(&one, &other);
            }
        }

        /// Warped time runs on, begins at the first row and ends at the last; what is constant stays so.
        #[test]
        fn warped_time_runs_on(seed in any::<u64>(), time_warp in 0.01_f64..2.0, knots in 0_usize..8) {
            let mut window = rows();
            Augmentation { time_warp, knots, ..Augmentation::default() }.apply(&mut window, 2, seed, 0, 0);
            prop_assert!(window[0] == 0.0 && window[2 * STEPS - 2] == (STEPS - 1) as f32);
            for row in 1..STEPS {
                prop_assert!(window[2 * row] > window[2 * row - 2]);
                prop_assert!((window[2 * row + 1] - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn noise_and_factors_have_their_size() {
        let spread = |change: Augmentation| {
            let values: Vec<f64> = (0..2_000)
                .map(|sample| {
                    let mut window = vec![1.0_f32; 8];
                    change.apply(&mut window, 1, 5, 0, sample);
                    // The first step stands on a knot, so that its factor is normal itself.
                    f64::from(window[0])
                })
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / values.len() as f64;
            (mean, variance.sqrt())
        };
        for change in [
            Augmentation { jitter: 0.2, ..Augmentation::default() },
            Augmentation { magnitude_warp: 0.2, ..Augmentation::default() },
        ] {
            let (mean, deviation) = spread(change);
            assert!((mean - 1.0).abs() < 0.015 && (deviation - 0.2).abs() < 0.01, "{change:?}: {mean} {deviation}");
        }
        let mut window = rows();
        Augmentation::default().apply(&mut window, 2, 1, 2, 3);
        assert_eq!(window, rows());
    }
}
