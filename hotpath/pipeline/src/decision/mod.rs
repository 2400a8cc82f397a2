//! From what is known to what is wanted: the strategy seam, the strategy that ships, and the filter that judges what it opens.

mod meta;
mod threshold;

pub use meta::{META_THRESHOLD, MetaCounters, MetaError, MetaFilter, MetaModel, PRIMARY_SIDE, PRIMARY_STRENGTH};
pub use threshold::{ThresholdConfig, ThresholdStrategy};

use crate::account::AccountView;
use chronos_inference::Prediction;
use chronos_market::{ExecutionReport, Frame, InstrumentId, MarketEvent, ParameterBlock, Price, Qty, Side, TimeInForce, Timestamp};

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

/// A strategy's own number for a timer; setting it again moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerId(pub u16);

/// Orders to the system itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Control {
    /// New orders may only make positions smaller.
    Reduce = 0,
    /// No new orders.
    Halt = 1,
    /// Trade again.
    Resume = 2,
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
