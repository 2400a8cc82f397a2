//! Order books: books of levels and of orders, the machines that keep them in sync with their venue, and the witness they are
//! checked against.

mod best_change;
mod checksum;
mod continuity;
mod id_index;
mod l2;
mod l3;
mod ladder;
mod lifecycle;
mod market_book;
mod order_sync;
mod partial;
mod quote_check;
mod sorted_blocks;
mod stream;
mod sync;

pub use checksum::book_checksum;
pub use l2::{BookFull, DepthView, L2Book, LEVELS_MAX, TOP_LEVELS};
pub use l3::{LevelTouch, ORDERS_MAX, OrderBook, OrderBookError, OrderLevel, QueueAhead, Touched};
pub use market_book::MarketBook;
pub use order_sync::{OrderSync, PENDING_ORDERS_MAX, WITHHELD_MAX, WITHHELD_MESSAGES_MAX};
pub use partial::{PARTIAL_LEVELS_MAX, PartialBook};
pub use quote_check::{Mismatch, QuoteCheck};
pub use stream::StreamSync;
pub use sync::{BookEvent, BookSync, PENDING_LEVELS_MAX, PENDING_MESSAGES_MAX, SyncCounters, SyncOutcome};
