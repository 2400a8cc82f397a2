//! The flattened ensemble.

use super::tree::{FEATURES_MAX, Tree, TreeFlaw, ZERO_MAX};
use std::fmt;

/// Trees that are walked side by side, so that the processor waits for several nodes at once.
const GROUP: usize = 8;

/// An ensemble of decision trees that does not change. Scoring allocates nothing.
#[derive(Clone, PartialEq, Debug)]
pub struct Forest {
    parts: ForestParts,
    cells: Vec<Cell>,
    /// What each cell adds to the margin; 0 at splits.
    values: Vec<f64>,
    /// Place of each cell's node in its tree.
    places: Vec<u32>,
    /// First cell of each tree.
    roots: Vec<u32>,
    /// Splits to the deepest leaf of each group of [`GROUP`] trees.
    depths: Vec<usize>,
    has_zero_as_missing: bool,
}

/// What a forest is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct ForestParts {
    /// From margins to predictions.
    pub link: Link,
    /// In which precision margins add up.
    pub precision: Precision,
    /// Number of features of a row, from 1 to [`FEATURES_MAX`].
    pub features: usize,
    /// Their names, as many; or empty.
    pub feature_names: Vec<String>,
    /// The margin of each output before any tree: one output, or one for each class.
    pub base_margins: Vec<f64>,
    /// The trees, in the order in which they were grown.
    pub trees: Vec<Tree>,
}

/// From margins to predictions.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Link {
    /// The margin itself: squared error, quantiles.
    Identity,
    /// A probability, `1 / (1 + exp(-slope * margin))`.
    Logistic {
        /// Above 0; 1 but for LightGBM models with another `sigmoid`.
        slope: f64,
    },
    /// A probability for each class: the softmax of the margins.
    Softmax,
}

/// In which precision the margins of the trees add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// float32, as XGBoost does.
    Single,
    /// Double, as LightGBM does.
    Double,
}

/// The first thing wrong with the parts of a forest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// So many features, where there must be 1 to [`FEATURES_MAX`].
    Features(usize),
    /// So many names, where there must be none or one for each feature.
    FeatureNames(usize),
    /// So many outputs, where there must be at least one, and exactly one where the link is not [`Link::Softmax`].
    Outputs(usize),
    /// The base margin of this output is not finite.
    BaseMargin(usize),
    /// More nodes than can be numbered.
    TooManyNodes,
    /// A tree.
    Tree {
        /// Its number, from 0.
        number: usize,
        /// What is wrong with it.
        flaw: TreeFlaw,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Features(count) => write!(f, "{count} features, where 1 to {FEATURES_MAX} can be"),
            Flaw::FeatureNames(count) => write!(f, "{count} feature names, where there must be one for each feature, or none"),
            Flaw::Outputs(count) => write!(f, "{count} outputs do not go with its objective"),
            Flaw::BaseMargin(output) => write!(f, "the base margin of output {output} is not finite"),
            Flaw::TooManyNodes => f.write_str("more nodes than can be numbered"),
            Flaw::Tree { number, flaw } => write!(f, "tree {number}: {flaw}"),
        }
    }
}

impl std::error::Error for Flaw {}

/// Why a row has no score.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScoreError {
    /// The forest takes another number of features.
    Features {
        /// What the forest takes.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// The forest gives another number of outputs, of leaves where leaves were asked for.
    Outputs {
        /// What the forest gives.
        expected: usize,
        /// What there is room for.
        got: usize,
    },
}

impl fmt::Display for ScoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScoreError::Features { expected, got } => write!(f, "the forest takes {expected} features, {got} were given"),
            ScoreError::Outputs { expected, got } => write!(f, "the forest gives {expected} outputs, there is room for {got}"),
        }
    }
}

impl std::error::Error for ScoreError {}

/// A node as it is scored. A leaf leads to itself, so that every tree of a group takes the same number of steps.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C)]
struct Cell {
    threshold: f64,
    /// The left child's cell; the right one's is the next.
    child: u32,
    feature: u16,
    missing_left: bool,
    zero_is_missing: bool,
}

