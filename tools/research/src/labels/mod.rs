//! Labels: what came of an event, and when that was known (Lopez de Prado 2018, chapters 2 and 3).
//!
//! [`cusum_events`] samples events where the price has moved, [`triple_barrier`] follows each until its profit, its stop or its
//! time is up, with barriers in units of [`one_bar_volatility`]. Positions count bars from 0. Every label carries the span of bars
//! it looks at: what trains on it must not test on those.

mod cusum;
mod range_extremes;
mod triple_barrier;
mod volatility;

pub use cusum::{CusumFilter, cusum_events};
pub use range_extremes::RangeExtremes;
pub use triple_barrier::{Horizon, Labels, TripleBarrier, triple_barrier};
pub use volatility::{Adjust, horizon_volatility, one_bar_volatility};

use crate::error::SeriesError;
use chronos_market::Side;

/// The bars a label looks at, first and last included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Bar of the event.
    pub start: usize,
    /// Bar at which the label is known.
    pub end: usize,
}

impl Span {
    /// Number of bars, at least 1.
    pub fn bars(self) -> usize {
        self.end.saturating_sub(self.start) + 1
    }
}

/// Checks that spans end at or after their start, and within `bars`.
pub(crate) fn are_spans(spans: &[Span], bars: usize) -> Result<(), SeriesError> {
    for (row, Span { start, end }) in spans.iter().copied().enumerate() {
        if end < start {
            return Err(SeriesError::LabelEndsBeforeItStarts { row, start, end });
        }
        if end >= bars {
            return Err(SeriesError::LabelBeyondBars { row, end, bars });
        }
    }
    Ok(())
}

/// The barrier that ended a label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Barrier {
    /// The profit; without a side, the upper one.
    Profit,
    /// The stop; without a side, the lower one.
    Stop,
    /// The time.
    Vertical,
}

impl Barrier {
    /// Its name in files: `profit`, `stop`, `vertical`.
    pub fn name(self) -> &'static str {
        match self {
            Barrier::Profit => "profit",
            Barrier::Stop => "stop",
            Barrier::Vertical => "vertical",
        }
    }

    /// The barrier of a name in files.
    pub fn from_name(name: &str) -> Option<Barrier> {
        [Barrier::Profit, Barrier::Stop, Barrier::Vertical].into_iter().find(|barrier| barrier.name() == name)
    }
}

/// What came of one event.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Label {
    /// From the event to the bar that ended it.
    pub span: Span,
    /// What ended it.
    pub barrier: Barrier,
    /// Size of the unit in which the barriers are placed, a return.
    pub target: f64,
    /// The bet, where there is a primary model; the label then says whether to take it.
    pub side: Option<Side>,
    /// Simple return from the event to the end, times the side where there is one.
    pub simple_return: f64,
}

impl Label {
    /// By the sign of the return: -1, 0 or 1; with a side, 1 where the bet gained and else 0 (snippets 3.5 and 3.7 of the book).
    pub fn by_return(&self) -> i8 {
        match self.side {
            _ if self.simple_return > 0.0 => 1,
            None if self.simple_return < 0.0 => -1,
            _ => 0,
        }
    }

    /// By the barrier: 1 for the upper, -1 for the lower, 0 for time; with a side, 1 for profit and else 0.
    pub fn by_barrier(&self) -> i8 {
        match (self.barrier, self.side) {
            (Barrier::Profit, _) => 1,
            (Barrier::Stop, None) => -1,
            _ => 0,
        }
    }
}
