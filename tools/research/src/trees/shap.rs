//! Exact path-dependent TreeSHAP, in time linear in the nodes of a tree.
//!
//! # Formula
//!
//! What a forest predicts where only the features of a set S are known is taken path by path: at a split on an unknown feature both ways
//! are taken, weighted by the training weight that went each way (Lundberg et al., "From local explanations to global understanding
//! with explainable AI for trees", 2020, algorithm 1). A leaf of value v then gives v * prod(o_i, i in S) * prod(z_i, i not in S) over
//! the features of its path, where o_i is 1 if the row meets every condition on feature i and else 0, and z_i is the product of
//! weights of the splits on i. The Shapley value of such a product is an integral (Owen, "Multilinear extensions of games", 1972):
//!
//! ```text
//! phi_i = v * (o_i - z_i) * integral from 0 to 1 of prod(z_j + t * (o_j - z_j), j != i) dt
//! ```
//!
//! The integrand is a polynomial of degree one less than the features on the path, so Gauss-Legendre quadrature with half as many
//! points is exact, and because every factor is positive nothing cancels. The product is carried down the tree for all points at
//! once, the leaves' sums are carried up (as in Yu et al., "Linear TreeShap", 2022), and eight rows go side by side.

use super::quadrature::gauss_legendre;
use super::rows::Rows;
use chronos_inference::trees::{Forest, Split, Tree};
use rayon::prelude::*;

/// Rows that go side by side.
const LANES: usize = 8;
/// Rows for which one thread goes through all trees.
const CHUNK: usize = 32 * LANES;

/// What each feature of each row contributes to each output's margin.
#[derive(Clone, PartialEq, Debug)]
pub struct Contributions {
    values: Vec<f64>,
    outputs: usize,
    features: usize,
}

impl Contributions {
    pub(super) fn zeros(rows: usize, outputs: usize, features: usize) -> Contributions {
        Contributions { values: vec![0.0; rows * outputs * (features + 1)], outputs, features }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / (self.outputs * (self.features + 1))
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The contributions of each feature to one output's margin, and last the expected margin; their sum is the margin.
    ///
    /// # Panics
    /// Where there is no such row or output.
    pub fn of(&self, row: usize, output: usize) -> &[f64] {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        let width = self.features + 1;
        &self.values[(row * self.outputs + output) * width..][..width]
    }

    /// The values of `rows` rows at a time, for filling from several threads.
    pub(super) fn chunks_mut(&mut self, rows: usize) -> rayon::slice::ChunksMut<'_, f64> {
        let width = self.outputs * (self.features + 1);
        self.values.par_chunks_mut(rows * width)
    }
}

/// Why a forest or a row is not explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExplainError {
    /// The file says of no training weight at this node.
    #[error(
        "tree {tree}, node {node}: no training weight came here, so path-dependent contributions have no meaning; use the interventional \
         ones, with background rows"
    )]
    NoCover {
        /// The tree.
        tree: usize,
        /// The node.
        node: usize,
    },
    /// Rows of another length.
    #[error("the forest takes {expected} features, the rows have {got}")]
    Features {
        /// What the forest takes.
        expected: usize,
        /// What was given.
        got: usize,
    },
    /// There is no background row.
    #[error("interventional contributions need background rows; give some of the training rows")]
    NoBackground,
}

/// A forest prepared for explanation.
#[derive(Clone, Debug)]
pub struct TreeShap {
    trees: Vec<Plan>,
    features: usize,
    /// Expected margin of each output.
    expected: Vec<f64>,
}

/// A tree with the constants of its edges.
#[derive(Clone, Debug)]
struct Plan {
    output: usize,
    points: usize,
    depth: usize,
    /// Nodes in preorder: the left child follows its parent.
    steps: Vec<Step>,
    /// For each step and point, of the edge that leads to it.
    edges: Vec<EdgePoint>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    split: Option<Split>,
    value: f64,
    right: usize,
    /// The step above whose edge asked for the same feature as this step's edge.
    previous: Option<usize>,
}

/// What one edge does at one point of the quadrature, where the row met every earlier condition on the feature (`known`), and this one
/// too (`met`), or did not meet an earlier one (`lost`).
#[derive(Clone, Copy, Default, Debug)]
struct EdgePoint {
    /// Factors of the product.
    factor_met: f64,
    factor_known: f64,
    factor_lost: f64,
    /// What a leaf below gives to the feature for each unit of the product, less what the previous edge gave.
    gain_met: f64,
    gain_known: f64,
}

