//! What a model of direction has to beat.

use super::Probabilities;
use crate::ticks::{CLASSES, Direction, Samples, Target, Ticks};
use crate::validation::{FitError, Logistic, LogisticFit, OwnedSamples, Target as LabelKind};
use serde::{Deserialize, Serialize};

/// The features of order-flow imbalance that [`Baselines`] know; those that the ticks have are used.
pub const ORDER_FLOW_FEATURES: [&str; 7] =
    ["ofi_1_1s", "ofi_1_10s", "ofi_1_60s", "ofi_2_to_5_1s", "ofi_2_to_10_10s", "ofi_integrated_1s", "ofi_integrated_10s"];

/// Name of the one baseline that learns from features: it shows how far a simple model gets, and skill does not mean to be better than it.
pub(super) const ORDER_FLOW: &str = "order flow";

/// Strength of the regressions' penalty.
const PENALTY: f64 = 1.0;
/// Number of states of the last move: the three directions, and none known.
const LAST_MOVES: usize = CLASSES + 1;

/// Baselines, fitted on the training part.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Baselines {
    /// *Majority*: the share of each direction in training, whatever happens.
    pub frequencies: Probabilities,
    /// *Last move*: how often each direction followed a move down, none, and up over as long a time before, and where none is known. Each
    /// row has one sample of the frequencies added.
    pub after_move: [Probabilities; LAST_MOVES],
    /// *Order flow*: logistic regression on order-flow imbalance alone; `None` where the ticks have no such feature.
    pub order_flow: Option<OrderFlow>,
}

/// Logistic regression of three classes by two nested questions (Frank and Kramer 2004): whether the price moves, on the sizes of the
/// imbalances, and if so whether up, on the imbalances themselves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OrderFlow {
    /// Names of the features.
    pub features: Vec<String>,
    /// Whether it moves.
    pub moves: LogisticFit,
    /// Whether up; `None` where nothing moved in training.
    pub up: Option<LogisticFit>,
}

impl Baselines {
    /// Fits all on the samples `train`. Features of `ticks` must not be scaled.
    ///
    /// # Errors
    /// [`FitError`] where the regressions do not settle or there is nothing to train on.
    pub fn fit(
        ticks: &Ticks,
        samples: &Samples,
        directions: &[Direction],
        target: &Target,
        train: &[usize],
    ) -> Result<Baselines, FitError> {
        if train.is_empty() {
            return Err(FitError("no sample to train on; give more data or a shorter horizon".into()));
        }
        let count = |class: Direction| train.iter().filter(|sample| directions[**sample] == class).count() as f64;
        let frequencies = Direction::ALL.map(|class| count(class) / train.len() as f64);
        let mut after_move = [frequencies; LAST_MOVES];
        for sample in train {
            after_move[last_move(samples, target, *sample)][directions[*sample].index()] += 1.0;
        }
        for row in &mut after_move {
            let total: f64 = row.iter().sum();
            row.iter_mut().for_each(|share| *share /= total);
        }
        let order_flow = OrderFlow::fit(ticks, samples, directions, train)?;
        Ok(Baselines { frequencies, after_move, order_flow })
    }

    /// What each says of the samples `of`, by name.
    ///
    /// # Errors
    /// [`FitError`] where the ticks lack a feature that a regression was fitted on.
    pub fn predict(
        &self,
        ticks: &Ticks,
        samples: &Samples,
        target: &Target,
        of: &[usize],
    ) -> Result<Vec<(&'static str, Vec<Probabilities>)>, FitError> {
        let mut said = vec![
            ("majority", vec![self.frequencies; of.len()]),
            ("last move", of.iter().map(|sample| self.after_move[last_move(samples, target, *sample)]).collect()),
        ];
        if let Some(order_flow) = &self.order_flow {
            let places = places(ticks, &order_flow.features)?;
            let values = |sample: &usize| places.iter().map(|place| f64::from(ticks.row(samples.rows[*sample])[*place])).collect();
            said.push((ORDER_FLOW, of.iter().map(values).map(|values: Vec<f64>| order_flow.probabilities(&values)).collect()));
        }
        Ok(said)
    }
}

impl OrderFlow {
    fn fit(ticks: &Ticks, samples: &Samples, directions: &[Direction], train: &[usize]) -> Result<Option<OrderFlow>, FitError> {
        let is_there = |name: &&str| ticks.features.iter().any(|(known, _)| known == name);
        let features: Vec<String> =
            ORDER_FLOW_FEATURES.iter().filter(|name| is_there(name)).map(|name| (*name).to_owned()).collect();
        if features.is_empty() {
            return Ok(None);
        }
        let places = places(ticks, &features)?;
        let regression = |rows: &[usize], of: fn(f64) -> f64, is_yes: &dyn Fn(Direction) -> bool| {
            let column = |place: &usize| -> Vec<f64> {
                rows.iter().map(|sample| of(f64::from(ticks.row(samples.rows[*sample])[*place]))).collect()
            };
            let given = OwnedSamples {
                features: places.iter().map(column).collect(),
                events_ns: rows.iter().map(|sample| samples.times_ns[*sample]).collect(),
                ends_ns: rows.iter().map(|sample| samples.ends_ns[*sample]).collect(),
                labels: rows.iter().map(|sample| f64::from(u8::from(is_yes(directions[*sample])))).collect(),
                returns: vec![0.0; rows.len()],
                weights: vec![1.0; rows.len()],
                target: LabelKind::Meta,
            };
            Logistic { l2: PENALTY }.coefficients(&given.samples(), &(0..rows.len()).collect::<Vec<_>>())
        };
        let moved: Vec<usize> = train.iter().copied().filter(|sample| directions[*sample] != Direction::Flat).collect();
        let moves = regression(train, f64::abs, &|direction| direction != Direction::Flat)?;
        let up =
            if moved.is_empty() { None } else { Some(regression(&moved, |value| value, &|direction| direction == Direction::Up)?) };
        Ok(Some(OrderFlow { features, moves, up }))
    }

