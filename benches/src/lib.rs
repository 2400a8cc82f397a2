//! What the benches share: the inputs they run on, and the table of latencies they print.
//!
//! `cargo bench -p chronos-benches --bench stages` measures each stage alone, `--bench journal` the journal (`-- --capture` on the whole
//! path), `decoding`, `itch`, `order_book` and `features` what a message, a change and a row cost, to the nanosecond,
//! `--bench step` one step of the model on every engine, `--bench tick_to_trade` the whole path on a capture; `labels`, `validation`
//! and `trees` measure research beside Python on the same input, and `training` (feature `train`) a step of training beside PyTorch.
//! Figures, and how they were taken, are in `BENCHMARKS.md`.

pub mod input;
pub mod measure;
pub mod table;
