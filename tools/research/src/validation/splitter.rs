//! Which rows to train on and which to test, so that no training label saw what a test label looks at.

use super::combinations::{combination_count, combinations};
use super::spans::{LabelSpans, SplitError};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// More splits than this are refused: nobody trains so many models.
const SPLITS_MAX: u64 = 1_000_000;

/// Rows kept out of training after a test block.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embargo {
    /// Rows after the last that the test's labels look at.
    pub bars: usize,
    /// Time after the end of the test's last label, in the unit of the spans.
    pub time: i64,
}

impl Embargo {
    /// An embargo of so many rows.
    pub fn bars(bars: usize) -> Embargo {
        Embargo { bars, time: 0 }
    }

    /// An embargo of a share of all rows, rounded down (AFML's `pctEmbargo`).
    pub fn share(rows: usize, share: f64) -> Embargo {
        Embargo::bars((rows as f64 * share) as usize)
    }
}

/// A way to split rows in time order. Deterministic: the same rows give the same splits.
///
/// Around each block of test rows all three leave out of training: rows before it whose label ends after the block's first event;
/// rows after it up to the end of the block's last label, then the embargo. A label that ends exactly at the test's first event,
/// and one whose event is exactly at the test's last end, stay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Splitter {
    /// K folds in time order, each tested once (AFML snippet 7.3). Where rows do not divide, the first folds have one more.
    PurgedKFold {
        /// Number of folds, at least 2.
        folds: usize,
        /// Kept out of training after the test.
        embargo: Embargo,
    },
    /// Every way to test some of the folds (AFML 12.4; skfolio's `CombinatorialPurgedCV`). Where rows do not divide, the last fold
    /// takes the rest.
    CombinatorialPurged {
        /// Number of folds, at least 2.
        folds: usize,
        /// Folds tested at once, from 1 to one less than all.
        test_folds: usize,
        /// Rows left out on both sides of each test block, whatever their labels.
        purge_bars: usize,
        /// Kept out of training after each test block, and after the purge.
        embargo: Embargo,
    },
    /// Trains on the past, tests on what follows, moves on by the length of the test (skfolio's `WalkForward`).
    WalkForward {
        /// Rows trained on, the first time where the window expands.
        train_rows: usize,
        /// Rows tested; an incomplete last test is left out.
        test_rows: usize,
        /// Rows left out between the two, whatever their labels.
        purge_bars: usize,
        /// Whether training always starts at the first row.
        expanding: bool,
    },
}

/// One split: rows to train on and rows to test, as ranges in ascending order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// Rows to train on: disjoint, neighbours joined, never empty.
    pub train: Vec<Range<usize>>,
    /// Test blocks, one a fold, in order; neighbours are not joined.
    pub test: Vec<Range<usize>>,
}

impl Split {
    /// The rows to train on, ascending.
    pub fn train_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.train.iter().flat_map(Clone::clone)
    }

    /// The rows to test, ascending.
    pub fn test_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.test.iter().flat_map(Clone::clone)
    }
}

impl Splitter {
    /// Splits the rows.
    ///
    /// # Errors
    /// [`SplitError`] where the parameters contradict each other, rows are too few, or a split leaves nothing to train on.
    pub fn splits(&self, spans: &LabelSpans<'_>) -> Result<Vec<Split>, SplitError> {
        let rows = spans.rows();
        match *self {
            Splitter::PurgedKFold { folds, embargo } => {
                check_embargo(embargo)?;
                let blocks = self.folds(rows)?;
                let chosen: Vec<Vec<usize>> = (0..folds).map(|fold| vec![fold]).collect();
                train_around(spans, &blocks, &chosen, 0, embargo)
            }
            Splitter::CombinatorialPurged { folds, test_folds, purge_bars, embargo } => {
                check_embargo(embargo)?;
                let blocks = self.folds(rows)?;
                train_around(spans, &blocks, &combinations(folds, test_folds), purge_bars, embargo)
            }
            Splitter::WalkForward { train_rows, purge_bars, expanding, .. } => {
                let ends = spans.times().map(|(starts, ends)| (starts, ends, running_max(ends)));
                let split = |(split, test): (usize, Range<usize>)| {
                    let last = test.start - purge_bars;
                    let first = if expanding { 0 } else { last - train_rows };
                    let train = match &ends {
                        Some((starts, ends, max)) => without(first..last, &late_labels(starts, ends, max, test.start)),
                        None => std::iter::once(first..last).collect(),
                    };
                    not_empty(split, train, vec![test])
                };
                self.folds(rows)?.into_iter().enumerate().map(split).collect()
            }
        }
    }

