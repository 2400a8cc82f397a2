//! Rules that a model has to beat: what is most frequent, and what happened last.

use super::logistic::Logistic;
use super::model::{FitError, Fitted, Model};
use super::samples::{Samples, Target};
use serde_json::{Value, json};

/// The baseline of a name: `majority`, `last-move`, `momentum=LABELS`, `logistic=L2`.
///
/// # Errors
/// [`FitError`] with the names there are.
pub fn baseline(name: &str) -> Result<Box<dyn Model>, FitError> {
    let (kind, parameter) = name.split_once('=').unwrap_or((name, ""));
    let known: Option<Box<dyn Model>> = match (kind, parameter) {
        ("majority", "") => Some(Box::new(Majority)),
        ("last-move", "") => Some(Box::new(Momentum { labels: 1 })),
        ("momentum", labels) => {
            labels.parse().ok().filter(|labels| *labels > 0).map(|labels| Box::new(Momentum { labels }) as Box<dyn Model>)
        }
        ("logistic", l2) => {
            l2.parse().ok().filter(|l2: &f64| l2.is_finite() && *l2 > 0.0).map(|l2| Box::new(Logistic { l2 }) as Box<dyn Model>)
        }
        _ => None,
    };
    known.ok_or_else(|| {
        FitError(format!("no model `{name}`; there are majority, last-move, momentum=LABELS (from 1) and logistic=L2 (above 0)"))
    })
}

/// Always the more frequent label, by weight; a meta-label gets the share of bets that paid.
#[derive(Clone, Copy, Debug)]
pub struct Majority;

impl Model for Majority {
    fn describe(&self) -> Value {
        json!({ "kind": "majority" })
    }

    fn fit(&self, samples: &Samples<'_>, rows: &[usize], _: u64) -> Result<Box<dyn Fitted>, FitError> {
        let sum = |of: fn(f64) -> f64| rows.iter().map(|&row| samples.weights[row] * of(samples.labels[row])).sum::<f64>();
        let score = match samples.target {
            Target::Direction => direction(sum(|label| label)),
            Target::Meta => {
                let total = sum(|_| 1.0);
                if total > 0.0 { sum(|label| label) / total } else { 0.0 }
            }
        };
        Ok(Box::new(Constant(score)))
    }
}

struct Constant(f64);

impl Fitted for Constant {
    fn predict(&self, _: &Samples<'_>, rows: &[usize]) -> Result<Vec<f64>, FitError> {
        Ok(vec![self.0; rows.len()])
    }
}

/// What the last labels that ended by the event earned together: its sign, or for a meta-label whether it was a gain.
///
/// With one label this is "the last move". Nothing is trained; a row before the first end scores 0.
#[derive(Clone, Copy, Debug)]
pub struct Momentum {
    /// Labels added up, at least 1.
    pub labels: usize,
}

impl Model for Momentum {
    fn describe(&self) -> Value {
        json!({ "kind": "momentum", "labels": self.labels })
    }

    fn fit(&self, _: &Samples<'_>, _: &[usize], _: u64) -> Result<Box<dyn Fitted>, FitError> {
        if self.labels == 0 {
            return Err(FitError("momentum over 0 labels: at least 1 is needed".into()));
        }
        Ok(Box::new(*self))
    }
}

impl Fitted for Momentum {
    fn predict(&self, samples: &Samples<'_>, rows: &[usize]) -> Result<Vec<f64>, FitError> {
        let mut by_end: Vec<usize> = (0..samples.rows()).collect();
        by_end.sort_by_key(|&row| samples.ends_ns[row]);
        let mut sums = vec![0.0];
        for &row in &by_end {
            sums.push(sums[sums.len() - 1] + samples.returns[row]);
        }
        let score = |&row: &usize| {
            let event = samples.events_ns[row];
            // A label that ends at this very event is known; this row's own is not, even where it has no length.
            let mut ended = by_end.partition_point(|&other| samples.ends_ns[other] <= event);
            while ended > 0 && by_end[ended - 1] >= row {
                ended -= 1;
            }
            let earned = sums[ended] - sums[ended.saturating_sub(self.labels)];
            match samples.target {
                Target::Direction => direction(earned),
                Target::Meta => f64::from(u8::from(earned > 0.0)),
            }
        };
        Ok(rows.iter().map(score).collect())
    }
}

/// -1, 0 or 1.
fn direction(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

#[cfg(test)]
mod tests {
    use super::super::samples::OwnedSamples;
    use super::super::samples::tests::second_by_second;
    use super::*;

    fn scores(model: &dyn Model, rows: &OwnedSamples, train: &[usize], test: &[usize]) -> Vec<f64> {
        let samples = rows.samples();
        model.fit(&samples, train, 0).unwrap().predict(&samples, test).unwrap()
    }

    #[test]
    fn baselines_by_name() {
        for (name, kind) in
            [("majority", "majority"), ("last-move", "momentum"), ("momentum=5", "momentum"), ("logistic=0.5", "logistic")]
        {
            assert_eq!(baseline(name).unwrap().describe()["kind"], kind);
        }
        for name in ["", "forest", "majority=1", "momentum", "momentum=0", "logistic=-1", "logistic=nan"] {
            assert!(baseline(name).is_err_and(|error| error.to_string().contains("momentum=LABELS")), "{name}");
        }
    }

    #[test]
    fn the_majority_goes_by_weight() {
        let mut rows = second_by_second(vec![], vec![0.1, 0.1, -0.1, 0.1]);
        assert_eq!(scores(&Majority, &rows, &[0, 1, 2], &[3]), vec![1.0]);
        rows.weights[2] = 5.0;
        assert_eq!(scores(&Majority, &rows, &[0, 1, 2], &[3, 0]), vec![-1.0, -1.0]);
        rows.target = Target::Meta;
        rows.labels = vec![1.0, 0.0, 1.0, 0.0];
        assert_eq!(scores(&Majority, &rows, &[0, 1, 2], &[3]), vec![6.0 / 7.0]);
    }

    #[test]
    fn momentum_sees_what_has_ended_and_nothing_else() {
        let mut rows = second_by_second(vec![], vec![0.1, -0.2, 0.05, 0.3]);
        assert_eq!(scores(&Momentum { labels: 1 }, &rows, &[], &[0, 1, 2, 3]), vec![0.0, 1.0, -1.0, 1.0]);
        assert_eq!(scores(&Momentum { labels: 2 }, &rows, &[], &[0, 1, 2, 3]), vec![0.0, 1.0, -1.0, -1.0]);
        // The label of row 1 ends after the event of row 2.
        rows.ends_ns[1] += 1;
        assert_eq!(scores(&Momentum { labels: 1 }, &rows, &[], &[2]), vec![1.0]);
        // A change of the future changes no score.
        let before = scores(&Momentum { labels: 2 }, &rows, &[], &[0, 1, 2]);
        rows.returns[2] = -9.0;
        rows.returns[3] = -9.0;
        assert_eq!(scores(&Momentum { labels: 2 }, &rows, &[], &[0, 1, 2]), before);
        assert!(Momentum { labels: 0 }.fit(&rows.samples(), &[], 0).is_err());
    }
}
