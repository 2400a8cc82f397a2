//! Why a series, or what was asked of it, cannot be used.

/// Bad input of a computation on series. Rows count from 0.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum SeriesError {
    /// A value is missing or infinite.
    #[error("{what} is {value} at row {row}; remove that row, or fill it before")]
    NotFinite {
        /// The series.
        what: &'static str,
        /// The first such row.
        row: usize,
        /// Its value.
        value: f64,
    },
    /// A value that must be positive is not.
    #[error("{what} is {value} at row {row} and must be positive; remove that row, or correct it")]
    NotPositive {
        /// The series.
        what: &'static str,
        /// The first such row.
        row: usize,
        /// Its value.
        value: f64,
    },
    /// There are too few rows.
    #[error("{what} has {rows} rows and {rows_min} are needed; give a longer series, or shorter windows and fewer lags")]
    TooShort {
        /// The series.
        what: &'static str,
        /// What it has.
        rows: usize,
        /// What is needed.
        rows_min: usize,
    },
    /// Two series that go together row by row differ in length.
    #[error("{what} has {rows} rows and {other} has {other_rows}; give one for each row of the other")]
    Lengths {
        /// One series.
        what: &'static str,
        /// Its rows.
        rows: usize,
        /// The other.
        other: &'static str,
        /// Its rows.
        other_rows: usize,
    },
    /// A time goes back.
    #[error("the time of row {row}, {time_ns} ns, is before that of the row above, {before_ns} ns; sort the rows by time")]
    TimeOrder {
        /// The later row.
        row: usize,
        /// Its time.
        time_ns: i64,
        /// That of the row above.
        before_ns: i64,
    },
    /// Places that must rise do not, or lie outside.
    #[error("event {row} is at bar {bar}, which is {wrong}; events are bar positions in rising order, each once, below {bars}")]
    Event {
        /// Which event.
        row: usize,
        /// Where it is.
        bar: usize,
        /// What is wrong with that.
        wrong: &'static str,
        /// Number of bars.
        bars: usize,
    },
    /// A label ends before it starts.
    #[error(
        "label {row} ends at bar {end}, before its start at bar {start}; a label ends at its event or later: swap the two or drop it"
    )]
    LabelEndsBeforeItStarts {
        /// Which label.
        row: usize,
        /// Its first bar.
        start: usize,
        /// Its last bar.
        end: usize,
    },
    /// A label ends after the last bar.
    #[error("label {row} ends at bar {end}, and there are {bars} bars; drop labels that have not ended")]
    LabelBeyondBars {
        /// Which label.
        row: usize,
        /// Its last bar.
        end: usize,
        /// Number of bars.
        bars: usize,
    },
    /// A setting is out of its range.
    #[error("{what} is {value} and must be {must_be}")]
    Parameter {
        /// The setting.
        what: &'static str,
        /// What it is.
        value: f64,
        /// Its range.
        must_be: &'static str,
    },
    /// A time does not go on.
    #[error("{what}: the time of row {row} is not after that of the row above; sort by time and drop duplicates")]
    NotLater {
        /// The series.
        what: &'static str,
        /// The later row.
        row: usize,
    },
    /// All values are the same.
    #[error(
        "{what}: all values are equal, so nothing can be said of their spread; a strategy that never trades has no Sharpe ratio"
    )]
    NoSpread {
        /// The series.
        what: &'static str,
    },
    /// Columns of a regression say the same twice.
    #[error("{what}: the columns are linearly dependent; remove constant and repeated columns")]
    Singular {
        /// Of what.
        what: &'static str,
    },
}

/// Checks that every value is finite.
pub(crate) fn finite(what: &'static str, values: &[f64]) -> Result<(), SeriesError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(SeriesError::NotFinite { what, row, value: values[row] }),
        None => Ok(()),
    }
}

/// Checks that every value is finite and positive.
pub(crate) fn positive(what: &'static str, values: &[f64]) -> Result<(), SeriesError> {
    finite(what, values)?;
    match values.iter().position(|value| *value <= 0.0) {
        Some(row) => Err(SeriesError::NotPositive { what, row, value: values[row] }),
        None => Ok(()),
    }
}

/// Checks a least number of rows.
pub(crate) fn long_enough(what: &'static str, rows: usize, rows_min: usize) -> Result<(), SeriesError> {
    if rows < rows_min { Err(SeriesError::TooShort { what, rows, rows_min }) } else { Ok(()) }
}

/// Checks that values are finite, and that there are enough of them.
pub(crate) fn enough_finite(what: &'static str, values: &[f64], rows_min: usize) -> Result<(), SeriesError> {
    long_enough(what, values.len(), rows_min)?;
    finite(what, values)
}

/// Checks that two series go together.
pub(crate) fn same_rows(what: &'static str, rows: usize, other: &'static str, other_rows: usize) -> Result<(), SeriesError> {
    if rows == other_rows { Ok(()) } else { Err(SeriesError::Lengths { what, rows, other, other_rows }) }
}

/// Checks that times do not go back.
pub(crate) fn in_time_order(times_ns: &[i64]) -> Result<(), SeriesError> {
    match times_ns.windows(2).position(|pair| pair[1] < pair[0]) {
        Some(row) => Err(SeriesError::TimeOrder { row: row + 1, time_ns: times_ns[row + 1], before_ns: times_ns[row] }),
        None => Ok(()),
    }
}

/// Checks that events are bar positions in rising order, each once.
pub(crate) fn are_events(events: &[usize], bars: usize) -> Result<(), SeriesError> {
    for (row, &bar) in events.iter().enumerate() {
        let wrong = match row.checked_sub(1).map(|before| events[before]) {
            _ if bar >= bars => "no bar",
            Some(before) if before == bar => "the place of the event above",
            Some(before) if before > bar => "before the event above",
            _ => continue,
        };
        return Err(SeriesError::Event { row, bar, wrong, bars });
    }
    Ok(())
}