    /// By how much the mean return of a path varies more than independent returns would, where there is nothing to find.
    ///
    /// Take a linear rule without skill: in fold A it earns `w_A g_A`, where `w_A` sums `g` over the folds it was trained on and
    /// `g` is noise. Two folds that were each trained on the other share the product `g_A g_B`, so what they earn is correlated
    /// though each earns nothing on average. Of k folds, p tested at once, a share `(k - p) / (k - 1)` of the rest trains on a
    /// fold, and summing over all pairs the variance is `1 + (k - p) / (k - 1)` times what the number of returns says: 2 for
    /// k-fold. Nadeau and Bengio's (2003) correction for resampled tests, `1 + k / (k - p)` here, is a little larger. It is 1 for
    /// walk-forward, where a model knows the past alone.
    pub fn dependence(&self) -> f64 {
        let of =
            |folds: usize, test_folds: usize| 1.0 + folds.saturating_sub(test_folds) as f64 / folds.saturating_sub(1).max(1) as f64;
        match *self {
            Splitter::PurgedKFold { folds, .. } => of(folds, 1),
            Splitter::CombinatorialPurged { folds, test_folds, .. } => of(folds, test_folds),
            Splitter::WalkForward { .. } => 1.0,
        }
    }

    /// The test blocks, in time order.
    ///
    /// # Errors
    /// [`SplitError`] where the parameters contradict each other or rows are too few.
    pub fn folds(&self, rows: usize) -> Result<Vec<Range<usize>>, SplitError> {
        let parameters = |message: String| Err(SplitError::Parameters(message));
        match *self {
            Splitter::PurgedKFold { folds, .. } => {
                if folds < 2 {
                    return parameters(format!("{folds} folds: at least 2 are needed"));
                }
                if rows < folds {
                    return Err(SplitError::TooFewRows { rows, needed: folds });
                }
                Ok(array_split(rows, folds))
            }
            Splitter::CombinatorialPurged { folds, test_folds, .. } => {
                if test_folds == 0 || test_folds >= folds {
                    return parameters(format!("{test_folds} of {folds} folds to test: test at least 1 and leave at least 1"));
                }
                if combination_count(folds, test_folds).is_none_or(|count| count > SPLITS_MAX) {
                    return parameters(format!(
                        "{test_folds} of {folds} folds to test are over {SPLITS_MAX} splits; use fewer folds"
                    ));
                }
                if rows < folds {
                    return Err(SplitError::TooFewRows { rows, needed: folds });
                }
                let size = rows / folds;
                Ok((0..folds).map(|fold| fold * size..if fold + 1 == folds { rows } else { (fold + 1) * size }).collect())
            }
            Splitter::WalkForward { train_rows, test_rows, purge_bars, .. } => {
                if train_rows == 0 || test_rows == 0 {
                    return parameters("walk-forward needs at least one row to train on and one to test".into());
                }
                let lead = train_rows.saturating_add(purge_bars);
                let needed = lead.saturating_add(test_rows);
                if rows < needed {
                    return Err(SplitError::TooFewRows { rows, needed });
                }
                Ok((0..(rows - lead) / test_rows).map(|test| lead + test * test_rows..lead + (test + 1) * test_rows).collect())
            }
        }
    }
}

/// Parts `0..rows` as numpy's `array_split` does: where they do not divide, the first parts have one more.
pub(crate) fn array_split(rows: usize, parts: usize) -> Vec<Range<usize>> {
    let (size, rest) = (rows / parts, rows % parts);
    (0..parts).map(|part| part * size + part.min(rest)..(part + 1) * size + (part + 1).min(rest)).collect()
}

