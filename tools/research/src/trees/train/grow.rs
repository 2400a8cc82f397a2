//! One tree, grown from gradients.

use super::TrainConfig;
use super::bins::{Bins, MISSING};
use chronos_inference::trees::{Node, Split, below};
use rayon::prelude::*;
use std::ops::Range;

/// First and second derivative of the loss by a margin.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Gradient {
    pub(super) g: f64,
    pub(super) h: f64,
}

/// Gain below which a split is rounding.
const GAIN_ROUNDING: f32 = 1e-6;
/// Values from which on features are shared out to threads.
const PARALLEL_MIN: usize = 1 << 15;

/// What a tree is grown from.
pub(super) struct Grower<'a> {
    pub(super) bins: &'a Bins,
    /// One for each row.
    pub(super) gradients: &'a [Gradient],
    /// Features that may be asked for, rising.
    pub(super) columns: &'a [usize],
    pub(super) config: &'a TrainConfig,
}

/// Sums over rows.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
struct Sums {
    g: f64,
    h: f64,
    rows: u32,
}

impl Sums {
    fn plus(self, other: Sums) -> Sums {
        Sums { g: self.g + other.g, h: self.h + other.h, rows: self.rows + other.rows }
    }

    fn less(self, other: Sums) -> Sums {
        Sums { g: self.g - other.g, h: self.h - other.h, rows: self.rows - other.rows }
    }

    /// Twice what the best leaf value lowers the loss by.
    fn gain(self, l2: f64) -> f64 {
        if self.h <= 0.0 { 0.0 } else { self.g * self.g / (self.h + l2) }
    }
}

/// Of each column the sums of each bin.
type Histogram = Vec<Vec<Sums>>;

/// A node that can be split.
struct Open {
    node: usize,
    rows: Range<usize>,
    depth: usize,
    sums: Sums,
    histogram: Histogram,
    best: Candidate,
}

/// A split that was looked at: the first `bins` bins of a feature go left.
#[derive(Clone, Copy)]
struct Candidate {
    gain: f32,
    feature: usize,
    bins: usize,
    missing_left: bool,
    left: Sums,
}

