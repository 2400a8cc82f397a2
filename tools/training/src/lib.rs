//! Neural models: trained, judged and exported for the hot path.
//!
//! Empty without the feature `train`, which brings burn.
#![cfg(feature = "train")]

pub mod device;
pub mod fit;
pub mod inspect;
pub mod losses;
pub mod network;
pub mod operations;
pub mod optimiser;
pub mod parameters;
pub mod published;
pub mod recurrent;
pub mod ticks;
pub mod uncertainty;
