//! SHAP interaction values.

use super::quadrature::gauss_legendre;
use super::rows::Rows;
use super::shap::{ExplainError, TreeShap};
use chronos_inference::trees::{Forest, Tree};
use rayon::prelude::*;

/// What each pair of features of each row contributes to each output's margin.
#[derive(Clone, PartialEq, Debug)]
pub struct Interactions {
    values: Vec<f64>,
    outputs: usize,
    side: usize,
}

impl Interactions {
    /// A square of `features + 1` rows and columns, row after row. Off the diagonal stands half of what two features do together, on it what
    /// a feature does alone, and in the last corner the expected margin: each row sums to the contribution of its feature.
    ///
    /// # Panics
    /// Where there is no such row or output.
    pub fn of(&self, row: usize, output: usize) -> &[f64] {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        let square = self.side * self.side;
        &self.values[(row * self.outputs + output) * square..][..square]
    }
}

/// The path-dependent interaction values of rows: the Shapley interaction index (Fujimoto, Kojadinovic and Marichal, "Axiomatic
/// characterizations of probabilistic and cardinal-probabilistic interaction indices", 2006), halved between the pair as XGBoost
/// and the shap package have it. By the integral of [`TreeShap`], with two features left out of the product.
///
/// # Errors
/// As [`TreeShap::new`] and [`TreeShap::contributions`].
pub fn interactions(forest: &Forest, rows: Rows<'_>) -> Result<Interactions, ExplainError> {
    let shap = TreeShap::new(forest)?;
    let contributions = shap.contributions(rows)?;
    let (side, outputs) = (forest.features() + 1, forest.outputs());
    let mut values = vec![0.0; rows.len() * outputs * side * side];
    values.par_chunks_mut(outputs * side * side).zip(rows.values().par_chunks(forest.features())).enumerate().for_each(
        |(number, (out, row))| {
            for tree in forest.trees() {
                let square = &mut out[tree.output * side * side..][..side * side];
                pairs(tree, tree.root, row, &mut Vec::new(), side, square);
            }
            for (output, square) in out.chunks_exact_mut(side * side).enumerate() {
                let alone = contributions.of(number, output);
                for feature in 0..side {
                    let row = &mut square[feature * side..][..side];
                    row[feature] = alone[feature] - row.iter().sum::<f64>();
                }
            }
        },
    );
    Ok(Interactions { values, outputs, side })
}

/// A feature of a path: whether the row meets all its conditions, and the training weight of its splits.
#[derive(Clone, Copy)]
struct Part {
    feature: usize,
    is_met: bool,
    weight: f64,
}

/// Adds the pairs of every leaf below a node.
fn pairs(tree: &Tree, place: usize, row: &[f64], path: &mut Vec<Part>, side: usize, square: &mut [f64]) {
    let node = tree.nodes[place];
    let Some(split) = node.split else {
        pairs_of_leaf(node.value, path, side, square);
        return;
    };
    let is_left = split.goes_left(row[split.feature]);
    for (child, is_met) in [(split.left, is_left), (split.right, !is_left)] {
        let weight = tree.nodes[child].cover / node.cover;
        match path.iter().position(|part| part.feature == split.feature) {
            Some(at) => {
                let before = path[at];
                path[at] = Part { is_met: before.is_met && is_met, weight: before.weight * weight, ..before };
                pairs(tree, child, row, path, side, square);
                path[at] = before;
            }
            None => {
                path.push(Part { feature: split.feature, is_met, weight });
                pairs(tree, child, row, path, side, square);
                path.pop();
            }
        }
    }
}

fn pairs_of_leaf(value: f64, path: &[Part], side: usize, square: &mut [f64]) {
    // The integrand has a degree of two less than the path has features.
    for (t, weight) in gauss_legendre((path.len().max(1) - 1).div_ceil(2).max(1)) {
        let factor = |part: &Part| part.weight * (1.0 - t) + if part.is_met { t } else { 0.0 };
        for (first, one) in path.iter().enumerate() {
            for (second, two) in path.iter().enumerate().skip(first + 1) {
                let others = path.iter().enumerate().filter(|(at, _)| *at != first && *at != second);
                let product: f64 = others.map(|(_, part)| factor(part)).product();
                let change = |part: &Part| f64::from(u8::from(part.is_met)) - part.weight;
                let share = 0.5 * value * weight * product * change(one) * change(two);
                square[one.feature * side + two.feature] += share;
                square[two.feature * side + one.feature] += share;
            }
        }
    }
}
