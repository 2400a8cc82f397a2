//! Streaming features.