impl TreeShap {
    /// Prepares a forest.
    ///
    /// # Errors
    /// [`ExplainError::NoCover`] where the training weights of its nodes are not known.
    pub fn new(forest: &Forest) -> Result<TreeShap, ExplainError> {
        let mut expected = forest.base_margins().to_vec();
        let trees: Vec<Plan> =
            forest.trees().iter().enumerate().map(|(number, tree)| Plan::new(number, tree)).collect::<Result<_, _>>()?;
        for plan in &trees {
            expected[plan.output] += plan.expected(0);
        }
        Ok(TreeShap { trees, features: forest.features(), expected })
    }

    /// The margin of each output that is expected of a training row; the last entry of every row's contributions.
    pub fn expected(&self) -> &[f64] {
        &self.expected
    }

    /// The contributions of every feature in every row. Rows are shared out to the threads of rayon's pool; the result does not depend
    /// on their number.
    ///
    /// # Errors
    /// [`ExplainError::Features`] where rows have another length than the forest takes.
    pub fn contributions(&self, rows: Rows<'_>) -> Result<Contributions, ExplainError> {
        if rows.columns() != self.features {
            return Err(ExplainError::Features { expected: self.features, got: rows.columns() });
        }
        let mut out = Contributions::zeros(rows.len(), self.expected.len(), self.features);
        let chunks = rows.values().par_chunks(CHUNK * self.features);
        out.chunks_mut(CHUNK).zip(chunks).for_each(|(out, rows)| self.explain(rows, out));
        Ok(out)
    }

    fn explain(&self, rows: &[f64], out: &mut [f64]) {
        let (features, outputs) = (self.features, self.expected.len());
        let width = outputs * (features + 1);
        for row in out.chunks_exact_mut(width) {
            for (values, expected) in row.chunks_exact_mut(features + 1).zip(&self.expected) {
                values[features] = *expected;
            }
        }
        let blocks: Vec<Vec<Lanes>> = rows.chunks(LANES * features).map(|block| columns(block, features)).collect();
        let mut contributions = vec![[0.0; LANES]; features];
        for plan in &self.trees {
            let mut walk = Walk::new(plan);
            for (columns, out) in blocks.iter().zip(out.chunks_mut(LANES * width)) {
                walk.run(columns, &mut contributions);
                for (lane, row) in out.chunks_exact_mut(width).enumerate() {
                    let row = &mut row[plan.output * (features + 1)..];
                    for (value, contribution) in row.iter_mut().zip(&contributions) {
                        *value += contribution[lane];
                    }
                }
                contributions.fill([0.0; LANES]);
            }
        }
    }
}

type Lanes = [f64; LANES];
/// All bits set where a lane is in, none where it is out.
type Mask = [u64; LANES];

/// A block of rows turned on its side; the last row stands for those that are not there.
fn columns(block: &[f64], features: usize) -> Vec<Lanes> {
    let last = block.len() / features - 1;
    (0..features).map(|feature| std::array::from_fn(|lane| block[lane.min(last) * features + feature])).collect()
}

/// The walk of a block of rows through one tree.
struct Walk<'a> {
    plan: &'a Plan,
    /// By depth and point: the product on the way down, the leaves' sum on the way up.
    products: Vec<Lanes>,
    sums: Vec<Lanes>,
    /// By step: rows that met every condition so far on the feature of the edge that leads there.
    met: Vec<Mask>,
}

