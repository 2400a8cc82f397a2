//! A simulated exchange: matching engine, agents, capture generator and the venue that fills our orders in a replay.
//!
//! # A market from a seed
//! [`generate`] runs makers, patient orders and takers against a [`MatchingEngine`] and writes what a recorder on Binance's USD-M
//! streams would have written: `depthUpdate`, `bookTicker` and `trade` lines and one REST snapshot in mid-stream, each with its
//! receive time. Trades, quotes and depth agree because one engine made them: a reader that follows the published rules finds no
//! gap, no crossed book, and at equal update ids the quote's own best prices and sizes. Same configuration, same bytes.
//!
//! ```
//! use chronos_exchange::{GeneratorConfig, generate};
//!
//! let mut capture = Vec::new();
//! let summary = generate(&GeneratorConfig { seconds: 2, ..Default::default() }, &mut capture, &mut |_| {})?;
//! assert_eq!(summary.snapshots, 1);
//! assert_eq!(capture.iter().filter(|&&byte| byte == b'\n').count() as u64, summary.lines);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What is kinder than a real market: a price that everyone guesses at leads the flow, so order flow predicts returns far better
//! than it does outside; the spread is seldom above three ticks; nobody reacts to our orders; the wire never loses or reorders a
//! message, and its delay has no long tail. A figure found here says that the pipeline works, never that a strategy pays.
//!
//! [`GeneratorConfig::plant`] makes a market of another kind, for trying out a search for skill: with a signal of known strength in it, or
//! with none at all, so that whoever finds one there has deceived himself.
//!
//! With [`GeneratorConfig::symbols`] there are several such markets in one capture, and with [`GeneratorConfig::max_bytes`] it is as
//! long as a test of memory or throughput needs.
//!
//! The same agents on NASDAQ, where they also replace and reduce orders: [`itch_capture`] writes every order as ITCH 5.0 messages in
//! MoldUDP64 packets, loses, repeats and swaps packets on the way, and tells what a reader should find.
//!
//! # A venue for a replay
//! [`SimulatedVenue`] takes our orders during a replay, of a generated capture or a real one, and fills them after a configured
//! latency against its own copy of the book, with queue positions, fees, and no liquidity taken twice. Its rules, and what is
//! optimistic about them, stand at the type.

mod agents;
mod byte_size;
mod capture;
pub mod itch_capture;
mod matching_engine;
mod output_file;
mod planted;
mod simulated_venue;

pub use byte_size::parse_byte_size;
pub use capture::{GeneratedSummary, GeneratorConfig, generate, generate_file};
pub use matching_engine::{EngineEvent, EngineRefusal, EngineRequest, MatchingEngine, OrderType};
pub use simulated_venue::{SimulatedVenue, SimulatedVenueConfig, VenueConfigError};
