//! Streaming features: one registry that names them, one engine that keeps them.
//!
//! [`registry`] lists every feature in the order of [`Frame::features`](crate::Frame::features), each with its unit, window,
//! formula and source. A model's manifest holds names, versions and the [`features_hash`] over them, so that a feature that
//! changed its formula, or took another place, is refused.
//!
//! [`FeatureEngine`] is told of whole book batches, trades and quotes, each in constant time and without allocation, and writes
//! all values at a decision tick. A value is a function of the events since the last reset and of the tick's logical time, and
//! of nothing else.
//!
//! Time windows are 64 buckets wide, the newest one under way, with edges on multiples of a 64th of the window since the epoch:
//! a window of 1 s at `now` holds the events of the last 0.984 s to 1 s.
//! Windows of bars are over bars of [`BAR_TRADES`] trades.

mod bar_impact;
mod bar_volatility;
mod calendar;
mod engine;
pub mod estimators;
mod imbalance;
mod intensity;
mod ofi;
mod quote;
mod registry;
mod shape;
mod spread;
mod trade_flow;
mod volatility;
mod vpin;
pub(crate) mod window;

pub use engine::{FeatureConfig, FeatureEngine};
pub use imbalance::imbalance;
pub use ofi::{mean_depth, order_flow};
pub use quote::microprice;
pub use registry::{
    FEATURE_COUNT, FeatureSpec, FeatureWindow, Unit, features_hash, index_of, levels_needed, registry, registry_hash,
};
pub use vpin::{CALIBRATION_TRADES, TRADES_PER_BUCKET, Vpin, bulk_buy_share};

/// Trades of the bars that features are computed from.
pub const BAR_TRADES: u64 = 25;
