//! What happens where a part of the path is slower than the one before it.
//!
//! | between | [`Lossless`](BackPressure::Lossless), a replay | [`Live`](BackPressure::Live) |
//! | --- | --- | --- |
//! | the wire and decoding | the reader waits | nothing is conflated: whoever lost messages for want of room says so (`on_overrun`), and every book of that source is [`Stale(Overrun)`](chronos_market::StaleReason::Overrun) until its next snapshot; journaled with its place |
//! | ingest and trade, events | ingest waits | ingest waits: its own source then overflows, which is the row above |
//! | ingest and trade, frames | ingest waits; every frame is dealt with | as events; but a frame is skipped where a newer one of its instrument is at hand, counted and journaled |
//! | orders, reports, control | within trade, never conflated | the same |
//! | trade and the cold path, telemetry | trade waits | dropped and counted where the ring is nearly full |
//! | trade and the cold path, samples and window ends | trade waits | they have the last eighth of the ring to themselves; dropped, counted and journaled where that is full too |
//! | the cold path and trade, parameters | trade waits for the block that is due | a late block takes effect at the first event after it came, journaled with its time |
//!
//! What a live session left out or did late is in its journal, and a replay of its capture that follows it
//! ([`JournalFollower`](crate::journal::JournalFollower)) does the same again.

/// What a full ring does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum BackPressure {
    /// Whoever pushes waits: for replays, whose orders must not depend on how fast a thread is.
    #[default]
    Lossless,
    /// Nothing waits for the cold path, and a frame gives way to a newer one: for sessions that cannot make the market wait.
    Live,
}
