//! Order books: the level book, the machine that keeps it in sync with its venue, and the oracle that checks it.

mod l2;

pub use l2::{BookFull, DepthView, L2Book, LEVELS_MAX, TOP_LEVELS};