impl<'a> Walk<'a> {
    fn new(plan: &'a Plan) -> Walk<'a> {
        let levels = (plan.depth + 1) * plan.points;
        let lanes = vec![[0.0; LANES]; levels];
        Walk { plan, products: lanes.clone(), sums: lanes, met: vec![[0; LANES]; plan.steps.len()] }
    }

    fn run(&mut self, columns: &[Lanes], contributions: &mut [Lanes]) {
        self.products[..self.plan.points].fill([1.0; LANES]);
        self.visit(0, 0, columns, contributions);
    }

    fn visit(&mut self, step: usize, level: usize, columns: &[Lanes], contributions: &mut [Lanes]) {
        let points = self.plan.points;
        let here = level * points;
        let Step { split, value, right, .. } = self.plan.steps[step];
        let Some(split) = split else {
            for point in here..here + points {
                self.sums[point] = self.products[point].map(|product| product * value);
            }
            return;
        };
        self.sums[here..here + points].fill([0.0; LANES]);
        let column = &columns[split.feature];
        let left: Mask = column.map(|x| if split.goes_left(x) { u64::MAX } else { 0 });
        for (child, goes) in [(step + 1, left), (right, left.map(|mask| !mask))] {
            let known = self.plan.steps[child].previous.map_or([u64::MAX; LANES], |previous| self.met[previous]);
            let met: Mask = std::array::from_fn(|lane| known[lane] & goes[lane]);
            self.met[child] = met;
            let below = here + points;
            for point in 0..points {
                let edge = &self.plan.edges[child * points + point];
                let factors = choose(&met, edge.factor_met, &choose(&known, edge.factor_known, &[edge.factor_lost; LANES]));
                self.products[below + point] = std::array::from_fn(|lane| self.products[here + point][lane] * factors[lane]);
            }
            self.visit(child, level + 1, columns, contributions);
            let contribution = &mut contributions[split.feature];
            for point in 0..points {
                let edge = &self.plan.edges[child * points + point];
                let gains = choose(&met, edge.gain_met, &choose(&known, edge.gain_known, &[0.0; LANES]));
                let sums = self.sums[below + point];
                for lane in 0..LANES {
                    contribution[lane] += sums[lane] * gains[lane];
                    self.sums[here + point][lane] += sums[lane];
                }
            }
        }
    }
}

/// `value` where the mask is in, else the other lane.
#[inline]
fn choose(mask: &Mask, value: f64, other: &Lanes) -> Lanes {
    let bits = value.to_bits();
    std::array::from_fn(|lane| f64::from_bits((bits & mask[lane]) | (other[lane].to_bits() & !mask[lane])))
}

impl Plan {
    fn new(number: usize, tree: &Tree) -> Result<Plan, ExplainError> {
        let mut plan = Plan { output: tree.output, points: 1, depth: 0, steps: Vec::new(), edges: Vec::new() };
        let mut path = Vec::new();
        let mut widest = 1;
        let mut weights = Vec::new();
        plan.lay_out(number, tree, tree.root, None, &mut path, &mut weights, &mut widest)?;
        let (points, rule) = (widest.div_ceil(2), gauss_legendre(widest.div_ceil(2)));
        plan.points = points;
        plan.edges = weights
            .iter()
            .flat_map(|(before, after)| rule.iter().map(|(t, weight)| EdgePoint::new(*before, *after, *t, *weight)))
            .collect();
        Ok(plan)
    }

    /// Appends a node and what is below it. `path` holds, for each edge above, its feature, its step and the weight of all edges of that
    /// feature down to it; `weights` takes the weights before and after the edge to each step.
    #[expect(clippy::too_many_arguments, reason = "what the recursion carries")]
    fn lay_out(
        &mut self,
        number: usize,
        tree: &Tree,
        place: usize,
        previous: Option<usize>,
        path: &mut Vec<(usize, usize, f64)>,
        weights: &mut Vec<(f64, f64)>,
        widest: &mut usize,
    ) -> Result<(), ExplainError> {
        let node = tree.nodes[place];
        let step = self.steps.len();
        self.depth = self.depth.max(path.len());
        self.steps.push(Step { split: node.split, value: node.value, right: 0, previous });
        if step == 0 {
            weights.push((1.0, 1.0));
        }
        let Some(split) = node.split else {
            let mut features: Vec<usize> = path.iter().map(|edge| edge.0).collect();
            features.sort_unstable();
            features.dedup();
            *widest = (*widest).max(features.len());
            return Ok(());
        };
        if node.cover <= 0.0 {
            return Err(ExplainError::NoCover { tree: number, node: place });
        }
        for child in [split.left, split.right] {
            let next = self.steps.len();
            if child == split.right {
                self.steps[step].right = next;
            }
            let earlier = path.iter().rev().find(|edge| edge.0 == split.feature).copied();
            let before = earlier.map_or(1.0, |edge| edge.2);
            let after = before * (tree.nodes[child].cover / node.cover);
            weights.push((before, after));
            path.push((split.feature, next, after));
            self.lay_out(number, tree, child, earlier.map(|edge| edge.1), path, weights, widest)?;
            path.pop();
        }
        Ok(())
    }

    /// The value expected of a training row below a step.
    fn expected(&self, step: usize) -> f64 {
        let Step { split, value, right, .. } = self.steps[step];
        if split.is_none() {
            return value;
        }
        let share = |child: usize| self.edges[child * self.points].factor_lost * self.expected(child);
        share(step + 1) + share(right)
    }
}

impl EdgePoint {
    /// Of an edge where the weight of its feature falls from `before` to `after`, at the point `t` of weight `weight`.
    fn new(before: f64, after: f64, t: f64, weight: f64) -> EdgePoint {
        let factor = |z: f64, o: f64| z * (1.0 - t) + t * o;
        let gain_before = (1.0 - before) / factor(before, 1.0);
        EdgePoint {
            factor_met: factor(after, 1.0) / factor(before, 1.0),
            factor_known: factor(after, 0.0) / factor(before, 1.0),
            factor_lost: if before > 0.0 { after / before } else { 0.0 },
            gain_met: weight * ((1.0 - after) / factor(after, 1.0) - gain_before),
            // (0 - z) / (z * (1 - t)), which has this limit where z is 0.
            gain_known: weight * (-1.0 / (1.0 - t) - gain_before),
        }
    }
}
