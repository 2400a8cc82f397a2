//! What a run is told.

use crate::optimiser::{OptimiserConfig, Schedule};

/// How to train. Two runs of one plan on the same samples give the same parameters, bit for bit on one machine.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Of everything random; below 2^63.
    pub seed: u64,
    /// Times through the order, unless patience ends it.
    pub epochs: u64,
    /// Samples a batch; the last of an epoch may be smaller.
    pub batch: usize,
    /// Batches whose gradients are added up for one step, each by its number of samples.
    pub accumulate: usize,
    /// The largest rate.
    pub learning_rate: f64,
    /// How it goes over time.
    pub schedule: Schedule,
    /// Whether the schedule's time counts steps or epochs.
    pub schedule_by: ScheduleBy,
    /// The rule.
    pub optimiser: OptimiserConfig,
    /// Norm that gradients are clipped to.
    pub clip_norm: Option<f64>,
    /// Epochs without a better watched value after which it ends.
    pub patience: Option<u64>,
    /// A loss this many times the largest of the first steps stops the run.
    pub explosion: f64,
}

/// What a schedule's time counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleBy {
    /// Optimiser steps.
    Step,
    /// Epochs.
    Epoch,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            epochs: 20,
            batch: 32,
            accumulate: 1,
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            schedule_by: ScheduleBy::Step,
            optimiser: OptimiserConfig::adamw(0.01),
            clip_norm: Some(1.0),
            patience: None,
            explosion: 1e4,
        }
    }
}

/// A setting that no run can have.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("training: {setting} is {value}, and must be {must_be}")]
pub struct PlanError {
    /// Which setting.
    pub setting: &'static str,
    /// What it is.
    pub value: String,
    /// Its range.
    pub must_be: &'static str,
}

impl Plan {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`PlanError`], the first that is out of its range.
    pub fn check(&self) -> Result<(), PlanError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let wrong =
            |setting, value: &dyn std::fmt::Debug, must_be| Err(PlanError { setting, value: format!("{value:?}"), must_be });
        if self.seed >= 1 << 63 {
            return wrong("seed", &self.seed, "below 2^63");
        }
        for (setting, value) in [("epochs", self.epochs), ("batch", self.batch as u64), ("accumulate", self.accumulate as u64)] {
            if value == 0 {
                return wrong(setting, &value, "at least 1");
            }
        }
        for (setting, value) in [("learning_rate", Some(self.learning_rate)), ("clip_norm", self.clip_norm)] {
            if let Some(value) = value.filter(|value| !positive(*value)) {
                return wrong(setting, &value, "above 0 and finite");
            }
        }
        for (setting, value) in self.optimiser.memories() {
            if !(0.0..1.0).contains(&value) {
                return wrong(setting, &value, "at least 0 and below 1");
            }
        }
        for (setting, value) in self.optimiser.penalties() {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(setting, &value, "at least 0 and finite");
            }
        }
        let first = self.learning_rate_at(0, 0);
        if !(first >= 0.0 && first.is_finite()) {
            return wrong("schedule", &self.schedule, "one whose first rate is finite and not below 0");
        }
        if self.explosion.is_nan() || self.explosion <= 1.0 {
            return wrong("explosion", &self.explosion, "above 1; infinite never stops");
        }
        Ok(())
    }

    /// The rate of a step, both counted from 0.
    pub fn learning_rate_at(&self, step: u64, epoch: u64) -> f64 {
        let time = match self.schedule_by {
            ScheduleBy::Step => step,
            ScheduleBy::Epoch => epoch,
        };
        self.schedule.learning_rate(self.learning_rate, time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_run_can_have_is_refused() {
        assert_eq!(Plan::default().check(), Ok(()));
        let refused = |plan: Plan| plan.check().unwrap_err().to_string();
        let batch = refused(Plan { batch: 0, ..Plan::default() });
        assert_eq!(batch, "training: batch is 0, and must be at least 1");
        for (plan, name) in [
            (Plan { seed: u64::MAX, ..Plan::default() }, "seed"),
            (Plan { learning_rate: f64::NAN, ..Plan::default() }, "learning_rate"),
            (Plan { clip_norm: Some(0.0), ..Plan::default() }, "clip_norm"),
            (Plan { optimiser: OptimiserConfig::nesterov(1.0), ..Plan::default() }, "momentum"),
            (Plan { optimiser: OptimiserConfig::adamw(-0.1), ..Plan::default() }, "weight_decay"),
            (
                Plan {
                    schedule: Schedule::OneCycle { total: 9, warmup_share: 0.3, start_divisor: 0.0, end_divisor: 1.0 },
                    ..Plan::default()
                },
                "schedule",
            ),
            (Plan { explosion: 1.0, ..Plan::default() }, "explosion"),
        ] {
            assert!(refused(plan).contains(name), "{name}");
        }
    }

    #[test]
    fn a_plan_is_read_from_text() {
        let plan = Plan { schedule: Schedule::Step { every: 100, factor: 0.5 }, ..Plan::default() };
        let text = toml::to_string(&plan).unwrap();
        assert_eq!(toml::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        let error = toml::from_str::<Plan>("batchsize = 3").unwrap_err().to_string();
        assert!(error.contains("batchsize"), "{error}");
    }
}