impl Forest {
    /// Lays a forest out for scoring.
    ///
    /// # Errors
    /// The first [`Flaw`] of the parts.
    pub fn new(parts: ForestParts) -> Result<Forest, Flaw> {
        if parts.features == 0 || parts.features > FEATURES_MAX {
            return Err(Flaw::Features(parts.features));
        }
        if !parts.feature_names.is_empty() && parts.feature_names.len() != parts.features {
            return Err(Flaw::FeatureNames(parts.feature_names.len()));
        }
        let outputs = parts.base_margins.len();
        if outputs == 0 || (outputs > 1) != (parts.link == Link::Softmax) {
            return Err(Flaw::Outputs(outputs));
        }
        if let Some(output) = parts.base_margins.iter().position(|margin| !margin.is_finite()) {
            return Err(Flaw::BaseMargin(output));
        }
        let mut forest = Forest {
            cells: Vec::new(),
            values: Vec::new(),
            places: Vec::new(),
            roots: Vec::new(),
            depths: vec![0; parts.trees.len().div_ceil(GROUP)],
            has_zero_as_missing: false,
            parts,
        };
        for number in 0..forest.parts.trees.len() {
            forest.lay_out(number)?;
        }
        Ok(forest)
    }

    fn lay_out(&mut self, number: usize) -> Result<(), Flaw> {
        let tree = &self.parts.trees[number];
        if tree.output >= self.parts.base_margins.len() {
            return Err(Flaw::Tree { number, flaw: TreeFlaw::NoOutput(tree.output) });
        }
        let order = tree.breadth_first(self.parts.features).map_err(|flaw| Flaw::Tree { number, flaw })?;
        let first = self.cells.len();
        if first + order.len() > u32::MAX as usize {
            return Err(Flaw::TooManyNodes);
        }
        self.roots.push(first as u32);
        // Breadth first puts the two children of a node at the next two free cells.
        let mut free = first as u32 + 1;
        for (at, (place, depth)) in order.into_iter().enumerate() {
            let node = tree.nodes[place];
            self.depths[number / GROUP] = self.depths[number / GROUP].max(depth);
            self.places.push(place as u32);
            self.values.push(if node.split.is_some() { 0.0 } else { node.value });
            self.cells.push(match node.split {
                Some(split) => {
                    let child = free;
                    free += 2;
                    self.has_zero_as_missing |= split.zero_is_missing;
                    Cell {
                        threshold: split.threshold,
                        child,
                        feature: split.feature as u16,
                        missing_left: split.missing_left,
                        zero_is_missing: split.zero_is_missing,
                    }
                }
                None => Cell {
                    threshold: f64::INFINITY,
                    child: (first + at) as u32,
                    feature: 0,
                    missing_left: true,
                    zero_is_missing: false,
                },
            });
        }
        Ok(())
    }

    /// Number of features of a row.
    pub fn features(&self) -> usize {
        self.parts.features
    }

    /// Names of the features; empty where the model has none.
    pub fn feature_names(&self) -> &[String] {
        &self.parts.feature_names
    }

    /// Number of outputs: 1, or the number of classes.
    pub fn outputs(&self) -> usize {
        self.parts.base_margins.len()
    }

    /// From margins to predictions.
    pub fn link(&self) -> Link {
        self.parts.link
    }

    /// In which precision margins add up.
    pub fn precision(&self) -> Precision {
        self.parts.precision
    }

    /// The margin of each output before any tree.
    pub fn base_margins(&self) -> &[f64] {
        &self.parts.base_margins
    }

    /// The trees.
    pub fn trees(&self) -> &[Tree] {
        &self.parts.trees
    }

    /// The margin of each output, before the link.
    ///
    /// # Errors
    /// [`ScoreError`] where `row` or `out` have the wrong length.
    #[inline]
    pub fn margins_into(&self, row: &[f64], out: &mut [f64]) -> Result<(), ScoreError> {
        self.check(row, out.len(), self.outputs())?;
        out.copy_from_slice(&self.parts.base_margins);
        match self.parts.precision {
            Precision::Single => self.walk(row, |number, cell| {
                let sum = &mut out[self.parts.trees[number].output];
                *sum = f64::from(*sum as f32 + self.values[cell] as f32);
            }),
            Precision::Double => self.walk(row, |number, cell| out[self.parts.trees[number].output] += self.values[cell]),
        }
        Ok(())
    }

