//! One decision tree, as it is read, trained and explained.

use std::fmt;

/// Most features a forest may have.
pub const FEATURES_MAX: usize = 1 << 16;
/// Most splits on the way to a leaf.
pub const DEPTH_MAX: usize = 255;

/// A decision tree. The place of a node in `nodes` is the number its library knows it by: of an XGBoost model the node's, of a
/// LightGBM model the leaf's (leaves come first there).
#[derive(Clone, PartialEq, Debug)]
pub struct Tree {
    /// The output whose margin it adds to.
    pub output: usize,
    /// Place of its root.
    pub root: usize,
    /// Its nodes; those no way leads to are not looked at.
    pub nodes: Vec<Node>,
}

/// A node of a tree.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Node {
    /// What it asks; `None` for a leaf.
    pub split: Option<Split>,
    /// What a leaf adds to the margin, the learning rate applied; 0 at a split.
    pub value: f64,
    /// Training weight that came here: XGBoost's sum of hessians, LightGBM's count of rows. At least 0.
    pub cover: f64,
}

impl Node {
    /// A leaf.
    pub fn leaf(value: f64, cover: f64) -> Node {
        Node { split: None, value, cover }
    }

    /// A split.
    pub fn split(split: Split, cover: f64) -> Node {
        Node { split: Some(split), value: 0.0, cover }
    }
}

/// A question with two answers: left where `x <= threshold`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Split {
    /// The feature asked for.
    pub feature: usize,
    /// Left up to here; infinite where only missing values go right. XGBoost's float32 `<` becomes this through
    /// [`below`](super::below).
    pub threshold: f64,
    /// Whether a missing value (NaN) goes left.
    pub missing_left: bool,
    /// Whether a zero (a magnitude up to 1e-35) is a missing value, as LightGBM's `zero_as_missing` has it.
    pub zero_is_missing: bool,
    /// Place of the left child.
    pub left: usize,
    /// Place of the right child.
    pub right: usize,
    /// By how much the split lowered the training loss, in the library's own measure.
    pub gain: f64,
}

/// Largest magnitude that counts as zero where zeros are missing values; a float32 literal of LightGBM's.
pub(super) const ZERO_MAX: f64 = 1e-35_f32 as f64;

impl Split {
    /// Whether a row goes left.
    #[inline]
    pub fn goes_left(&self, x: f64) -> bool {
        if x.is_nan() || (self.zero_is_missing && x.abs() <= ZERO_MAX) { self.missing_left } else { x <= self.threshold }
    }
}

/// The first thing wrong with a tree. Numbers are places in [`Tree::nodes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeFlaw {
    /// There is no node at this place.
    NoNode(usize),
    /// More than one way leads to this node.
    SharedNode(usize),
    /// The node asks for a feature the forest has not.
    NoFeature(usize),
    /// A value is infinite or not a number, a cover that or negative, a threshold or a gain not a number.
    NotFinite(usize),
    /// More than [`DEPTH_MAX`] splits lead to this node.
    TooDeep(usize),
    /// The forest has no such output.
    NoOutput(usize),
}

impl fmt::Display for TreeFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeFlaw::NoNode(node) => write!(f, "node {node} does not exist"),
            TreeFlaw::SharedNode(node) => write!(f, "more than one way leads to node {node}"),
            TreeFlaw::NoFeature(node) => write!(f, "node {node} asks for a feature the model does not have"),
            TreeFlaw::NotFinite(node) => write!(f, "node {node} has a number that is not finite, or a cover below 0"),
            TreeFlaw::TooDeep(node) => write!(f, "more than {DEPTH_MAX} splits lead to node {node}"),
            TreeFlaw::NoOutput(output) => write!(f, "it belongs to output {output}, which the model does not have"),
        }
    }
}

impl Tree {
    /// The places of its nodes with their depths, parents before children and the children of one node side by side.
    ///
    /// # Errors
    /// A [`TreeFlaw`] where the tree is none, or not one over so many features.
    pub(super) fn breadth_first(&self, features: usize) -> Result<Vec<(usize, usize)>, TreeFlaw> {
        let mut is_seen = vec![false; self.nodes.len()];
        let mut order = vec![(self.root, 0)];
        let mut next = 0;
        while let Some(&(place, depth)) = order.get(next) {
            next += 1;
            let node = self.nodes.get(place).ok_or(TreeFlaw::NoNode(place))?;
            if std::mem::replace(&mut is_seen[place], true) {
                return Err(TreeFlaw::SharedNode(place));
            }
            let is_finite = node.value.is_finite() && node.cover.is_finite() && node.cover >= 0.0;
            if !is_finite || node.split.is_some_and(|split| split.threshold.is_nan() || split.gain.is_nan()) {
                return Err(TreeFlaw::NotFinite(place));
            }
            let Some(split) = node.split else { continue };
            if split.feature >= features {
                return Err(TreeFlaw::NoFeature(place));
            }
            if depth == DEPTH_MAX {
                return Err(TreeFlaw::TooDeep(split.left));
            }
            order.extend([(split.left, depth + 1), (split.right, depth + 1)]);
        }
        Ok(order)
    }

    /// The leaf a row falls into.
    pub fn leaf_of(&self, row: &[f64]) -> usize {
        let mut place = self.root;
        while let Some(split) = self.nodes[place].split {
            let x = row[split.feature];
            place = if split.goes_left(x) { split.left } else { split.right };
        }
        place
    }
}
