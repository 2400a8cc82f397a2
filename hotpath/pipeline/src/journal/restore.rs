//! What a session left behind: for a restart.

use super::content::Content;
use super::{JournalError, Recovery};
use crate::account::Account;
use crate::decision::{Control, Scope};
use crate::risk::{FailedChecks, Origin, Risk, RiskCheck, RiskLimits, StateChange, TradingState};
use crate::topology::ByHand;
use chronos_market::{Instrument, OrderCommand, Timestamp};

/// The state a session was in after the last whole record of its journal. What happened at the venue after that is not in it: it
/// must be reconciled with the venue before anything is sent.
#[derive(Debug)]
pub struct Restored {
    /// Positions, open orders and money.
    pub account: Account,
    /// The limits in force.
    pub limits: RiskLimits,
    /// What the system was allowed.
    pub state: TradingState,
    /// What was set and not lifted since, each cause in each part once: latches, kill switches, breakers, pauses.
    pub in_force: Vec<StateChange>,
    /// The counter of the last order id that was given out; 0 where none was.
    pub last_order: u32,
}

/// Follows the orders, reports, limits and orders to the system of a journal. `instruments` are those of its session, by id, and `limits`
/// those it began with: the journal holds what changed of them.
///
/// # Errors
/// [`JournalError::Io`] where a segment cannot be read any more, [`JournalError::OtherLimits`] where the session began with other limits.
pub fn restore(journal: &Recovery, instruments: &[Instrument], limits: &RiskLimits) -> Result<Restored, JournalError> {
    let account = Account::new(instruments);
    let mut restored = Restored { account, limits: *limits, state: TradingState::Active, in_force: Vec::new(), last_order: 0 };
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
            Some(Content::Limits { hashes: [before, after], changes, .. }) => {
                let changed = Some(&restored.limits).filter(|limits| limits.hash() == before);
                let changed = changed.and_then(|limits| limits.with_changes(changes)).filter(|limits| limits.hash() == after);
                restored.limits = changed.ok_or(JournalError::OtherLimits { seq: record.seq })?;
            }
            // It is in force from here on, whether or not the session came to journal what came of it.
            Some(Content::Control { control, .. }) => restored.on_control(control),
            Some(Content::State(change)) => restored.on_change(change),
            _ => {}
        }
    }
    Ok(restored)
}

impl Restored {
    /// What has to be done by hand in a session that goes on from here, before its first event, so that the same limits hold in it and
    /// the same holds trading: what it journals of that is then part of its own journal. Whatever halted or reduced this one does so by
    /// hand in that one; what passes by itself (breakers, pauses) is not carried over.
    pub fn by_hand(&self) -> Vec<ByHand> {
        let whole = match self.state {
            TradingState::Active => None,
            TradingState::Reducing => Some(Control::Reduce),
            TradingState::Halted => Some(Control::Halt),
        };
        let is_kill = |change: &&StateChange| change.cause == RiskCheck::KillSwitch;
        let kills = self.in_force.iter().filter(is_kill).filter_map(|change| change.scope).map(Control::Kill);
        let controls = whole.into_iter().chain(kills).map(ByHand::Control);
        std::iter::once(ByHand::Limits(self.limits)).chain(controls).collect()
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::Reduce => self.set(RiskCheck::Reducing, None),
            Control::Halt => self.set(RiskCheck::KillSwitch, None),
            Control::Resume => self.in_force.retain(|change| !is_latch(change)),
            Control::Kill(scope) => self.set(RiskCheck::KillSwitch, Some(scope)),
            Control::Restore(scope) => self.lift(RiskCheck::KillSwitch, Some(scope)),
        }
        self.refresh_state();
    }

    fn on_change(&mut self, change: StateChange) {
        self.lift(change.cause, change.scope);
        self.in_force.extend(Some(change).filter(|change| change.value != 0));
        self.refresh_state();
    }

    fn set(&mut self, cause: RiskCheck, scope: Option<Scope>) {
        self.lift(cause, scope);
        let (state, origin, until) = (self.state, Origin::Hand, Timestamp::MAX);
        self.in_force.push(StateChange { state, cause, origin, value: 1, scope, until });
    }

    fn lift(&mut self, cause: RiskCheck, scope: Option<Scope>) {
        self.in_force.retain(|change| (change.cause, change.scope) != (cause, scope));
    }

    fn refresh_state(&mut self) {
        let latched = self.in_force.iter().filter(|change| is_latch(change));
        let latches = latched.fold(FailedChecks::NONE, |latches, change| latches.or(FailedChecks::of(change.cause)));
        self.state = TradingState::of_latches(latches);
    }
}

/// Whether a change holds the whole system until it is reset by hand. (A cooldown is over by itself.)
fn is_latch(change: &StateChange) -> bool {
    change.scope.is_none() && change.until == Timestamp::MAX
}

