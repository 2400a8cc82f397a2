//! The way out: orders as the bytes a venue takes, signed, and the connection they leave by.
//!
//! An [`OrderEncoder`] holds a [`RequestTemplate`] for everything that can be said about an instrument, so that an order costs its
//! fields and its signature. [`WiredVenue`] puts the encoder and an [`OrderEgress`] in front of a venue that simulates.

mod binance;
mod egress;
mod encode;
mod signer;
mod template;

pub use binance::{
    OrderChannel, OrderEncoder, OrderKind, OrderRequest, OrderResponse, OrderTerms, ReceiveWindow, RequestTemplate,
    SelfTradePrevention,
};
pub use egress::{EgressCounters, OrderConnection, OrderEgress, SentRequest, WiredVenue};
pub use encode::{EncodeError, OrderBytes, encode_order};
pub use signer::{ApiKey, Signature, Signer, SignerError};
pub use template::{Field, Values};
