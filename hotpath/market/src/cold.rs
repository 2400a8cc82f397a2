//! What crosses between the hot path and the cold path: records one way, parameter blocks the other.
//!
//! The hot side's clock is the authority. When logical time passes the end of an event-time window, the hot side sends
//! [`ColdRecord::WindowEnd`]; the cold side answers each with exactly one [`ParameterBlock`], computed from the
//! [`ColdRecord::Sample`]s before it alone. The hot side waits for a block only when logical time reaches its `effective_ns`, so
//! what a replay does never depends on the scheduler.

use crate::event::MarketEvent;
use crate::instrument::InstrumentId;
use crate::order::{ExecutionReport, OrderCommand};
use crate::time::Timestamp;

/// Length of the regime embedding that the step graph takes.
pub const REGIME_EMBEDDING: usize = 128;

/// One record from the hot path to the cold path.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ColdRecord {
    /// A market event, sent only while recording.
    Market(MarketEvent),
    /// The mid price at a decision tick with a synced, two-sided book.
    Sample {
        /// Logical time.
        recv: Timestamp,
        /// The instrument.
        instrument: InstrumentId,
        /// Middle of best bid and ask.
        mid: f64,
    },
    /// The event-time window is over: answer with a block.
    WindowEnd(Window),
    /// A command went to the venue.
    Order {
        /// When.
        now: Timestamp,
        /// What.
        command: OrderCommand,
    },
    /// The venue reported.
    Report(ExecutionReport),
    /// A decision tick was dealt with, and how long that took; sent only while recording.
    Decision(DecisionTelemetry),
}

/// How long a decision tick took: measured, so it differs from run to run and nothing may depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecisionTelemetry {
    /// Logical time of the tick.
    pub recv: Timestamp,
    /// The instrument.
    pub instrument: InstrumentId,
    /// `seq` of the last event before the tick.
    pub seq: u64,
    /// One step of the model, in nanoseconds; 0 without one.
    pub inference_ns: u64,
    /// From the message, or the timer, that fired the tick to the end of the decision, in nanoseconds.
    pub tick_ns: u64,
}

/// An event-time window, and when what is learnt from it takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Number of the window since the epoch: `end / length - 1`.
    pub index: i64,
    /// First instant after the window.
    pub end: Timestamp,
    /// When the block computed from it takes effect.
    pub effective: Timestamp,
}

/// What the market is like, by indicators.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Regime {
    /// Not enough seen yet.
    #[default]
    Unknown = 0,
    /// No direction, ordinary volatility.
    Sideways = 1,
    /// Rising.
    TrendingUp = 2,
    /// Falling.
    TrendingDown = 3,
    /// Volatility far above its own recent level.
    HighVolatility = 4,
}

impl Regime {
    /// Every regime, in the order of their numbers.
    pub const ALL: [Regime; 5] =
        [Regime::Unknown, Regime::Sideways, Regime::TrendingUp, Regime::TrendingDown, Regime::HighVolatility];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Regime::Unknown => "unknown",
            Regime::Sideways => "sideways",
            Regime::TrendingUp => "trending_up",
            Regime::TrendingDown => "trending_down",
            Regime::HighVolatility => "high_volatility",
        }
    }
}

/// Parameters for the hot path, computed once and never changed after.
#[derive(Clone, PartialEq, Debug)]
pub struct ParameterBlock {
    /// Place among the session's blocks, from 1.
    pub seq: u64,
    /// The window it was computed from, and when it takes effect.
    pub window: Window,
    /// Regime of the market in that window (of the session's first instrument).
    pub regime: Regime,
    /// Factor on the size of new orders, 0 to 1.
    pub size_scale: f64,
    /// Input `regime` of the step graph.
    pub embedding: [f32; REGIME_EMBEDDING],
}

impl ParameterBlock {
    /// What holds before the first block takes effect: regime unknown, full size, embedding of zeros.
    pub fn initial() -> ParameterBlock {
        ParameterBlock {
            seq: 0,
            window: Window { index: -1, end: Timestamp::MIN, effective: Timestamp::MIN },
            regime: Regime::Unknown,
            size_scale: 1.0,
            embedding: [0.0; REGIME_EMBEDDING],
        }
    }
}
