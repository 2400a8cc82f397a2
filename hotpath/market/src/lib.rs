//! Market data as the hot path sees it: fixed-point types, decoders, books, features, and the seams between the stages.
//!
//! Data flows one way: a [`decode`] file turns a venue's message into a whole [`decode::Message`], [`book`] keeps the level book in
//! sync and turns messages into [`MarketEvent`]s, [`features`] and [`bars`] follow the events, and at each decision [`tick`] a
//! [`Frame`] holds all that the trading side may know. Nothing here opens a file, a socket or a clock.

pub mod bars;
pub mod book;
mod cold;
pub mod decode;
mod event;
pub mod features;
mod fixed;
mod frame;
mod instrument;
mod order;
pub mod tick;
mod time;
mod venue;

pub use cold::{ColdRecord, DecisionTelemetry, ParameterBlock, REGIME_EMBEDDING, Regime, Window};
pub use event::{EventFlags, EventKind, MarketEvent, Side};
pub use features::{FeatureConfig, FeatureEngine, FeatureSpec, FeatureWindow, Unit};
pub use fixed::{FixedError, PRICE_DECIMALS, PRICE_SCALE, Price, QTY_DECIMALS, QTY_SCALE, Qty};
pub use frame::{Bbo, BookState, FEATURES_MAX, Frame, Level, StaleReason};
pub use instrument::{
    Contract, Exchange, INSTRUMENTS_MAX, Instrument, InstrumentHistory, InstrumentId, InstrumentTerms, Market, MarketKind,
};
pub use order::{
    COMMAND_BYTES, ExecutionReport, NewOrder, OrderCommand, OrderId, REPORT_BYTES, ReportKind, TimeInForce, canonical_command,
    canonical_report, read_canonical_command, read_canonical_report,
};
pub use tick::{TickClock, TickConfig, TickDecision};
pub use time::{NANOS_PER_MILLI, NANOS_PER_SECOND, TimeUnit, Timestamp};
pub use venue::{REPORTS_MAX, ReportBuffer, SubmitError, Venue};
