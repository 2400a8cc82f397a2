//! The regime's embedding as the hot path of a replay has it at each tick, without the threads.

use chronos_coldpath::regime::{RegimeEstimator, embedding};
use chronos_coldpath::{RegimeConfig, regime::RegimeConfigError};
use chronos_market::{REGIME_EMBEDDING, Timestamp, Window};
use chronos_pipeline::topology::WindowSchedule;
use std::collections::VecDeque;

/// Answers the windows of one instrument's mids as the cold path does, and puts each answer in force when a replay does: `lag_ns` after
/// its window has ended.
#[derive(Clone, Debug)]
pub struct RegimeFollower {
    estimator: RegimeEstimator,
    windows: WindowSchedule,
    /// The window that samples fall into.
    open: Option<i64>,
    /// Answers not in force yet: from when, and what.
    ended: VecDeque<(Timestamp, [f32; REGIME_EMBEDDING])>,
    current: [f32; REGIME_EMBEDDING],
}

impl RegimeFollower {
    /// A follower that has seen nothing: zeros are in force.
    ///
    /// # Errors
    /// The length of the windows is out of range.
    pub fn new(windows: WindowSchedule) -> Result<RegimeFollower, RegimeConfigError> {
        let config = RegimeConfig { window_ns: windows.window_ns, ..RegimeConfig::default() };
        Ok(RegimeFollower {
            estimator: RegimeEstimator::new(config)?,
            windows,
            open: None,
            ended: VecDeque::new(),
            current: [0.0; REGIME_EMBEDDING],
        })
    }

    /// What is in force at a tick, whose own mid counts from the next one on.
    pub fn at(&mut self, now: Timestamp) -> &[f32; REGIME_EMBEDDING] {
        if let Some(index) = self.open {
            let end = Timestamp(index.saturating_add(1).saturating_mul(self.windows.window_ns));
            if end <= now {
                let lag_ns = self.windows.lag_ns.clamp(0, self.windows.window_ns.saturating_mul(8));
                let window = Window { index, end, effective: end.plus_nanos(lag_ns) };
                self.ended.push_back((window.effective, embedding(&self.estimator.on_window_end(window))));
                self.open = None;
            }
        }
        while let Some((_, embedding)) = self.ended.pop_front_if(|(effective, _)| *effective <= now) {
            self.current = embedding;
        }
        &self.current
    }

    /// Takes the mid of a tick with a book of two sides.
    pub fn on_mid(&mut self, now: Timestamp, mid: f64) {
        self.open.get_or_insert(now.0.div_euclid(self.windows.window_ns.max(1)));
        self.estimator.on_sample(now, mid);
    }
}
