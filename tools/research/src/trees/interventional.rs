//! Exact interventional TreeSHAP.
//!
//! Features that are not known are taken from a background row, whatever the known ones are (Lundberg et al., "From local explanations
//! to global understanding with explainable AI for trees", 2020; Janzing et al., "Feature relevance quantification in explainable AI",
//! 2020). Against one background row a leaf of value v needs some features from the row explained (n of them) and some from the background
//! (m); each of the first gets v * (n-1)! m! / (n+m)!, each of the second -v * n! (m-1)! / (n+m)!. The mean is taken over the
//! background rows. No training weights are needed.

use super::rows::Rows;
use super::shap::{Contributions, ExplainError};
use chronos_inference::trees::{Forest, Tree};
use rayon::prelude::*;

/// The contributions of every feature in every row against background rows; the last entry of a row is the mean margin of the
/// background. Time grows with the product of both numbers of rows.
///
/// # Errors
/// [`ExplainError`] where there is no background, or rows have another length than the forest takes.
pub fn interventional_contributions(forest: &Forest, rows: Rows<'_>, background: Rows<'_>) -> Result<Contributions, ExplainError> {
    for columns in [rows.columns(), background.columns()] {
        if columns != forest.features() {
            return Err(ExplainError::Features { expected: forest.features(), got: columns });
        }
    }
    if background.is_empty() {
        return Err(ExplainError::NoBackground);
    }
    let (features, outputs) = (forest.features(), forest.outputs());
    let mut expected = forest.base_margins().to_vec();
    for tree in forest.trees() {
        let sum: f64 = background.iter().map(|row| tree.nodes[tree.leaf_of(row)].value).sum();
        expected[tree.output] += sum / background.len() as f64;
    }
    let mut out = Contributions::zeros(rows.len(), outputs, features);
    out.chunks_mut(1).zip(rows.values().par_chunks(features)).for_each(|(out, row)| {
        let mut taken = vec![Taken::Neither; features];
        for tree in forest.trees() {
            let contributions = &mut out[tree.output * (features + 1)..][..features];
            for background in background.iter() {
                Pair { tree, row, background, taken: &mut taken, contributions }.visit(tree.root, 0, 0);
            }
        }
        for (values, expected) in out.chunks_exact_mut(features + 1).zip(&expected) {
            values[..features].iter_mut().for_each(|value| *value /= background.len() as f64);
            values[features] = *expected;
        }
    });
    Ok(out)
}

/// Whose value of a feature the path so far needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Neither,
    Row,
    Background,
}

/// A row against one background row in one tree.
struct Pair<'a> {
    tree: &'a Tree,
    row: &'a [f64],
    background: &'a [f64],
    taken: &'a mut [Taken],
    contributions: &'a mut [f64],
}

impl Pair<'_> {
    /// Goes down every way that some choice between the rows leads, on which `n` features are the row's and `m` the background's. Gives
    /// what the leaves below are worth to each feature of the first kind, and what they cost each of the second.
    fn visit(&mut self, place: usize, n: usize, m: usize) -> (f64, f64) {
        let node = self.tree.nodes[place];
        let Some(split) = node.split else {
            let worth = if n > 0 { node.value * share(n - 1, m) } else { 0.0 };
            let cost = if m > 0 { node.value * share(n, m - 1) } else { 0.0 };
            return (worth, cost);
        };
        let child = |values: &[f64]| if split.goes_left(values[split.feature]) { split.left } else { split.right };
        let (of_row, of_background) = (child(self.row), child(self.background));
        match self.taken[split.feature] {
            Taken::Row => self.visit(of_row, n, m),
            Taken::Background => self.visit(of_background, n, m),
            Taken::Neither if of_row == of_background => self.visit(of_row, n, m),
            Taken::Neither => {
                self.taken[split.feature] = Taken::Row;
                let row = self.visit(of_row, n + 1, m);
                self.taken[split.feature] = Taken::Background;
                let background = self.visit(of_background, n, m + 1);
                self.taken[split.feature] = Taken::Neither;
                self.contributions[split.feature] += row.0 - background.1;
                (row.0 + background.0, row.1 + background.1)
            }
        }
    }
}

/// `n! m! / (n + m + 1)!`.
fn share(n: usize, m: usize) -> f64 {
    let (few, many) = if n < m { (n, m) } else { (m, n) };
    (1..=few).map(|k| k as f64 / (many + 1 + k) as f64).product::<f64>() / (many + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_ratios_of_factorials() {
        // 2! 3! / 6! = 12 / 720.
        assert!((share(2, 3) - 1.0 / 60.0).abs() < 1e-15 && (share(3, 2) - 1.0 / 60.0).abs() < 1e-15);
        assert_eq!([share(0, 0), share(1, 0), share(0, 3)], [1.0, 0.5, 0.25]);
    }
}