    fn probabilities(&self, values: &[f64]) -> Probabilities {
        let moves = self.moves.probability(values.iter().map(|value| value.abs()));
        let up = self.up.as_ref().map_or(0.5, |up| up.probability(values.iter().copied()));
        [moves * (1.0 - up), 1.0 - moves, moves * up]
    }
}

fn last_move(samples: &Samples, target: &Target, sample: usize) -> usize {
    match samples.past_returns[sample] {
        past if past.is_nan() => CLASSES,
        past => Direction::of(past, target.threshold).index(),
    }
}

fn places(ticks: &Ticks, names: &[String]) -> Result<Vec<usize>, FitError> {
    let place = |name: &String| {
        let found = ticks.features.iter().position(|(known, _)| known == name);
        found.ok_or_else(|| FitError(format!("the order-flow baseline was fitted on `{name}`, which these ticks do not have")))
    };
    names.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::REGIME_EMBEDDING;
    use chronos_market::features::index_of;

    /// Ticks whose price follows the sign of the flow with this probability; a third stays.
    fn market(rows: usize, follows: f64) -> (Ticks, Samples, Vec<Direction>) {
        let mut random = fastrand::Rng::with_seed(3);
        let flows: Vec<f32> = (0..rows).map(|_| 2.0 * random.f32() - 1.0).collect();
        let returns: Vec<f64> = flows
            .iter()
            .map(|flow| match random.f64() {
                share if share < 1.0 / 3.0 => 0.0,
                _ if random.f64() < follows => 1e-4 * f64::from(flow.signum()),
                _ => -1e-4 * f64::from(flow.signum()),
            })
            .collect();
        let ticks = Ticks {
            features: vec![("ofi_1_1s".into(), 2)],
            times_ns: (0..rows as i64).collect(),
            values: flows,
            regimes: vec![[0.0; REGIME_EMBEDDING]],
            ..Ticks::default()
        };
        let samples = Samples {
            rows: (0..rows).collect(),
            times_ns: (0..rows as i64).collect(),
            ends_ns: (1..=rows as i64).collect(),
            past_returns: [f64::NAN].into_iter().chain(returns.iter().copied()).take(rows).collect(),
            returns,
            ..Samples::default()
        };
        let directions = samples.returns.iter().map(|value| Direction::of(*value, 0.0)).collect();
        (ticks, samples, directions)
    }

    #[test]
    fn every_baseline_learns_its_own() {
        let (ticks, samples, directions) = market(6_000, 0.9);
        let target = Target { threshold: 0.0, unit: 1e-4 };
        let train: Vec<usize> = (0..4_000).collect();
        let test: Vec<usize> = (4_000..6_000).collect();
        let fitted = Baselines::fit(&ticks, &samples, &directions, &target, &train).unwrap();
        let said = fitted.predict(&ticks, &samples, &target, &test).unwrap();
        assert_eq!(said.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["majority", "last move", "order flow"]);
        let so = &directions[4_000..];
        let scores: Vec<_> = said.iter().map(|(_, of)| super::super::Predictions::new(of, so).unwrap().scores()).collect();
        assert_eq!(scores[0].auc, 0.5);
        // Moves do not depend on the last one; they do on the flow.
        assert!((scores[1].auc - 0.5).abs() < 0.05 && scores[2].auc > 0.85, "{scores:?}");
        // The sign itself would be worth 2/3 (ln 2 + 0.9 ln 0.9 + 0.1 ln 0.1) = 0.245; a curve through it gets most of that.
        assert!(scores[2].log_loss < scores[0].log_loss - 0.15);
        assert!((fitted.frequencies[1] - 1.0 / 3.0).abs() < 0.03);
        let text = serde_json::to_string(&fitted).unwrap();
        assert_eq!(serde_json::from_str::<Baselines>(&text).unwrap().predict(&ticks, &samples, &target, &test).unwrap(), said);
    }

    #[test]
    fn the_last_move_is_counted_from_training_alone() {
        let (ticks, mut samples, _) = market(4, 0.5);
        use Direction::{Down, Flat, Up};
        let directions = [Up, Up, Down, Flat];
        samples.past_returns = vec![f64::NAN, 1.0, 1.0, 1.0];
        let target = Target { threshold: 0.5, unit: 1.0 };
        let fitted = Baselines::fit(&ticks, &samples, &directions, &target, &[0, 1, 2]).unwrap();
        let third = 1.0 / 3.0;
        assert_eq!(fitted.frequencies, [third, 0.0, 2.0 * third]);
        // After a move up: down once and up once, and the frequencies as one more.
        let wanted = [(1.0 + third) / 3.0, 0.0, (1.0 + 2.0 * third) / 3.0];
        assert!(fitted.after_move[2].iter().zip(wanted).all(|(one, two)| (one - two).abs() < 1e-12), "{fitted:?}");
        assert!(Baselines::fit(&ticks, &samples, &directions, &target, &[]).is_err());
    }

    #[test]
    fn the_flows_are_in_the_registry() {
        assert!(ORDER_FLOW_FEATURES.iter().all(|name| index_of(name).is_some()));
    }
}