#[cfg(test)]
mod tests {
    use super::super::content::{control_bytes, limits_bytes};
    use super::super::{Journal, JournalConfig, RecordKind, SEGMENT_BYTES_MIN, WhenLate};
    use super::*;
    use crate::risk::LimitsRecord;
    use chronos_market::InstrumentId;
    use std::time::Duration;

    /// What is restored of records.
    fn of(records: &[(RecordKind, Vec<u8>)], limits: &RiskLimits) -> Result<Restored, JournalError> {
        let folder = tempfile::tempdir().unwrap();
        let config = JournalConfig {
            folder: folder.path().join("journal"),
            session: 1,
            segment_bytes: SEGMENT_BYTES_MIN,
            sync_interval: Duration::from_millis(5),
            when_late: WhenLate::Wait,
        };
        let mut journal = Journal::create(&config).unwrap();
        for (kind, payload) in records {
            journal.append(*kind, 1, payload).unwrap();
        }
        journal.leave().unwrap();
        restore(&Recovery::open(&config.folder).unwrap(), &[], limits)
    }

    fn control(control: Control) -> (RecordKind, Vec<u8>) {
        (RecordKind::Control, control_bytes(control, 1).to_vec())
    }

    fn limits(old: &RiskLimits, new: &RiskLimits) -> (RecordKind, Vec<u8>) {
        let (bytes, length) = limits_bytes(&LimitsRecord::of(old, new), 1);
        (RecordKind::Limits, bytes[..length].to_vec())
    }

    #[test]
    fn changes_of_limits_add_up_and_others_are_refused() {
        let began = RiskLimits { collar_bps: 33, ..RiskLimits::default() };
        let first = RiskLimits { open_orders_max: 3, ..began };
        let second = RiskLimits { collar_bps: 5, ..first };
        let records = [limits(&began, &first), limits(&first, &second)];
        assert_eq!(of(&records[..0], &began).unwrap().limits, began);
        assert_eq!(of(&records[..1], &began).unwrap().limits, first);
        assert_eq!(of(&records, &began).unwrap().limits, second);
        let error = of(&records, &RiskLimits::default()).expect_err("it began with others").to_string();
        assert!(error.contains("record 1") && error.contains("configuration"), "{error}");
    }

    /// The process died between a control's record and that of what came of it.
    #[test]
    fn an_order_to_the_system_holds_without_the_record_of_what_came_of_it() {
        let scope = Scope::Instrument(InstrumentId(3));
        let of = |controls: &[Control]| {
            let records: Vec<_> = controls.iter().map(|what| control(*what)).collect();
            of(&records, &RiskLimits::default()).unwrap()
        };
        let states = [(Control::Halt, TradingState::Halted), (Control::Reduce, TradingState::Reducing)];
        for (what, state) in states {
            let restored = of(&[Control::Kill(scope), what]);
            assert_eq!((restored.state, restored.in_force.len()), (state, 2));
            let again = [ByHand::Limits(RiskLimits::default()), ByHand::Control(what), ByHand::Control(Control::Kill(scope))];
            assert_eq!(restored.by_hand(), again);
        }
        let lifted = of(&[Control::Halt, Control::Reduce, Control::Kill(scope), Control::Restore(scope), Control::Resume]);
        assert_eq!((lifted.state, lifted.in_force.len(), lifted.by_hand().len()), (TradingState::Active, 0, 1));
        let killed = of(&[Control::Halt, Control::Kill(scope), Control::Resume]);
        assert_eq!((killed.state, killed.in_force[0].scope), (TradingState::Active, Some(scope)));
    }

    #[test]
    fn what_a_limit_latched_is_lifted_by_the_hand_that_resumes() {
        let change = StateChange {
            state: TradingState::Reducing,
            cause: RiskCheck::Drawdown,
            origin: Origin::Limit,
            value: 1,
            scope: None,
            until: Timestamp::MAX,
        };
        let latched = (RecordKind::State, change.to_bytes().to_vec());
        let restored = of(std::slice::from_ref(&latched), &RiskLimits::default()).unwrap();
        assert_eq!((restored.state, restored.in_force.as_slice()), (TradingState::Reducing, &[change][..]));
        // A cooldown neither reduces nor is lifted by hand.
        let cooldown = StateChange { state: TradingState::Reducing, cause: RiskCheck::Cooldown, until: Timestamp(9), ..change };
        let cooling = (RecordKind::State, cooldown.to_bytes().to_vec());
        let resumed = of(&[latched, cooling, control(Control::Resume)], &RiskLimits::default()).unwrap();
        assert_eq!((resumed.state, resumed.in_force.as_slice()), (TradingState::Active, &[cooldown][..]));
    }
}
