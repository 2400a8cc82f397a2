//! How the learning rate goes over a run.

use std::f64::consts::PI;

/// A learning rate over time. Time counts optimiser steps or epochs from 0, whichever the run says; after the end of a schedule its
/// last value stays.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The peak throughout.
    Constant,
    /// Up in a straight line, `peak * (t + 1) / (warmup + 1)` for `t < warmup`, then down half a cosine to `floor` at `total`
    /// (Loshchilov and Hutter, "SGDR", 2017, without restarts).
    WarmupCosine {
        /// How long it rises; 0 starts at the peak.
        warmup: u64,
        /// When the floor is reached.
        total: u64,
        /// The least rate.
        floor: f64,
    },
    /// Multiplied by `factor` every `every`.
    Step {
        /// How often.
        every: u64,
        /// By what.
        factor: f64,
    },
    /// Half a cosine up from `peak / start_divisor`, and another down to `peak / start_divisor / end_divisor` (Smith and Topin,
    /// "Super-convergence", 2018, with torch's phases: the peak stands at `warmup_share * total - 1`, the end at `total - 1`).
    OneCycle {
        /// Its length.
        total: u64,
        /// Share of it that rises; torch has 0.3.
        warmup_share: f64,
        /// Peak over first; torch has 25.
        start_divisor: f64,
        /// First over last; torch has 10,000.
        end_divisor: f64,
    },
}

impl Schedule {
    /// The rate at `time`, where the largest is `peak`.
    pub fn learning_rate(&self, peak: f64, time: u64) -> f64 {
        match *self {
            Self::Constant => peak,
            Self::WarmupCosine { warmup, .. } if time < warmup => peak * (time + 1) as f64 / (warmup + 1) as f64,
            Self::WarmupCosine { warmup, total, floor } => {
                let length = total.saturating_sub(warmup) as f64;
                half_cosine(peak, floor, (time - warmup) as f64 / length)
            }
            Self::Step { every, factor } => peak * factor.powf((time / every.max(1)) as f64),
            Self::OneCycle { total, warmup_share, start_divisor, end_divisor } => {
                let (first, top, end) = (peak / start_divisor, warmup_share * total as f64 - 1.0, total as f64 - 1.0);
                let time = time as f64;
                if time <= top {
                    half_cosine(first, peak, time / top)
                } else {
                    half_cosine(peak, first / end_divisor, (time - top) / (end - top))
                }
            }
        }
    }
}

/// From one value to another along half a cosine; the second from 1 on, also where there is no way (0 / 0).
fn half_cosine(from: f64, to: f64, way: f64) -> f64 {
    if way < 1.0 { to + (from - to) / 2.0 * (1.0 + (PI * way).cos()) } else { to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_then_cosine_by_hand() {
        let schedule = Schedule::WarmupCosine { warmup: 3, total: 7, floor: 0.2 };
        let rates: Vec<f64> = (0..9).map(|time| schedule.learning_rate(1.0, time)).collect();
        let half = 0.2 + 0.4 * (1.0 + (PI / 4.0).cos());
        for (rate, expected) in rates.iter().zip([0.25, 0.5, 0.75, 1.0, half, 0.6, 0.2 + 0.8 - (half - 0.2), 0.2, 0.2]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_step_halves() {
        let schedule = Schedule::Step { every: 100, factor: 0.5 };
        assert_eq!([0, 99, 100, 250].map(|time| schedule.learning_rate(0.01, time)), [0.01, 0.01, 0.005, 0.0025]);
        assert_eq!(Schedule::Step { every: 0, factor: 1.0 }.learning_rate(0.1, 5), 0.1);
    }

    #[test]
    fn nothing_is_nan_where_a_phase_is_empty() {
        let all = [
            Schedule::WarmupCosine { warmup: 5, total: 5, floor: 0.0 },
            Schedule::WarmupCosine { warmup: 0, total: 0, floor: 0.1 },
            Schedule::OneCycle { total: 1, warmup_share: 1.0, start_divisor: 25.0, end_divisor: 1e4 },
            Schedule::OneCycle { total: 0, warmup_share: 0.3, start_divisor: 25.0, end_divisor: 1e4 },
        ];
        for (schedule, time) in all.iter().flat_map(|schedule| (0..8).map(move |time| (schedule, time))) {
            assert!(schedule.learning_rate(0.1, time).is_finite(), "{schedule:?} at {time}");
        }
    }
}