    /// The prediction of each output: a value, a probability, or the probability of each class.
    ///
    /// # Errors
    /// [`ScoreError`] where `row` or `out` have the wrong length.
    #[inline]
    pub fn predict_into(&self, row: &[f64], out: &mut [f64]) -> Result<(), ScoreError> {
        self.margins_into(row, out)?;
        self.parts.link.apply(out);
        Ok(())
    }

    /// The margin of a forest with one output.
    ///
    /// # Errors
    /// [`ScoreError`] where `row` has the wrong length or the forest several outputs.
    #[inline]
    pub fn margin(&self, row: &[f64]) -> Result<f64, ScoreError> {
        let mut out = [0.0];
        self.margins_into(row, &mut out)?;
        Ok(out[0])
    }

    /// The prediction of a forest with one output.
    ///
    /// # Errors
    /// [`ScoreError`] where `row` has the wrong length or the forest several outputs.
    #[inline]
    pub fn predict(&self, row: &[f64]) -> Result<f64, ScoreError> {
        let mut out = [0.0];
        self.predict_into(row, &mut out)?;
        Ok(out[0])
    }

    /// The number of the leaf each tree puts the row into, see [`Tree`].
    ///
    /// # Errors
    /// [`ScoreError`] where `row` has the wrong length or `out` not the number of trees.
    pub fn leaves_into(&self, row: &[f64], out: &mut [u32]) -> Result<(), ScoreError> {
        self.check(row, out.len(), self.roots.len())?;
        self.walk(row, |number, cell| out[number] = self.places[cell]);
        Ok(())
    }

    #[inline]
    fn check(&self, row: &[f64], room: usize, outputs: usize) -> Result<(), ScoreError> {
        if row.len() != self.parts.features {
            return Err(ScoreError::Features { expected: self.parts.features, got: row.len() });
        }
        if room != outputs {
            return Err(ScoreError::Outputs { expected: outputs, got: room });
        }
        Ok(())
    }

    /// Calls `leaf` with each tree's number and the cell of the leaf that `row` falls into, in the order of the trees.
    #[inline]
    fn walk(&self, row: &[f64], leaf: impl FnMut(usize, usize)) {
        if self.has_zero_as_missing { self.walk_as::<true>(row, leaf) } else { self.walk_as::<false>(row, leaf) }
    }

    #[inline]
    fn walk_as<const ZEROS: bool>(&self, row: &[f64], mut leaf: impl FnMut(usize, usize)) {
        for (group, (roots, depth)) in self.roots.chunks(GROUP).zip(&self.depths).enumerate() {
            let mut at = [roots[0]; GROUP];
            at[..roots.len()].copy_from_slice(roots);
            for _ in 0..*depth {
                for place in &mut at {
                    let cell = &self.cells[*place as usize];
                    let x = row[usize::from(cell.feature)];
                    let is_missing = x.is_nan() || (ZEROS && cell.zero_is_missing && x.abs() <= ZERO_MAX);
                    let is_left = if is_missing { cell.missing_left } else { x <= cell.threshold };
                    // A leaf's threshold is infinite, so that it always leads left: to itself.
                    *place = cell.child + u32::from(!is_left);
                }
            }
            for (number, place) in at[..roots.len()].iter().enumerate() {
                leaf(group * GROUP + number, *place as usize);
            }
        }
    }
}

impl Link {
    /// Margins to predictions, in place.
    #[inline]
    pub fn apply(self, margins: &mut [f64]) {
        match self {
            Link::Identity => {}
            Link::Logistic { slope } => margins.iter_mut().for_each(|margin| *margin = 1.0 / (1.0 + (-slope * *margin).exp())),
            Link::Softmax => {
                let largest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut total = 0.0;
                for margin in margins.iter_mut() {
                    *margin = (*margin - largest).exp();
                    total += *margin;
                }
                margins.iter_mut().for_each(|margin| *margin /= total);
            }
        }
    }
}

#[cfg(test)]
mod tests;
