//! Order books: the level book, the machine that keeps it in sync with its venue, and the witness it is checked against.

mod blocks;
mod l2;
mod ladder;
mod quote_check;
mod sync;

pub use l2::{BookFull, DepthView, L2Book, LEVELS_MAX, TOP_LEVELS};
pub use quote_check::{Mismatch, QuoteCheck};
pub use sync::{BookEvent, BookSync, PENDING_LEVELS_MAX, PENDING_MESSAGES_MAX, SyncCounters, SyncOutcome};