impl Grower<'_> {
    /// The nodes of a tree over `rows`, parents before children.
    pub(super) fn grow(&self, mut rows: Vec<u32>) -> Vec<Node> {
        let mut sums = Sums::default();
        for row in &rows {
            let Gradient { g, h } = self.gradients[*row as usize];
            sums = sums.plus(Sums { g, h, rows: 1 });
        }
        let mut nodes = vec![self.leaf(sums)];
        let mut open: Vec<Open> = self.open(0, 0..rows.len(), 0, sums, self.histogram(&rows)).into_iter().collect();
        let mut leaves = 1;
        while let Some(parent) = self.next(&mut open)
            && self.config.leaves_max.is_none_or(|most| leaves < most)
        {
            let best = parent.best;
            let middle = parent.rows.start + self.part(&mut rows[parent.rows.clone()], &best);
            let sums = [best.left, parent.sums.less(best.left)];
            let place = nodes.len();
            nodes[parent.node] = Node::split(
                Split {
                    feature: best.feature,
                    threshold: below(self.bins.edge(best.feature, best.bins)),
                    missing_left: best.missing_left,
                    zero_is_missing: false,
                    left: place,
                    right: place + 1,
                    gain: f64::from(best.gain),
                },
                nodes[parent.node].cover,
            );
            nodes.extend(sums.map(|sums| self.leaf(sums)));
            leaves += 1;
            let depth = parent.depth + 1;
            if depth == self.config.depth_max {
                continue;
            }
            let ranges = [parent.rows.start..middle, middle..parent.rows.end];
            let histograms = self.children(&rows, &ranges, parent.histogram);
            for (side, (rows, histogram)) in ranges.into_iter().zip(histograms).enumerate() {
                open.extend(self.open(place + side, rows, depth, sums[side], histogram));
            }
        }
        nodes
    }

    /// A node that can be split; `None` where no split is worth it.
    fn open(&self, node: usize, rows: Range<usize>, depth: usize, sums: Sums, histogram: Histogram) -> Option<Open> {
        let best = self.best(&histogram, sums)?;
        Some(Open { node, rows, depth, sums, histogram, best })
    }

    /// Takes the node that is split next: level by level the oldest, and where leaves are limited the one that gains most.
    fn next(&self, open: &mut Vec<Open>) -> Option<Open> {
        if open.is_empty() {
            return None;
        }
        let mut at = 0;
        if self.config.leaves_max.is_some() {
            for (place, node) in open.iter().enumerate().skip(1) {
                at = if node.best.gain > open[at].best.gain { place } else { at };
            }
        }
        Some(open.remove(at))
    }

    fn leaf(&self, sums: Sums) -> Node {
        let divisor = sums.h + self.config.l2;
        let value = if divisor > 0.0 { (-sums.g / divisor) as f32 * self.config.learning_rate as f32 } else { 0.0 };
        Node::leaf(f64::from(value), f64::from(sums.h.max(0.0) as f32))
    }

    /// The histograms of two children: of the smaller one counted, of the other what is left of the parent's.
    fn children(&self, rows: &[u32], ranges: &[Range<usize>; 2], parent: Histogram) -> [Histogram; 2] {
        let is_left_smaller = ranges[0].len() <= ranges[1].len();
        let smaller = self.histogram(&rows[ranges[usize::from(!is_left_smaller)].clone()]);
        let mut larger = parent;
        for (larger, smaller) in larger.iter_mut().flatten().zip(smaller.iter().flatten()) {
            *larger = larger.less(*smaller);
        }
        if is_left_smaller { [smaller, larger] } else { [larger, smaller] }
    }

    fn histogram(&self, rows: &[u32]) -> Histogram {
        let count = |feature: &usize| {
            // The last place takes what is missing.
            let bins = self.bins.count(*feature);
            let mut sums = vec![Sums::default(); bins + 1];
            let of = self.bins.of(*feature);
            for row in rows {
                let Gradient { g, h } = self.gradients[*row as usize];
                let slot = &mut sums[usize::from(of[*row as usize]).min(bins)];
                *slot = slot.plus(Sums { g, h, rows: 1 });
            }
            sums
        };
        if rows.len() * self.columns.len() < PARALLEL_MIN {
            self.columns.iter().map(count).collect()
        } else {
            self.columns.par_iter().map(count).collect()
        }
    }

    /// The best split of a node; the first feature, and of it the first split, where several are.
    fn best(&self, histogram: &Histogram, total: Sums) -> Option<Candidate> {
        let of_column = |(feature, histogram): (&usize, &Vec<Sums>)| self.best_of(*feature, histogram, total);
        let best = if histogram.iter().map(Vec::len).sum::<usize>() < PARALLEL_MIN {
            self.columns.iter().zip(histogram).map(of_column).fold(None, better)
        } else {
            let found: Vec<Option<Candidate>> = self.columns.par_iter().zip(histogram).map(of_column).collect();
            found.into_iter().fold(None, better)
        };
        best.filter(|best| best.gain > GAIN_ROUNDING && f64::from(best.gain) >= self.config.gain_min)
    }

    fn best_of(&self, feature: usize, histogram: &[Sums], total: Sums) -> Option<Candidate> {
        let (missing, bins) = histogram.split_last()?;
        let mut best = None;
        let mut consider = |bins: usize, missing_left: bool, left: Sums| {
            let right = total.less(left);
            let rows_min = self.config.child_rows_min.max(1);
            let is_heavy = |side: Sums| side.rows as usize >= rows_min && side.h >= self.config.child_weight_min;
            if is_heavy(left) && is_heavy(right) {
                let l2 = self.config.l2;
                let gain = (left.gain(l2) + right.gain(l2) - total.gain(l2)) as f32;
                best = better(best, Some(Candidate { gain, feature, bins, missing_left, left }));
            }
        };
        let mut left = Sums::default();
        for (bin, sums) in bins.iter().enumerate() {
            left = left.plus(*sums);
            consider(bin + 1, false, left);
        }
        if missing.rows > 0 {
            let mut right = Sums::default();
            for (bin, sums) in bins.iter().enumerate().rev() {
                right = right.plus(*sums);
                consider(bin, true, total.less(right));
            }
        }
        best
    }

    /// Puts the rows that go left first, each side in its order, and gives their number.
    fn part(&self, rows: &mut [u32], split: &Candidate) -> usize {
        let of = self.bins.of(split.feature);
        let goes_left = |row: &u32| match of[*row as usize] {
            MISSING => split.missing_left,
            bin => usize::from(bin) < split.bins,
        };
        let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().copied().partition(goes_left);
        rows[..left.len()].copy_from_slice(&left);
        rows[left.len()..].copy_from_slice(&right);
        left.len()
    }
}

/// The one with more gain; the first where they are equal. A gain that is no number loses.
fn better(one: Option<Candidate>, two: Option<Candidate>) -> Option<Candidate> {
    match (one, two) {
        (Some(first), Some(second)) if second.gain > first.gain || first.gain.is_nan() => Some(second),
        (Some(first), Some(_)) => Some(first),
        (None, two) => two,
        (one, None) => one,
    }
}