fn check_embargo(embargo: Embargo) -> Result<(), SplitError> {
    if embargo.time < 0 {
        return Err(SplitError::Parameters(format!("an embargo of {} is negative; it starts at 0", embargo.time)));
    }
    Ok(())
}

/// The splits that test each choice of blocks and train on what may be kept of the rest.
fn train_around(
    spans: &LabelSpans<'_>,
    blocks: &[Range<usize>],
    chosen: &[Vec<usize>],
    purge_bars: usize,
    embargo: Embargo,
) -> Result<Vec<Split>, SplitError> {
    let max = spans.times().map(|(_, ends)| running_max(ends));
    let excluded: Vec<Vec<Range<usize>>> = blocks
        .iter()
        .map(|block| {
            let mut excluded = match (spans.times(), &max) {
                (Some((starts, ends)), Some(max)) => late_labels(starts, ends, max, block.start),
                _ => Vec::new(),
            };
            let first = block.start.saturating_sub(purge_bars);
            excluded.push(first..after(spans, block, purge_bars, embargo));
            excluded
        })
        .collect();
    let split = |(split, chosen): (usize, &Vec<usize>)| {
        let mut out: Vec<Range<usize>> = chosen.iter().flat_map(|&block| excluded[block].iter().cloned()).collect();
        out.sort_unstable_by_key(|range| range.start);
        let test = chosen.iter().map(|&block| blocks[block].clone()).collect();
        not_empty(split, without(0..spans.rows(), &out), test)
    };
    chosen.iter().enumerate().map(split).collect()
}

/// The first row after a test block that may be trained on.
fn after(spans: &LabelSpans<'_>, block: &Range<usize>, purge_bars: usize, embargo: Embargo) -> usize {
    let purged = block.end.saturating_add(purge_bars);
    let reach = match spans.times() {
        Some((starts, ends)) => {
            let last = ends[block.clone()].iter().max().map_or(i64::MIN, |end| end.saturating_add(embargo.time));
            let seen = starts.partition_point(|&start| start < last);
            if purge_bars == 0 { seen } else { seen.max(purged) }
        }
        None => purged,
    };
    reach.saturating_add(embargo.bars).clamp(block.end, spans.rows())
}

/// Rows before a test block whose label ends after the block's first event.
fn late_labels(starts: &[i64], ends: &[i64], max: &[i64], block_start: usize) -> Vec<Range<usize>> {
    let test_start = starts[block_start];
    // No label before this row reaches the test.
    let first = max.partition_point(|&end| end <= test_start).min(block_start);
    super::spans::runs((first..block_start).filter(|&row| ends[row] > test_start))
}

fn running_max(ends: &[i64]) -> Vec<i64> {
    let highest = |max: &mut i64, &end: &i64| {
        *max = end.max(*max);
        Some(*max)
    };
    ends.iter().scan(i64::MIN, highest).collect()
}

/// A range without others, which ascend by their start and may overlap.
fn without(range: Range<usize>, excluded: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut kept = Vec::new();
    let mut next = range.start;
    for out in excluded {
        if out.start.min(range.end) > next {
            kept.push(next..out.start.min(range.end));
        }
        next = next.max(out.end);
    }
    if next < range.end {
        kept.push(next..range.end);
    }
    kept
}

fn not_empty(split: usize, train: Vec<Range<usize>>, test: Vec<Range<usize>>) -> Result<Split, SplitError> {
    if train.is_empty() {
        let first = test.first().map_or(0, |block| block.start);
        let last = test.last().map_or(0, |block| block.end.saturating_sub(1));
        return Err(SplitError::NoTraining { split, first, last });
    }
    Ok(Split { train, test })
}

#[cfg(test)]
mod tests {
    use super::super::paths;
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Labels: event times that may repeat, lengths that may be zero.
    fn labels() -> impl Strategy<Value = (Vec<i64>, Vec<i64>)> {
        prop::collection::vec((0_i64..4, 0_i64..12), 8..80).prop_map(|steps| {
            let starts: Vec<i64> = steps.iter().scan(0, |time, &(step, _)| Some(std::mem::replace(time, *time + step))).collect();
            let ends = starts.iter().zip(&steps).map(|(start, &(_, length))| start + length).collect();
            (starts, ends)
        })
    }

