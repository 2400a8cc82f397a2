//! Everything that may block: recording, the market regime, parameters for the hot path.
//!
//! One supervised thread. It drains the hot path's [`ColdRecord`](chronos_market::ColdRecord)s, records them where that is wanted
//! ([`store`]), follows the market's [`regime`] over event-time windows, and answers each `WindowEnd` with exactly one
//! [`ParameterBlock`](chronos_market::ParameterBlock), computed from the samples before it alone. When the thread runs, how fast,
//! and in what portions it reads changes nothing of what it answers.
//!
//! [`cold_links`] makes the rings, [`ColdPath::start`] the thread, and [`ColdHandle::join`] tells how it went once the hot side
//! has dropped its ends. Nothing here makes the hot side wait for longer than a record takes to process, and a failure is seen
//! there at once: the ring of blocks is abandoned.

mod blocks;
mod error;
mod links;
mod quarantine;
pub mod regime;
pub mod store;
mod thread;

pub use error::{ColdError, Part};
pub use links::{BLOCKS, ColdLinks, HotEnds, QUARANTINE_CAPACITY, RECORDS_CAPACITY, cold_links};
pub use quarantine::{QUARANTINE_FILE_BYTES_MAX, QUARANTINE_RAW_MAX, push_quarantine};
pub use regime::RegimeConfig;
pub use store::RecordConfig;
pub use thread::{ColdConfig, ColdHandle, ColdPath, ColdSummary};
