//! What a session left behind: for a restart.

use super::content::Content;
use super::{JournalError, Recovery};
use crate::account::Account;
use crate::risk::{Risk, RiskLimits, StateChange, TradingState};
use chronos_market::{Instrument, OrderCommand, Timestamp};

/// The state a session was in after the last whole record of its journal. What happened at the venue after that is not in it: it
/// must be reconciled with the venue before anything is sent.
#[derive(Debug)]
pub struct Restored {
    /// Positions, open orders and money.
    pub account: Account,
    /// What the system was allowed.
    pub state: TradingState,
    /// What was set and not lifted since, each cause in each part once: latches, kill switches, breakers, pauses.
    pub in_force: Vec<StateChange>,
    /// The counter of the last order id that was given out; 0 where none was.
    pub last_order: u32,
}

/// Follows the orders and reports of a journal; `instruments` are those of its session, by id.
///
/// # Errors
/// [`JournalError::Io`] where a segment cannot be read any more.
pub fn restore(journal: &Recovery, instruments: &[Instrument]) -> Result<Restored, JournalError> {
    let account = Account::new(instruments);
    let mut restored = Restored { account, state: TradingState::Active, in_force: Vec::new(), last_order: 0 };
    // Knows an execution that was told twice, which no limit has a say in.
    let mut risk = Risk::new(&RiskLimits::default(), instruments);
    let mut reader = journal.reader();
    while let Some(record) = reader.next()? {
        let account = &mut restored.account;
        match Content::of(&record) {
            Some(Content::Order { command: OrderCommand::New(order), .. }) => {
                restored.last_order = order.id.0 as u32;
                account.on_sent(&order);
            }
            Some(Content::Order { command: OrderCommand::Cancel { id, .. }, .. }) => account.on_cancel_sent(id),
            Some(Content::Unsent { order, is_cancel: false, .. }) => account.on_unsent(order),
            Some(Content::Unsent { order, is_cancel: true, .. }) => account.on_cancel_unsent(order),
            Some(Content::Report { report, .. }) if risk.is_news(Timestamp(record.recv_ns), &report) => {
                account.on_report(&report);
            }
            Some(Content::State(change)) => {
                restored.state = change.state;
                restored.in_force.retain(|other| (other.cause, other.scope) != (change.cause, change.scope));
                restored.in_force.extend(Some(change).filter(|change| change.value != 0));
            }
            _ => {}
        }
    }
    Ok(restored)
}
