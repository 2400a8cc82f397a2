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
    let count = samples.len();
    let unfit = |message: String| Err(TicksError::Unfit { message });
    if !(rule.validation_share > 0.0 && rule.validation_share < 1.0) {
        return unfit(format!("a validation share of {}: it must be above 0 and below 1", rule.validation_share));
    }
    if rule.embargo_ns < 0 {
        return unfit(format!("an embargo of {} ns: it must be 0 or more", rule.embargo_ns));
    }
    let test_at = match rule.at {
        SplitAt::Time(time_ns) => samples.times_ns.partition_point(|sample_ns| *sample_ns < time_ns),
        SplitAt::Share(share) if share > 0.0 && share < 1.0 => (share * count as f64).round() as usize,
        SplitAt::Share(share) => return unfit(format!("a split at a share of {share}: it must be above 0 and below 1")),
    };
    let validation_at = test_at - (rule.validation_share * test_at as f64).round() as usize;
    let first_ns = samples.times_ns.first().copied().unwrap_or_default();
    let last_ns = samples.times_ns.last().copied().unwrap_or_default();
    let at_ns = match rule.at {
        SplitAt::Time(time_ns) => time_ns,
        SplitAt::Share(_) => samples.times_ns.get(test_at).copied().unwrap_or(last_ns),
    };
    let empty = |part, remedy| Err(TicksError::EmptyPart { part, first_ns, last_ns, at_ns, remedy });
    if test_at == count {
        return empty("to test", "split earlier, or give the captures that follow");
    }
    if validation_at == 0 || validation_at == test_at {
        return empty("to train or to validate", "split later, or give the captures before");
    }
    // A label counts as long as the embargo reaches after it.
    let ends_ns: Vec<i64> = samples.ends_ns.iter().map(|end_ns| end_ns.saturating_add(rule.embargo_ns)).collect();
    let before = |end: usize, from: usize| -> Result<Vec<usize>, TicksError> {
        let spans = LabelSpans::labels(&samples.times_ns[..end], &ends_ns[..end])?;
        let walk = Splitter::WalkForward { train_rows: from, test_rows: end - from, purge_bars: 0, expanding: true };
        Ok(walk.splits(&spans)?.iter().flat_map(|split| split.train_rows()).collect())
    };
    let train = before(test_at, validation_at)?;
    let validation: Vec<usize> = before(count, test_at)?.into_iter().filter(|sample| *sample >= validation_at).collect();
    if validation.is_empty() {
        return empty("to validate", "let more of the samples validate, or shorten the horizon or the embargo");
    }
    Ok(Parts { train, validation, test: test_at..count })
}
