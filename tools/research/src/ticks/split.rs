//! Training, validation and test by time, purged.

use super::{Samples, TicksError};
use crate::validation::{LabelSpans, Splitter};
use std::ops::Range;

/// Where the test begins.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SplitAt {
    /// At this time, nanoseconds since the epoch.
    Time(i64),
    /// After this share of the samples, above 0 and below 1.
    Share(f64),
}

/// How samples are parted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SplitRule {
    /// Where the test begins.
    pub at: SplitAt,
    /// Share of the samples before the test that validate: the last of them. Above 0 and below 1.
    pub validation_share: f64,
    /// Time by which a label must have ended before the part that follows begins, nanoseconds, 0 or more.
    pub embargo_ns: i64,
}

/// Samples to train on, to choose by, and to judge by. Each part comes after the one before, and no label of it reaches into the next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Samples to train on, ascending.
    pub train: Vec<usize>,
    /// Samples by which to stop and choose, ascending.
    pub validation: Vec<usize>,
    /// Samples that nothing is chosen by.
    pub test: Range<usize>,
}

/// Parts samples by time. A sample whose label ends after the next part begins, or less than the embargo before, is in no part.
///
/// # Errors
/// [`TicksError`]: a part without samples, or a share out of range.
pub fn split_samples(samples: &Samples, rule: &SplitRule) -> Result<Parts, TicksError> {
    let test = test_part(samples, rule)?;
    parts_of(samples, rule, test)
}

/// Walks forward: the test part of [`split_samples`] in so many folds of equal size, one after the other, each with all that comes before it to
/// train on and to choose by.
///
/// # Errors
/// As [`split_samples`]; no fold, or more of them than samples.
pub fn split_folds(samples: &Samples, rule: &SplitRule, folds: usize) -> Result<Vec<Parts>, TicksError> {
    let test = test_part(samples, rule)?;
    if !(1..=test.len()).contains(&folds) {
        return Err(TicksError::Unfit { message: format!("{folds} folds of {} samples: give each fold one at least", test.len()) });
    }
    let start = |fold: usize| test.start + fold * test.len() / folds;
    (0..folds).map(|fold| parts_of(samples, rule, start(fold)..start(fold + 1))).collect()
}

/// The samples to judge by; the rule is checked.
fn test_part(samples: &Samples, rule: &SplitRule) -> Result<Range<usize>, TicksError> {
    let count = samples.len();
    let unfit = |message: String| Err(TicksError::Unfit { message });
    if !(rule.validation_share > 0.0 && rule.validation_share < 1.0) {
        return unfit(format!("a validation share of {}: it must be above 0 and below 1", rule.validation_share));
    }
    if rule.embargo_ns < 0 {
        return unfit(format!("an embargo of {} ns: it must be 0 or more", rule.embargo_ns));
    }
    let at = match rule.at {
        SplitAt::Time(time_ns) => samples.times_ns.partition_point(|sample_ns| *sample_ns < time_ns),
        SplitAt::Share(share) if share > 0.0 && share < 1.0 => (share * count as f64).round() as usize,
        SplitAt::Share(share) => return unfit(format!("a split at a share of {share}: it must be above 0 and below 1")),
    };
    if at == count {
        let at_ns = match rule.at {
            SplitAt::Time(time_ns) => Some(time_ns),
            SplitAt::Share(_) => None,
        };
        return Err(empty(samples, at_ns, "to test", "split earlier, or give the captures that follow"));
    }
    Ok(at..count)
}

/// What comes before a test part, purged.
fn parts_of(samples: &Samples, rule: &SplitRule, test: Range<usize>) -> Result<Parts, TicksError> {
    let validation_at = test.start - (rule.validation_share * test.start as f64).round() as usize;
    let at_ns = samples.times_ns.get(test.start).copied();
    if validation_at == 0 || validation_at == test.start {
        return Err(empty(samples, at_ns, "to train or to validate", "split later, or give the captures before"));
    }
    // A label counts as long as the embargo reaches after it.
    let ends_ns: Vec<i64> = samples.ends_ns.iter().map(|end_ns| end_ns.saturating_add(rule.embargo_ns)).collect();
    let before = |end: usize, from: usize| -> Result<Vec<usize>, TicksError> {
        let spans = LabelSpans::labels(&samples.times_ns[..end], &ends_ns[..end])?;
        let walk = Splitter::WalkForward { train_rows: from, test_rows: end - from, purge_bars: 0, expanding: true };
        Ok(walk.splits(&spans)?.iter().flat_map(|split| split.train_rows()).collect())
    };
    let train = before(test.start, validation_at)?;
    let validation: Vec<usize> = before(test.end, test.start)?.into_iter().filter(|sample| *sample >= validation_at).collect();
    if validation.is_empty() {
        let remedy = "let more of the samples validate, or shorten the horizon or the embargo";
        return Err(empty(samples, at_ns, "to validate", remedy));
    }
    Ok(Parts { train, validation, test })
}

/// The error of a part without samples; `at_ns` is where they are split, the last of them where nothing says.
fn empty(samples: &Samples, at_ns: Option<i64>, part: &'static str, remedy: &'static str) -> TicksError {
    let first_ns = samples.times_ns.first().copied().unwrap_or_default();
    let last_ns = samples.times_ns.last().copied().unwrap_or_default();
    TicksError::EmptyPart { part, first_ns, last_ns, at_ns: at_ns.unwrap_or(last_ns), remedy }
}
