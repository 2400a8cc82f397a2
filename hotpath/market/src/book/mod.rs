//! Order books: books of levels and of orders, the machines that keep them in sync with their venue, and the witness they are
//! checked against.

mod id_index;
mod l2;
mod l3;
mod price_order;
mod quote_check;
mod sync;

pub use l2::{BookFull, DepthView, L2Book, LEVELS_MAX, TOP_LEVELS};
pub use l3::{LevelTouch, ORDERS_MAX, OrderBook, OrderBookError, OrderLevel, QueueAhead, Touched};
pub use quote_check::{Mismatch, QuoteCheck};
pub use sync::{BookEvent, BookSync, PENDING_LEVELS_MAX, PENDING_MESSAGES_MAX, SyncCounters, SyncOutcome};
