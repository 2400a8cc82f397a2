//! How samples are made: which events, what labels, which weights.

use super::DatasetError;
use crate::bars::parse_duration;
use crate::labels::{Horizon, TripleBarrier};
use serde::{Deserialize, Serialize};

/// Everything that decides about events, labels and weights. What is written to a manifest, and enough to make the same again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// `cusum:1.5`, events where log prices have moved by so many targets since the last one; or `every:10`, at each tenth price.
    pub events: String,
    /// Span of the exponentially weighted volatility of price-to-price returns: the target, the unit of every distance.
    pub volatility_span: f64,
    /// Targets to the profit; without a side to both barriers. Absent for no such barrier.
    pub profit: Option<f64>,
    /// Targets to the stop, where there is a side. Absent for no such barrier.
    pub stop: Option<f64>,
    /// `50` prices, or a time such as `30s`, `4h`. Absent to wait for the barriers.
    pub horizon: Option<String>,
    /// Events are labelled where their target is above this return.
    pub return_min: f64,
    /// The primary model whose bets are labelled: the sign of this feature; with a minus before the name the other way round; `strategy`
    /// for what a session's strategy bets on without a model. Absent for labels of direction.
    pub side: Option<String>,
    /// Least magnitude of the primary model's signal for a bet: below it there is no side.
    #[serde(default)]
    pub side_min: f64,
    /// `barrier`: by the barrier that was touched, or `return`: by the sign of the return.
    pub label: LabelRule,
    /// What weights follow.
    pub weight: WeightRule,
    /// Factor of the oldest label, 1 for no decay; negative to leave out the oldest share.
    pub decay: f64,
}

/// What a label says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelRule {
    /// Which barrier ended it.
    Barrier,
    /// The sign of the return.
    Return,
}

/// What weights follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightRule {
    /// Average uniqueness.
    Uniqueness,
    /// Return attribution.
    Return,
    /// Each the same.
    Equal,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            events: "cusum:2".to_owned(),
            volatility_span: 100.0,
            profit: Some(2.0),
            stop: Some(2.0),
            horizon: Some("50".to_owned()),
            return_min: 0.0,
            side: None,
            side_min: 0.0,
            label: LabelRule::Barrier,
            weight: WeightRule::Uniqueness,
            decay: 1.0,
        }
    }
}

/// Which prices are events.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum EventRule {
    /// Moves of so many targets.
    Cusum(f64),
    /// Each so manieth.
    Every(usize),
}

impl Recipe {
    pub(super) fn event_rule(&self) -> Result<EventRule, DatasetError> {
        let rule = self.events.split_once(':').and_then(|(kind, size)| match kind {
            "cusum" => size.parse().ok().filter(|multiple: &f64| *multiple > 0.0 && multiple.is_finite()).map(EventRule::Cusum),
            "every" => size.parse().ok().filter(|count: &usize| *count > 0).map(EventRule::Every),
            _ => None,
        });
        let text = &self.events;
        rule.ok_or_else(|| DatasetError::Recipe { message: format!("events `{text}`: write cusum:1.5 or every:10") })
    }

    /// Checks what is asked of a side.
    pub(super) fn check_side(&self) -> Result<(), DatasetError> {
        if !self.side_min.is_finite() || self.side_min < 0.0 {
            let message = format!("a least signal of {}: it is finite, 0 or more", self.side_min);
            return Err(DatasetError::Recipe { message });
        }
        if self.side_min > 0.0 && self.side.is_none() {
            let message = format!("a least signal of {} needs a side whose signal it is", self.side_min);
            return Err(DatasetError::Recipe { message });
        }
        Ok(())
    }

    pub(super) fn barriers(&self) -> Result<TripleBarrier, DatasetError> {
        let horizon = match &self.horizon {
            None => None,
            Some(text) => match (text.parse().ok().filter(|bars: &usize| *bars > 0), parse_duration(text)) {
                (Some(bars), _) => Some(Horizon::Bars(bars)),
                (None, Some(nanos)) => Some(Horizon::Nanos(nanos)),
                (None, None) => {
                    let message = format!("horizon `{text}`: write a number of prices, or a time such as 30s, 5m, 4h");
                    return Err(DatasetError::Recipe { message });
                }
            },
        };
        if self.profit.is_none() && horizon.is_none() && (self.stop.is_none() || self.side.is_none()) {
            let message = "no barrier would ever end a label: give a profit, a horizon, or a stop with a side".to_owned();
            return Err(DatasetError::Recipe { message });
        }
        Ok(TripleBarrier { profit: self.profit, stop: self.stop, horizon, return_min: self.return_min })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_read_and_refused() {
        let recipe = Recipe::default();
        assert_eq!(recipe.event_rule().unwrap(), EventRule::Cusum(2.0));
        assert_eq!(recipe.barriers().unwrap().horizon, Some(Horizon::Bars(50)));
        let timed = Recipe { horizon: Some("4h".into()), events: "every:7".into(), ..recipe.clone() };
        assert_eq!(timed.barriers().unwrap().horizon, Some(Horizon::Nanos(14_400_000_000_000)));
        assert_eq!(timed.event_rule().unwrap(), EventRule::Every(7));
        for events in ["cusum", "cusum:0", "every:0", "each:3"] {
            assert!(Recipe { events: events.into(), ..recipe.clone() }.event_rule().is_err(), "{events}");
        }
        assert!(Recipe { horizon: Some("soon".into()), ..recipe.clone() }.barriers().is_err());
        assert!(Recipe { horizon: None, profit: None, ..recipe.clone() }.barriers().is_err());
        assert!(Recipe { side_min: 0.3, ..recipe.clone() }.check_side().is_err());
        assert!(Recipe { side_min: f64::NAN, side: Some("x".into()), ..recipe.clone() }.check_side().is_err());
        let text = toml::to_string(&recipe).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe);
        assert!(toml::from_str::<Recipe>(&format!("{text}profits = 1\n")).is_err());
    }
}
