//! The way out: orders as the bytes a venue takes.

mod encode;

pub use encode::{EncodeError, OrderBytes, encode_order};
