//! What the benches share: captures, pacing and the table they print.
