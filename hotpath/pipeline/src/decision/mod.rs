//! From what is known to what is wanted: the strategy seam, the strategy that ships, and the filter that judges what it opens.

mod meta;
mod threshold;

pub use meta::{META_THRESHOLD, MetaCounters, MetaError, MetaFilter, MetaModel, PRIMARY_SIDE, PRIMARY_STRENGTH, SentOrder};
pub use threshold::{SIGNAL_FEATURES, ThresholdConfig, ThresholdStrategy, cautious_signal, feature_signal};

use crate::account::AccountView;
use chronos_inference::Prediction;
use chronos_market::{
    Exchange, ExecutionReport, Frame, InstrumentId, MarketEvent, ParameterBlock, Price, Qty, Side, TimeInForce, Timestamp,
};

/// Decides.
///
/// It sees logical time only, one input after another in the one order of things, and answers through `out`. The same inputs must
/// give the same answers: no clock, no randomness of its own, no memory shared with others.
pub trait Strategy {
    /// Takes one input at `now`.
    fn on_input(&mut self, now: Timestamp, input: Input<'_>, view: &AccountView<'_>, out: &mut OrderBuffer);
}

/// What a strategy is told.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The market changed.
    Market(&'a MarketEvent),
    /// A decision tick, with the model's answer where there is a model and it is warm and well.
    Decision(&'a Frame, Option<&'a Prediction>),
    /// The venue reported on one of our orders.
    Report(&'a ExecutionReport),
    /// A timer set through [`OrderBuffer::set_timer`] is due.
    Timer(TimerId),
    /// New parameters are in force.
    Parameters(&'a ParameterBlock),
    /// Somebody gave an order to the system.
    Control(Control),
}

/// The number of a strategy, below [`STRATEGIES_MAX`]; 0 where there is one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct StrategyId(pub u16);

/// Strategies that can be told apart in one session.
pub const STRATEGIES_MAX: usize = 64;

/// A strategy's own number for a timer; setting it again moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerId(pub u16);

/// A part of the system that has a kill switch of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// One strategy, on every instrument.
    Strategy(StrategyId),
    /// One instrument.
    Instrument(InstrumentId),
    /// Every instrument of a venue.
    Venue(Exchange),
}

/// Orders to the system itself, given by hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// New orders may only make positions smaller.
    Reduce,
    /// No new orders.
    Halt,
    /// Trade again: lifts what holds for the whole system, whatever latched it.
    Resume,
    /// No new orders in this part.
    Kill(Scope),
    /// Trade again in this part.
    Restore(Scope),
}

/// Length of [`Control::to_bytes`].
pub const CONTROL_BYTES: usize = 4;

impl Control {
    /// As the journal holds it, little-endian: what u8 (0 reduce, 1 halt, 2 resume, 3 kill, 4 restore), kind of scope u8 (0 whole
    /// system, 1 strategy, 2 instrument, 3 venue), its number u16.
    pub fn to_bytes(self) -> [u8; CONTROL_BYTES] {
        let (what, scope) = match self {
            Control::Reduce => (0, None),
            Control::Halt => (1, None),
            Control::Resume => (2, None),
            Control::Kill(scope) => (3, Some(scope)),
            Control::Restore(scope) => (4, Some(scope)),
        };
        let (kind, number) = Scope::code(scope);
        let [low, high] = number.to_le_bytes();
        [what, kind, low, high]
    }

    /// Reads [`Control::to_bytes`]; `None` where the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Control> {
        let [what, kind, low, high] = *<&[u8; CONTROL_BYTES]>::try_from(bytes).ok()?;
        match (what, Scope::of_code(kind, u16::from_le_bytes([low, high]))?) {
            (0, None) => Some(Control::Reduce),
            (1, None) => Some(Control::Halt),
            (2, None) => Some(Control::Resume),
            (3, Some(scope)) => Some(Control::Kill(scope)),
            (4, Some(scope)) => Some(Control::Restore(scope)),
            _ => None,
        }
    }
}

impl Scope {
    /// Kind and number of a scope in journals; zeros for the whole system.
    pub(crate) fn code(scope: Option<Scope>) -> (u8, u16) {
        match scope {
            None => (0, 0),
            Some(Scope::Strategy(id)) => (1, id.0),
            Some(Scope::Instrument(id)) => (2, id.0),
            Some(Scope::Venue(venue)) => (3, venue as u16),
        }
    }

