//! Where in the day, the week and the funding interval a tick is. Logical time, taken as UTC, to the whole second.

use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use crate::time::{NANOS_PER_SECOND, Timestamp};
use std::f64::consts::TAU;

pub(super) const SPECS: [FeatureSpec; 9] = [
    sine_spec("time_of_day_sin", DAY),
    cosine_spec("time_of_day_cos", DAY),
    sine_spec("time_of_quarter_hour_sin", QUARTER_HOUR),
    cosine_spec("time_of_quarter_hour_cos", QUARTER_HOUR),
    sine_spec("time_of_minute_sin", MINUTE),
    cosine_spec("time_of_minute_cos", MINUTE),
    spec(
        "weekday_sin",
        1,
        Unit::Number,
        Some(FeatureWindow::Period(7 * DAY)),
        "sin(2 pi d / 7), d = whole days since Monday 00:00 UTC: another value each day",
        "cyclical encoding of time",
    ),
    funding_spec("funding_before", "exp(-t / 900), t = seconds to the next funding, at 00:00, 08:00 and 16:00 UTC"),
    funding_spec("funding_after", "exp(-t / 900), t = seconds since the last funding, at 00:00, 08:00 and 16:00 UTC"),
];

const fn sine_spec(name: &'static str, period: u32) -> FeatureSpec {
    let formula = "sin(2 pi t / T), t = whole seconds since the epoch, T the period";
    spec(name, 1, Unit::Number, Some(FeatureWindow::Period(period)), formula, "cyclical encoding of time")
}

const fn cosine_spec(name: &'static str, period: u32) -> FeatureSpec {
    let formula = "cos(2 pi t / T), t = whole seconds since the epoch, T the period";
    spec(name, 1, Unit::Number, Some(FeatureWindow::Period(period)), formula, "cyclical encoding of time")
}

const fn funding_spec(name: &'static str, formula: &'static str) -> FeatureSpec {
    spec(
        name,
        1,
        Unit::Number,
        Some(FeatureWindow::Period(FUNDING)),
        formula,
        "closeness to the exchange of funding of perpetual futures",
    )
}

const DAY: u32 = 86_400;
const FUNDING: u32 = 28_800;
const QUARTER_HOUR: u32 = 900;
const MINUTE: u32 = 60;

/// The Unix epoch was a Thursday.
const EPOCH_DAYS_SINCE_MONDAY: i64 = 3;

/// The encodings of the second last asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Calendar {
    latest: Option<(i64, [f64; SPECS.len()])>,
}

impl Calendar {
    #[inline(always)]
    pub(super) fn values(&mut self, now: Timestamp) -> [f64; SPECS.len()] {
        let second = now.0.div_euclid(NANOS_PER_SECOND);
        match self.latest {
            Some((latest, values)) if latest == second => values,
            _ => {
                let values = of_second(second);
                self.latest = Some((second, values));
                values
            }
        }
    }
}

fn of_second(second: i64) -> [f64; SPECS.len()] {
    let within = |period: u32| second.rem_euclid(i64::from(period)) as f64;
    let phase = |period: u32| (TAU * within(period) / f64::from(period)).sin_cos();
    let (day_sin, day_cos) = phase(DAY);
    let (quarter_sin, quarter_cos) = phase(QUARTER_HOUR);
    let (minute_sin, minute_cos) = phase(MINUTE);
    let weekday = (second.div_euclid(i64::from(DAY)) + EPOCH_DAYS_SINCE_MONDAY).rem_euclid(7);
    let since = within(FUNDING);
    let closeness = |seconds: f64| (-seconds / f64::from(QUARTER_HOUR)).exp();
    [
        day_sin,
        day_cos,
        quarter_sin,
        quarter_cos,
        minute_sin,
        minute_cos,
        (TAU * weekday as f64 / 7.0).sin(),
        closeness(f64::from(FUNDING) - since),
        closeness(since),
    ]
}
