//! Paths: one out-of-sample history of all tested rows, put together from the test blocks of different splits.

use super::splitter::Split;
use std::ops::Range;

/// A test block of a split, as part of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The split whose model speaks for these rows.
    pub split: usize,
    /// Which of the split's test blocks.
    pub block: usize,
    /// The rows.
    pub rows: Range<usize>,
}

/// The paths of splits: every path holds each test block once, in time order, and no test block of a split is in two paths.
///
/// Of the splits that test a block, in their order, the first speaks for it in the first path, the second in the second (AFML
/// 12.4). Combinatorial splits of n folds, k tested, give C(n-1, k-1) paths; the others one.
pub fn paths(splits: &[Split]) -> Vec<Vec<Segment>> {
    let segments = |(split, of): (usize, &Split)| {
        let segment = |(block, rows): (usize, &Range<usize>)| Segment { split, block, rows: rows.clone() };
        of.test.iter().enumerate().map(segment).collect::<Vec<_>>()
    };
    let mut all: Vec<Segment> = splits.iter().enumerate().flat_map(segments).collect();
    // Stable: segments of one block stay in the order of their splits.
    all.sort_by_key(|segment| segment.rows.start);
    let mut paths: Vec<Vec<Segment>> = Vec::new();
    for same_block in all.chunk_by(|one, other| one.rows == other.rows) {
        for (path, segment) in same_block.iter().enumerate() {
            match paths.get_mut(path) {
                Some(path) => path.push(segment.clone()),
                None => paths.push(vec![segment.clone()]),
            }
        }
    }
    paths
}