    /// Reads [`Scope::code`]; `None` where it is none.
    pub(crate) fn of_code(kind: u8, number: u16) -> Option<Option<Scope>> {
        Some(match kind {
            0 if number == 0 => None,
            1 => Some(Scope::Strategy(StrategyId(number))),
            2 => Some(Scope::Instrument(InstrumentId(number))),
            3 => Some(Scope::Venue(*Exchange::ALL.get(usize::from(number))?)),
            _ => return None,
        })
    }
}

/// What a strategy wants done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Intent {
    /// Place an order.
    Place(OrderIntent),
    /// Cancel every order of ours at rest on an instrument.
    CancelAll(InstrumentId),
}

/// An order a strategy wants; it gets its identity when it passes risk.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OrderIntent {
    /// The strategy that wants it.
    pub strategy: StrategyId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Limit price.
    pub price: Price,
    /// Quantity.
    pub qty: Qty,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Whether it may only make the position smaller.
    pub reduce_only: bool,
    /// The signal it rests on, kept with the order.
    pub signal: f64,
}

/// Room for intents in an [`OrderBuffer`].
pub const INTENTS_MAX: usize = 32;
/// Room for timers.
pub const TIMERS_MAX: usize = 64;

/// A fixed-capacity list of what a strategy wants. What finds no room is dropped and counted, and the count is reported.
#[derive(Debug)]
pub struct OrderBuffer {
    intents: Vec<Intent>,
    timers: Vec<(TimerId, Timestamp)>,
    /// What found no room.
    dropped: u64,
    /// Decisions whose signal was strong enough to act on, whether or not an order came of it.
    signals: u64,
}

impl Default for OrderBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl OrderBuffer {
    /// An empty buffer, its memory taken.
    pub fn new() -> OrderBuffer {
        OrderBuffer { intents: Vec::with_capacity(INTENTS_MAX), timers: Vec::with_capacity(TIMERS_MAX), dropped: 0, signals: 0 }
    }

    /// Wants an order placed.
    #[inline]
    pub fn place(&mut self, order: OrderIntent) {
        self.push(Intent::Place(order));
    }

    /// Wants every order at rest on an instrument cancelled.
    #[inline]
    pub fn cancel_all(&mut self, instrument: InstrumentId) {
        self.push(Intent::CancelAll(instrument));
    }

    /// Asks for [`Input::Timer`] at `deadline`, in place of an earlier request with the same number.
    #[inline]
    pub fn set_timer(&mut self, id: TimerId, deadline: Timestamp) {
        if self.timers.len() == TIMERS_MAX {
            self.dropped += 1;
        } else {
            self.timers.push((id, deadline));
        }
    }

    /// Counts a decision whose signal was strong enough to act on.
    #[inline]
    pub fn count_signal(&mut self) {
        self.signals += 1;
    }

    /// What is wanted, in order.
    pub fn intents(&self) -> &[Intent] {
        &self.intents
    }

    /// The timers asked for, in order.
    pub fn timers(&self) -> &[(TimerId, Timestamp)] {
        &self.timers
    }

    /// How much found no room so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Signals counted so far.
    pub fn signals(&self) -> u64 {
        self.signals
    }

    /// Lets `keep` change each intent from place `first` on, and drops those for which it says no.
    #[inline]
    pub(super) fn retain_from(&mut self, first: usize, mut keep: impl FnMut(&mut Intent) -> bool) {
        let mut place = 0;
        self.intents.retain_mut(|intent| {
            let is_earlier = place < first;
            place += 1;
            is_earlier || keep(intent)
        });
    }

    /// Empties the lists; the counts stay.
    #[inline]
    pub fn clear(&mut self) {
        self.intents.clear();
        self.timers.clear();
    }

    #[inline]
    fn push(&mut self, intent: Intent) {
        if self.intents.len() == INTENTS_MAX {
            self.dropped += 1;
        } else {
            self.intents.push(intent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_read_back() {
        let scopes = [Scope::Strategy(StrategyId(7)), Scope::Instrument(InstrumentId(300)), Scope::Venue(Exchange::Kraken)];
        let of_parts = scopes.into_iter().flat_map(|scope| [Control::Kill(scope), Control::Restore(scope)]);
        for control in [Control::Reduce, Control::Halt, Control::Resume].into_iter().chain(of_parts) {
            assert_eq!(Control::from_bytes(&control.to_bytes()), Some(control));
        }
        for bytes in [&[0, 1, 0, 0][..], &[3, 0, 0, 0], &[3, 3, 200, 0], &[9, 0, 0, 0], &[0, 0, 0]] {
            assert_eq!(Control::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
