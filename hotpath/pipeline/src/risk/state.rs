//! What the system may do, and the changes of it that the journal holds.

use super::checks::{FailedChecks, RiskCheck};
use crate::decision::Scope;
use chronos_market::Timestamp;

/// What the system as a whole may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum TradingState {
    /// Everything within limits.
    Active = 0,
    /// Only what makes positions smaller.
    Reducing = 1,
    /// Nothing.
    Halted = 2,
}

/// Latches that halt.
const HALTING: FailedChecks = FailedChecks::of(RiskCheck::KillSwitch)
    .or(FailedChecks::of(RiskCheck::Loss))
    .or(FailedChecks::of(RiskCheck::RepeatedExecution))
    .or(FailedChecks::of(RiskCheck::FillRate));

impl TradingState {
    /// The state that a set of latches makes.
    #[inline]
    pub(crate) fn of_latches(latches: FailedChecks) -> TradingState {
        if !latches.and(HALTING).is_empty() {
            TradingState::Halted
        } else if !latches.is_empty() {
            TradingState::Reducing
        } else {
            TradingState::Active
        }
    }
}

/// Who made a change of state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Origin {
    /// A limit that was passed, or a time that was over.
    Limit = 0,
    /// Somebody, by hand.
    Hand = 1,
    /// A model whose steps failed one after another.
    Model = 2,
    /// The session: its journal is full, or its cold path is gone.
    Session = 3,
}

/// A latch, a kill switch, a circuit breaker or a pause changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateChange {
    /// What the system may do now.
    pub state: TradingState,
    /// Why: the check that orders fail, or no longer fail, from here on.
    pub cause: RiskCheck,
    /// Who.
    pub origin: Origin,
    /// 1 set, 0 no longer; of a breaker 2 half-open.
    pub value: u8,
    /// Where, unless it is the whole system.
    pub scope: Option<Scope>,
    /// When it is over by itself; [`Timestamp::MAX`] where it is not.
    pub until: Timestamp,
}

/// Length of [`StateChange::to_bytes`].
pub const STATE_BYTES: usize = 24;

impl StateChange {
    /// A latch of the whole system.
    pub(super) fn whole(latches: FailedChecks, cause: RiskCheck, origin: Origin, is_set: bool) -> StateChange {
        let state = TradingState::of_latches(latches);
        StateChange { state, cause, origin, value: u8::from(is_set), scope: None, until: Timestamp::MAX }
    }

    /// As the journal holds it, little-endian: state u8, cause u8, origin u8, value u8, kind of scope u8 (0 whole system, 1 strategy,
    /// 2 instrument, 3 venue), 0, its number u16, until i64, 8 zero bytes.
    pub fn to_bytes(&self) -> [u8; STATE_BYTES] {
        let mut bytes = [0; STATE_BYTES];
        bytes[..4].copy_from_slice(&[self.state as u8, self.cause as u8, self.origin as u8, self.value]);
        let (kind, number) = Scope::code(self.scope);
        bytes[4] = kind;
        bytes[6..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.until.0.to_le_bytes());
        bytes
    }

    /// Reads [`StateChange::to_bytes`]; `None` where the bytes are none.
    pub fn from_bytes(bytes: &[u8; STATE_BYTES]) -> Option<StateChange> {
        let [state, cause, origin, value, kind, 0, low, high, rest @ ..] = *bytes else { return None };
        let [until @ .., 0, 0, 0, 0, 0, 0, 0, 0] = rest else { return None };
        Some(StateChange {
            state: *[TradingState::Active, TradingState::Reducing, TradingState::Halted].get(usize::from(state))?,
            cause: RiskCheck::from_code(cause)?,
            origin: *[Origin::Limit, Origin::Hand, Origin::Model, Origin::Session].get(usize::from(origin))?,
            value,
            scope: Scope::of_code(kind, u16::from_le_bytes([low, high]))?,
            until: Timestamp(i64::from_le_bytes(until)),
        })
    }
}

/// Room for changes that were not yet taken. One call makes only a few, and they are taken after each.
const CHANGES_MAX: usize = 256;

/// Changes in order, taken one by one.
#[derive(Debug)]
pub(super) struct Changes {
    list: Vec<StateChange>,
    taken: usize,
}

impl Changes {
    pub(super) fn new() -> Changes {
        Changes { list: Vec::with_capacity(CHANGES_MAX), taken: 0 }
    }

    /// Beyond the room the newest is left out.
    #[cold]
    pub(super) fn push(&mut self, change: StateChange) {
        if self.list.len() < CHANGES_MAX {
            self.list.push(change);
        }
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<StateChange> {
        if self.list.is_empty() {
            return None;
        }
        let change = self.list.get(self.taken).copied();
        self.taken += 1;
        if change.is_none() {
            self.list.clear();
            self.taken = 0;
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::Exchange;

    #[test]
    fn changes_come_in_order_and_room_is_given_back() {
        let mut changes = Changes::new();
        let change = |cause| StateChange::whole(FailedChecks::of(cause), cause, Origin::Limit, true);
        for _ in 0..3 {
            changes.push(change(RiskCheck::Loss));
            changes.push(change(RiskCheck::Drawdown));
            assert_eq!(changes.take(), Some(change(RiskCheck::Loss)));
            assert_eq!(changes.take(), Some(change(RiskCheck::Drawdown)));
            assert_eq!(changes.take(), None);
        }
        for _ in 0..CHANGES_MAX + 5 {
            changes.push(change(RiskCheck::Loss));
        }
        assert_eq!(std::iter::from_fn(|| changes.take()).count(), CHANGES_MAX);
    }

    #[test]
    fn bytes_are_as_documented() {
        let change = StateChange {
            state: TradingState::Active,
            cause: RiskCheck::Breaker,
            origin: Origin::Limit,
            value: 2,
            scope: Some(Scope::Venue(Exchange::Kraken)),
            until: Timestamp(0x0102),
        };
        let bytes = change.to_bytes();
        assert_eq!(bytes[..10], [0, 31, 0, 2, 3, 0, 4, 0, 2, 1]);
        assert!(bytes[10..].iter().all(|byte| *byte == 0));
        assert_eq!(StateChange::from_bytes(&bytes), Some(change));
        let whole = StateChange::whole(FailedChecks::of(RiskCheck::Loss), RiskCheck::Loss, Origin::Session, true);
        assert_eq!(StateChange::from_bytes(&whole.to_bytes()), Some(whole));
        for place in [0, 1, 2, 4, 5, 6, 23] {
            let mut other = whole.to_bytes();
            other[place] = 200;
            assert_eq!(StateChange::from_bytes(&other), None, "byte {place}");
        }
    }

    #[test]
    fn latches_make_the_state() {
        assert_eq!(TradingState::of_latches(FailedChecks::NONE), TradingState::Active);
        let daily = FailedChecks::of(RiskCheck::DailyLoss);
        assert_eq!(TradingState::of_latches(daily), TradingState::Reducing);
        assert_eq!(TradingState::of_latches(daily.or(FailedChecks::of(RiskCheck::Loss))), TradingState::Halted);
    }
}
