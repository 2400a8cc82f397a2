//! Everything that may block: recording, the market regime, parameters for the hot path.
