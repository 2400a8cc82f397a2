//! One row's prediction, told feature by feature.

use super::rows::Rows;
use super::shap::{ExplainError, TreeShap};
use chronos_inference::trees::{Forest, ScoreError};
use serde::Serialize;

/// Why one row has its margin.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// The output explained.
    pub output: usize,
    /// Its margin: what is expected, and every contribution.
    pub margin: f64,
    /// Its prediction.
    pub prediction: f64,
    /// The margin expected of a training row.
    pub expected: f64,
    /// The features, those with the largest contribution first.
    pub features: Vec<FeatureContribution>,
}

/// What one feature contributes.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeatureContribution {
    /// Its name; `f` and its number where the forest has no names.
    pub name: String,
    /// Its value in the row; `null` in JSON where it is missing.
    pub value: f64,
    /// What it adds to the margin.
    pub contribution: f64,
}

/// Why there is no explanation.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum ExplainRowError {
    /// The forest or the row.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// The row.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// There is no such output.
    #[error("the forest has {outputs} outputs, and none of number {output}")]
    Output {
        /// What was asked for.
        output: usize,
        /// Outputs there are.
        outputs: usize,
    },
}

/// Explains one output of one row by exact path-dependent contributions.
///
/// # Errors
/// [`ExplainRowError`] where the row, the output or the forest does not allow it.
pub fn explain_row(forest: &Forest, row: &[f64], output: usize) -> Result<Explanation, ExplainRowError> {
    let (features, outputs) = (forest.features(), forest.outputs());
    if output >= outputs {
        return Err(ExplainRowError::Output { output, outputs });
    }
    let mut out = vec![0.0; outputs];
    forest.margins_into(row, &mut out)?;
    let margin = out[output];
    forest.link().apply(&mut out);
    let different = |_| ExplainError::Features { expected: features, got: row.len() };
    let contributions = TreeShap::new(forest)?.contributions(Rows::new(row, features).map_err(different)?)?;
    let (contributions, expected) = contributions.of(0, output).split_at(features);
    let name = |feature: usize| forest.feature_names().get(feature).cloned().unwrap_or_else(|| format!("f{feature}"));
    let of = |(feature, (value, contribution)): (usize, (&f64, &f64))| FeatureContribution {
        name: name(feature),
        value: *value,
        contribution: *contribution,
    };
    let mut features: Vec<FeatureContribution> = row.iter().zip(contributions).enumerate().map(of).collect();
    features.sort_by(|one, two| two.contribution.abs().total_cmp(&one.contribution.abs()));
    Ok(Explanation { output, margin, prediction: out[output], expected: expected[0], features })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::{Loss, Sample, TrainConfig, train};

    #[test]
    fn contributions_add_up_to_the_margin_and_the_largest_stands_first() {
        let mut random = fastrand::Rng::with_seed(2);
        let values: Vec<f64> = (0..600).map(|_| random.f64()).collect();
        let rows = Rows::new(&values, 2).unwrap();
        let labels: Vec<f64> = rows.iter().map(|row| (3.0 * row[1] + row[0]).floor().min(2.0)).collect();
        let names = ["small", "large"].map(str::to_owned);
        let sample = Sample { rows, labels: &labels, weights: None };
        let forest = train(&TrainConfig::new(Loss::Softmax { classes: 3 }), &names, sample, None).unwrap().forest;
        let mut all = 0.0;
        for output in 0..3 {
            let told = explain_row(&forest, &[0.5, 0.1], output).unwrap();
            let sum = told.expected + told.features.iter().map(|feature| feature.contribution).sum::<f64>();
            assert!((sum - told.margin).abs() < 1e-4, "{told:?}");
            assert!(told.features[0].contribution.abs() >= told.features[1].contribution.abs());
            assert!(told.features.iter().any(|feature| feature.name == "large" && feature.value == 0.1));
            all += told.prediction;
        }
        assert!((all - 1.0).abs() < 1e-12);
        assert_eq!(explain_row(&forest, &[0.5, 0.1], 3), Err(ExplainRowError::Output { output: 3, outputs: 3 }));
        assert!(explain_row(&forest, &[0.5], 0).is_err());
    }
}
