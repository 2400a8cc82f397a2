//! Every venue's decoder against a slow one that shares no code with it, on hand-written messages, on changed ones, and on the
//! whole of the real captures.

mod bitfinex;
mod bitstamp;
mod kraken;
mod lobster;
mod reference;
