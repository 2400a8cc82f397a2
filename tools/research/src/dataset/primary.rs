//! The primary model whose bets get meta-labels.

use super::DatasetError;
use chronos_pipeline::decision::{SIGNAL_FEATURES, feature_signal};
use chronos_session::meta::STRATEGY;

/// A primary model: from a row of features to a signal, whose sign is the side of a bet and whose magnitude its strength.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PrimarySignal(Formula);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Formula {
    /// The feature of this column times a sign.
    Feature { column: usize, sign: f64 },
    /// [`feature_signal`] of these columns.
    Strategy([usize; 2]),
}

impl PrimarySignal {
    /// Reads `feature`, `-feature` or `strategy`, for rows of these features.
    ///
    /// # Errors
    /// [`DatasetError`] where the features it is made of are not there.
    pub fn of<'a>(side: &str, features: impl Iterator<Item = &'a str> + Clone) -> Result<PrimarySignal, DatasetError> {
        let column = |name: &str| features.clone().position(|known| known == name);
        if side == STRATEGY {
            let [imbalance, order_flow] = SIGNAL_FEATURES;
            return match (column(imbalance), column(order_flow)) {
                (Some(imbalance), Some(order_flow)) => Ok(PrimarySignal(Formula::Strategy([imbalance, order_flow]))),
                _ => Err(DatasetError::Recipe {
                    message: format!(
                        "side `{STRATEGY}`: its signal is made of `{imbalance}` and `{order_flow}`, which only captures have; name a \
                         feature instead"
                    ),
                }),
            };
        }
        let (name, sign) = side.strip_prefix('-').map_or((side, 1.0), |name| (name, -1.0));
        column(name).map(|column| PrimarySignal(Formula::Feature { column, sign })).ok_or_else(|| {
            let nearest = features.max_by(|left, right| strsim::jaro(left, name).total_cmp(&strsim::jaro(right, name)));
            DatasetError::UnknownFeature { name: name.to_owned(), nearest: nearest.unwrap_or_default().to_owned() }
        })
    }

    /// The signal at a row.
    pub fn signal(&self, row: &[f64]) -> f64 {
        match self.0 {
            Formula::Feature { column, sign } => sign * row[column],
            Formula::Strategy(columns) => feature_signal(columns.map(|column| row[column])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_and_refused() {
        let signal = |side: &str| PrimarySignal::of(side, ["spread_bps", "imbalance_1", "ofi_1_1s"].into_iter());
        let row = [3.0, -0.5, 0.25];
        assert_eq!(signal("spread_bps").unwrap().signal(&row), 3.0);
        assert_eq!(signal("-imbalance_1").unwrap().signal(&row), 0.5);
        assert_eq!(signal(STRATEGY).unwrap().signal(&row), 0.5 * (-0.5 + 0.25_f64.tanh()));
        assert!(signal("imbalance_2").is_err_and(|error| error.to_string().contains("did you mean `imbalance_1`")));
        let of_bars = PrimarySignal::of(STRATEGY, ["return_1"].into_iter());
        assert!(of_bars.is_err_and(|error| error.to_string().contains("only captures have")));
    }
}
