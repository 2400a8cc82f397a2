//! The published estimators behind the features, each as the smallest function or state that computes it.
//!
//! The streaming features call these; the golden tests compare these with the field's own libraries.

mod ohlc;
mod pair_sums;
mod principal;
mod spread;
mod trade_sign;

pub use ohlc::{EwmaVariance, OhlcVolatility};
pub use pair_sums::PairSums;
pub use principal::PrincipalWeights;
pub use spread::{amihud, corwin_schultz, corwin_schultz_alpha, effective_spread, price_impact, realized_spread, roll_spread};
pub use trade_sign::{TickRule, TradeSide, lee_ready};
