//! Whether anything looks into the future: compute again with the future cut off, and compare.

use super::build::{Candidates, candidates};
use super::source::{FeatureRows, Observed, Source};
use super::{DatasetError, Recipe};
use chronos_market::Side;

/// What was compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LookAhead {
    /// Times the future was cut off.
    pub cuts: u32,
    /// Rows of features and of events that were computed twice and were the same.
    pub rows: u64,
}

/// A value that changed when its future was cut off.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error(
    "look-ahead: `{column}` at {time_ns} ns is {whole}, and {cut} where nothing after {settled_ns} ns is known; it reads the future and \
     must not be trained on"
)]
pub struct Leak {
    /// Feature, or part of an event.
    pub column: String,
    /// When it is said to be known.
    pub time_ns: i64,
    /// Computed from everything.
    pub whole: f64,
    /// Computed from what was there by `settled_ns`; NaN where the row is missing.
    pub cut: f64,
    /// Where the future was cut off.
    pub settled_ns: i64,
}

/// Observes `source` again up to `cuts` inputs drawn with `seed` from the later three quarters of all, and compares every feature of
/// every row, every price and every event with its target and side, bit by bit, with what the `whole` says of the same time.
///
/// # Errors
/// [`DatasetError::Leak`] with the first value that differs; what the source says.
pub fn look_ahead(
    source: &dyn Source,
    whole: &Observed,
    recipe: &Recipe,
    cuts: u32,
    seed: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<LookAhead, DatasetError> {
    let events_of_whole = candidates(whole, recipe)?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rows = 0;
    for cut in 0..cuts {
        let inputs = random.u64(whole.inputs / 4..=whole.inputs.saturating_sub(1));
        let share = u64::from(cut);
        let part = source.observe(Some(inputs), &mut |done, total| progress(share * total + done, u64::from(cuts) * total))?;
        rows += compare(&features(&whole.features), &features(&part.features), part.settled_ns)?;
        rows += compare(&prices(whole), &prices(&part), part.settled_ns)?;
        rows += compare(&events(whole, &events_of_whole), &events(&part, &candidates(&part, recipe)?), part.settled_ns)?;
    }
    Ok(LookAhead { cuts, rows })
}

/// Rows with the time of each.
struct Table<'a> {
    columns: Vec<&'a str>,
    times_ns: &'a [i64],
    values: std::borrow::Cow<'a, [f64]>,
}

fn features(rows: &FeatureRows) -> Table<'_> {
    let columns = rows.features.iter().map(|(name, _)| name.as_str()).collect();
    Table { columns, times_ns: &rows.times_ns, values: (&rows.values[..]).into() }
}

fn prices(observed: &Observed) -> Table<'_> {
    Table { columns: vec!["price"], times_ns: &observed.times_ns, values: (&observed.prices[..]).into() }
}

fn events<'a>(observed: &Observed, candidates: &'a Candidates) -> Table<'a> {
    let side = |place: usize| candidates.sides.as_ref().map_or(0.0, |sides| if sides[place] == Side::Buy { 1.0 } else { -1.0 });
    let row = |(place, event): (usize, &usize)| {
        let age_ns = candidates.times_ns[place] - observed.features.times_ns[candidates.feature_rows[place]];
        [candidates.targets[*event], side(place), age_ns as f64]
    };
    let values: Vec<f64> = candidates.events.iter().enumerate().flat_map(row).collect();
    Table { columns: vec!["target", "side", "age of the features"], times_ns: &candidates.times_ns, values: values.into() }
}

/// Number of rows up to `settled_ns` that are the same in both.
fn compare(whole: &Table<'_>, part: &Table<'_>, settled_ns: i64) -> Result<u64, DatasetError> {
    let settled = |times_ns: &[i64]| times_ns.partition_point(|time_ns| *time_ns <= settled_ns);
    let (rows, part_rows) = (settled(whole.times_ns), settled(part.times_ns));
    let width = whole.columns.len();
    let leak = |column: &str, whole: f64, cut: f64, time_ns: i64| {
        Err(Leak { column: column.to_owned(), time_ns, whole, cut, settled_ns }.into())
    };
    if part.columns != whole.columns {
        return leak("number of columns", width as f64, part.columns.len() as f64, settled_ns);
    }
    for row in 0..rows.max(part_rows) {
        let (in_whole, in_part) = (row < rows, row < part_rows);
        if !in_whole || !in_part || whole.times_ns[row] != part.times_ns[row] {
            let times_ns = if in_whole { whole.times_ns } else { part.times_ns };
            let known = |is_in: bool, time_ns: &[i64]| if is_in { time_ns[row] as f64 } else { f64::NAN };
            return leak("time of a row", known(in_whole, whole.times_ns), known(in_part, part.times_ns), times_ns[row]);
        }
        for (place, column) in whole.columns.iter().enumerate() {
            let (of_whole, of_part) = (whole.values[row * width + place], part.values[row * width + place]);
            if of_whole.to_bits() != of_part.to_bits() && !(of_whole.is_nan() && of_part.is_nan()) {
                return leak(column, of_whole, of_part, whole.times_ns[row]);
            }
        }
    }
    Ok(rows as u64)
}
