//! Bars for research.

mod time_text;

pub use time_text::time_ns;
