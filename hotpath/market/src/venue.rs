//! The seam between the trading group and wherever orders go: the simulated venue, or a live gateway.

use crate::event::MarketEvent;
use crate::order::{ExecutionReport, OrderCommand};
use crate::time::Timestamp;
use std::fmt;

/// Why a venue's side of the wire refused a command before it left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmitError {
    /// No room for another command in flight.
    Full,
    /// The instrument is not known to the venue.
    UnknownInstrument,
    /// The connection is down.
    Disconnected,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Full => "too many commands in flight",
            SubmitError::UnknownInstrument => "instrument unknown to the venue",
            SubmitError::Disconnected => "venue disconnected",
        })
    }
}

/// Where orders go.
///
/// Within one logical time the caller keeps this order: `poll` up to the time, then the market event at that time, then decisions
/// and `submit`. A simulated order that arrives at `a` therefore sees the book after the last event with `recv_ns < a`.
pub trait Venue {
    /// Sends a command at `now`.
    ///
    /// # Errors
    /// [`SubmitError`] where the command did not leave; it then has no effect and no report follows.
    fn submit(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError>;

    /// Shows the venue a market event (a live gateway ignores it).
    fn on_market(&mut self, event: &MarketEvent);

    /// The earliest time at which `poll` would do or report something; `None` when nothing is under way.
    fn next_due(&self) -> Option<Timestamp>;

    /// Does what is due at or before `until` and appends the reports due by then, in order of `recv`. Where `out` fills up, the
    /// rest stays for the next call.
    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer);
}

/// Room for reports in a [`ReportBuffer`].
pub const REPORTS_MAX: usize = 64;

/// A fixed-capacity list of reports.
#[derive(Debug)]
pub struct ReportBuffer {
    reports: Vec<ExecutionReport>,
}

impl Default for ReportBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl ReportBuffer {
    /// An empty buffer with room for [`REPORTS_MAX`] reports, allocated now.
    pub fn new() -> ReportBuffer {
        ReportBuffer { reports: Vec::with_capacity(REPORTS_MAX) }
    }

    /// Appends a report; gives it back where there is no room.
    ///
    /// # Errors
    /// The report itself, when [`REPORTS_MAX`] are held already.
    #[inline]
    pub fn push(&mut self, report: ExecutionReport) -> Result<(), ExecutionReport> {
        if self.reports.len() == REPORTS_MAX {
            return Err(report);
        }
        self.reports.push(report);
        Ok(())
    }

    /// What is held, in order.
    #[inline]
    pub fn as_slice(&self) -> &[ExecutionReport] {
        &self.reports
    }

    /// Empties the buffer and keeps its memory.
    #[inline]
    pub fn clear(&mut self) {
        self.reports.clear();
    }
}
