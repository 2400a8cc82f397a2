//! The venue of a session that is replayed from its journal.

use super::content::{Content, UnsentReason};
use super::recovery::{JournalReader, Recovery};
use chronos_market::{ExecutionReport, MarketEvent, OrderCommand, OrderId, ReportBuffer, SubmitError, Timestamp, Venue};

/// Reports as the journal has them, one a poll. Whoever polls follows the same journal and knows when it is a report's turn
/// ([`Trade::follow`](crate::topology::Trade::follow)). A command that did not leave then does not leave now.
#[derive(Debug)]
pub struct JournaledVenue {
    reader: JournalReader,
    next: Option<Answer>,
}

/// What the venue's side said.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// A report, taken in at a time.
    Report(Timestamp, ExecutionReport),
    /// A command that did not leave.
    Refused { order: OrderId, is_cancel: bool, error: SubmitError },
}

impl JournaledVenue {
    /// A venue that answers as in the journal.
    pub fn new(recovery: &Recovery) -> JournaledVenue {
        let mut venue = JournaledVenue { reader: recovery.reader(), next: None };
        venue.advance();
        venue
    }

    fn advance(&mut self) {
        self.next = None;
        while let Ok(Some(record)) = self.reader.next() {
            let now = Timestamp(record.recv_ns);
            self.next = match Content::of(&record) {
                Some(Content::Report { report, .. }) => Some(Answer::Report(now, report)),
                Some(Content::Unsent { order, is_cancel, reason: UnsentReason::Submit(error) }) => {
                    Some(Answer::Refused { order, is_cancel, error })
                }
                _ => continue,
            };
            return;
        }
    }
}

impl Venue for JournaledVenue {
    fn submit(&mut self, _now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        let own = match command {
            OrderCommand::New(order) => (order.id, false),
            OrderCommand::Cancel { id, .. } => (*id, true),
        };
        match self.next {
            Some(Answer::Refused { order, is_cancel, error }) if (order, is_cancel) == own => {
                self.advance();
                Err(error)
            }
            _ => Ok(()),
        }
    }

    fn on_market(&mut self, _event: &MarketEvent) {}

    fn next_due(&self) -> Option<Timestamp> {
        match self.next {
            Some(Answer::Report(now, _)) => Some(now),
            _ => None,
        }
    }

    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer) {
        if let Some(Answer::Report(now, report)) = self.next
            && now <= until
            && out.push(report).is_ok()
        {
            self.advance();
        }
    }
}