    fn splitters() -> impl Strategy<Value = Splitter> {
        let embargo = (0_usize..4, 0_i64..6).prop_map(|(bars, time)| Embargo { bars, time });
        let combinatorial = (select(vec![(3_usize, 1_usize), (4, 2), (6, 2), (5, 3)]), 0_usize..3, embargo.clone()).prop_map(
            |((folds, test_folds), purge_bars, embargo)| Splitter::CombinatorialPurged { folds, test_folds, purge_bars, embargo },
        );
        let walk =
            (1_usize..9, 1_usize..9, 0_usize..3, any::<bool>()).prop_map(|(train_rows, test_rows, purge_bars, expanding)| {
                Splitter::WalkForward { train_rows, test_rows, purge_bars, expanding }
            });
        prop_oneof![
            (2_usize..6, embargo).prop_map(|(folds, embargo)| Splitter::PurgedKFold { folds, embargo }),
            combinatorial,
            walk
        ]
    }

    fn margins(splitter: &Splitter) -> (usize, Embargo) {
        match *splitter {
            Splitter::PurgedKFold { embargo, .. } => (0, embargo),
            Splitter::CombinatorialPurged { purge_bars, embargo, .. } => (purge_bars, embargo),
            Splitter::WalkForward { purge_bars, .. } => (purge_bars, Embargo::default()),
        }
    }

    proptest! {
        #[test]
        fn no_training_label_meets_a_test_label_or_its_embargo((starts, ends) in labels(), splitter in splitters()) {
            let Ok(splits) = splitter.splits(&LabelSpans::labels(&starts, &ends).unwrap()) else { return Ok(()) };
            let (purge_bars, embargo) = margins(&splitter);
            for split in &splits {
                for train in split.train_rows() {
                    for test in split.test_rows() {
                        prop_assert!(ends[train] <= starts[test] || starts[train] >= ends[test] + embargo.time, "{train} {test}");
                    }
                    for block in &split.test {
                        let before = train + purge_bars < block.start;
                        let after = train >= block.end + if purge_bars > 0 { purge_bars + embargo.bars } else { embargo.bars };
                        // Without a purge the embargo counts from the last row that the labels look at, which may be the block's.
                        let at_edge = purge_bars == 0 && train >= block.end && ends[block.clone()].iter().max() <= starts[block.clone()].last();
                        prop_assert!(before || after || at_edge, "{train} {block:?}");
                    }
                }
            }
        }

        #[test]
        fn every_row_left_out_has_a_reason((starts, ends) in labels(), splitter in splitters()) {
            let Ok(splits) = splitter.splits(&LabelSpans::labels(&starts, &ends).unwrap()) else { return Ok(()) };
            let (purge_bars, embargo) = margins(&splitter);
            for split in &splits {
                let (mut train, tested): (Vec<usize>, Vec<usize>) = (split.train_rows().collect(), split.test_rows().collect());
                let window = match splitter {
                    Splitter::WalkForward { train_rows, expanding, .. } => {
                        let last = split.test[0].start - purge_bars;
                        (if expanding { 0 } else { last - train_rows })..last
                    }
                    _ => 0..starts.len(),
                };
                let has_reason = |row: usize| {
                    tested.contains(&row) || split.test.iter().any(|block| {
                        let last_end = ends[block.clone()].iter().max().unwrap() + embargo.time;
                        let seen = starts.iter().filter(|&&start| start < last_end).count();
                        let reach = if purge_bars > 0 { seen.max(block.end + purge_bars) } else { seen };
                        row < block.start && (ends[row] > starts[block.start] || row + purge_bars >= block.start)
                            || row >= block.end && row < reach + embargo.bars
                    })
                };
                for row in window {
                    prop_assert!(train.contains(&row) != has_reason(row), "row {row}");
                }
                train.dedup();
                prop_assert!(train.is_sorted() && train.len() == split.train_rows().count());
            }
        }

        #[test]
        fn rows_without_times_are_rows_whose_labels_end_at_the_next(rows in 8_usize..80, splitter in splitters()) {
            let starts: Vec<i64> = (0..rows as i64).collect();
            let ends: Vec<i64> = (1..=rows as i64).collect();
            let times = matches!(margins(&splitter), (_, Embargo { time: 1.., .. }));
            prop_assume!(!times);
            prop_assert_eq!(splitter.splits(&LabelSpans::bars(rows)), splitter.splits(&LabelSpans::labels(&starts, &ends).unwrap()));
        }

        #[test]
        fn each_path_tests_every_fold_once(rows in 8_usize..80, splitter in splitters()) {
            let Ok(splits) = splitter.splits(&LabelSpans::bars(rows)) else { return Ok(()) };
            let folds = splitter.folds(rows).unwrap();
            let mut used = std::collections::HashSet::new();
            for path in paths(&splits) {
                prop_assert_eq!(path.iter().map(|segment| segment.rows.clone()).collect::<Vec<_>>(), folds.clone());
                for segment in path {
                    prop_assert_eq!(&splits[segment.split].test[segment.block], &segment.rows);
                    prop_assert!(used.insert((segment.split, segment.block)));
                }
            }
            prop_assert_eq!(used.len(), splits.iter().map(|split| split.test.len()).sum::<usize>());
        }
    }

