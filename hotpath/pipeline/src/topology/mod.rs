//! The two groups and the two ways to run them.
//!
//! [`Ingest`] (decode, sync, book, features) and [`Trade`] (inference, decision, risk, journal, venue) are plain structs. [`Fused`]
//! runs both on the calling thread, message by message, to completion; [`Split`] runs [`Trade`] on a thread of its own behind one
//! pair of rings. What crosses is self-contained and goes one way, and both drivers show `Trade` the same events and frames in the
//! same order, so both give the same orders.

mod fused;
mod ingest;
mod pinning;
mod split;
mod trade;

pub use fused::Fused;
pub use ingest::{Ingest, IngestConfig, IngestCounters, IngestError, Source};
pub use pinning::{PinError, Waiting, available_cores, pin_current_thread};
pub use split::{Split, SplitError};
pub use trade::{ColdLink, Observer, Trade, TradeConfig, TradeCounters, TradeError, WindowSchedule};

use crate::stopwatch::Started;
use chronos_market::{Frame, MarketEvent};

/// What `ingest` hands on, in order.
pub trait Crossing {
    /// A market event.
    fn event(&mut self, event: &MarketEvent);
    /// A decision tick, after every event up to `frame.seq`. `started` is when the message (or timer) that fired it began.
    fn frame(&mut self, frame: &Frame, started: Started);
}
