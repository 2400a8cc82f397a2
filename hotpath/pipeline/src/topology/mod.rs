//! The two groups and the two ways to run them.
//!
//! [`Ingest`] (decode, sync, book, features) and [`Trade`] (inference, decision, risk, journal, venue) are plain structs. [`Fused`]
//! runs both on the calling thread, message by message, to completion; [`Split`] runs [`Trade`] on a thread of its own behind one
//! pair of rings. What crosses is self-contained and goes one way, and both drivers show `Trade` the same events and frames in the
//! same order, so both give the same orders. [`BackPressure`] says what happens where one part is slower than the one before it,
//! [`HotThread`] what a thread asks of its host, [`Waiting`] how it waits.

mod back_pressure;
mod cold_link;
mod fused;
mod hot_thread;
mod ingest;
mod split;
mod trade;
mod waiting;

pub use back_pressure::BackPressure;
pub use cold_link::ColdLink;
pub use fused::Fused;
pub use hot_thread::{Entered, HostError, HotThread, available_cores, lock_memory, pin_current_thread};
pub use ingest::{Ingest, IngestConfig, IngestCounters, IngestError, Source};
pub use split::{Split, SplitError};
pub use trade::{Observer, Trade, TradeConfig, TradeCounters, TradeError, WindowSchedule};
pub use waiting::{SLEEP_US_MAX, SLEEP_US_MIN, SPINS, Waiting, YIELDS};

use crate::decision::Control;
use crate::risk::RiskLimits;
use crate::stopwatch::Started;
use chronos_market::{Frame, MarketEvent, Timestamp};

/// What somebody does to the system, by hand. It is journaled, and done again where a replay follows the journal.
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "self-contained, so that a trade thread it crosses to frees nothing")]
pub enum ByHand {
    /// An order to the system, see [`Trade::control`].
    Control(Control),
    /// Other limits, see [`Trade::set_limits`].
    Limits(RiskLimits),
}

/// What `ingest` hands on, in order.
pub trait Crossing {
    /// A market event.
    fn event(&mut self, event: &MarketEvent);
    /// A decision tick, after every event up to `frame.seq`. `started` is when the message (or timer) that fired it began.
    fn frame(&mut self, frame: &Frame, started: Started);
    /// Messages of a source were lost before they came to ingest; its books are dropped by the events that follow.
    #[cold]
    fn overrun(&mut self, overrun: &Overrun) {
        let _ = overrun;
    }
}

/// Messages that were lost before they came to ingest, for want of room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun {
    /// Logical time.
    pub recv: Timestamp,
    /// Number of the source.
    pub source: u16,
    /// Messages that ingest had taken by then, of all sources.
    pub messages: u64,
}