    #[test]
    fn a_rule_without_skill_varies_as_much_as_said() {
        // The linear rule of the formula, on noise: one number a fold, summed over the folds of each path.
        let splitter = Splitter::CombinatorialPurged { folds: 6, test_folds: 2, purge_bars: 0, embargo: Embargo::default() };
        let splits = splitter.splits(&LabelSpans::bars(6)).unwrap();
        let paths = paths(&splits);
        let mut random = fastrand::Rng::with_seed(1);
        let (mut squares, mut plain) = (0.0, 0.0);
        for _ in 0..20_000 {
            let noise: Vec<f64> = (0..6).map(|_| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0).collect();
            for path in &paths {
                let rule =
                    |segment: &super::super::Segment| splits[segment.split].train_rows().map(|fold| noise[fold]).sum::<f64>();
                squares += path.iter().map(|segment| rule(segment) * noise[segment.rows.start]).sum::<f64>().powi(2);
                plain += path.iter().map(|segment| rule(segment).powi(2)).sum::<f64>();
            }
        }
        assert!(
            (squares / plain / splitter.dependence() - 1.0).abs() < 0.05,
            "{} is not {}",
            squares / plain,
            splitter.dependence()
        );
    }

    #[test]
    fn impossible_splits_are_explained() {
        let message = |splitter: Splitter, spans: LabelSpans<'_>| splitter.splits(&spans).unwrap_err().to_string();
        let fold = |folds, bars| Splitter::PurgedKFold { folds, embargo: Embargo::bars(bars) };
        let combine =
            |folds, test_folds| Splitter::CombinatorialPurged { folds, test_folds, purge_bars: 0, embargo: Embargo::default() };
        assert!(message(fold(1, 0), LabelSpans::bars(9)).contains("at least 2"));
        assert!(message(fold(9, 0), LabelSpans::bars(4)).contains("4 rows are too few: 9"));
        assert!(message(combine(4, 4), LabelSpans::bars(9)).contains("leave at least 1"));
        assert!(message(combine(60, 30), LabelSpans::bars(90)).contains("use fewer folds"));
        assert!(message(fold(2, 9), LabelSpans::bars(9)).contains("split 0 (test rows 0 to 4) leaves no row to train on"));
        let walk = Splitter::WalkForward { train_rows: 5, test_rows: 5, purge_bars: 1, expanding: true };
        assert!(message(walk.clone(), LabelSpans::bars(10)).contains("11 are needed"));
        let (starts, ends) = ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [99; 12]);
        assert!(message(walk, LabelSpans::labels(&starts, &ends).unwrap()).contains("shorten the labels"));
        let negative = Splitter::PurgedKFold { folds: 3, embargo: Embargo { bars: 0, time: -1 } };
        assert!(message(negative, LabelSpans::bars(9)).contains("negative"));
    }
}
