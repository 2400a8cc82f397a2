//! Writes the simulated exchange's day as a NASDAQ TotalView-ITCH 5.0 feed: MoldUDP64 packets in a pcap or pcapng file.
//!
//! Every instrument is a [`MatchingEngine`](crate::MatchingEngine) with agents of its own. The day has the order of a real one, and
//! no more length than it needs: system events, the stock directory, the orders that the book opens with, the opening cross,
//! continuous trading with pauses, the closing cross, the end. Orders are added (A, F), executed (E, C), reduced (X), deleted (D)
//! and replaced (U); trades with hidden orders (P), crosses (Q) and broken trades (B) leave the book as it is.
//!
//! The network loses, repeats and swaps packets as often as configured. What a reader should find is told by [`ItchSummary`]: its
//! books are those of the exchange, and a reader's are the same where no packet was dropped. Same configuration, same bytes.
//!
//! ```
//! use chronos_exchange::itch_capture::{ItchConfig, write_itch_capture};
//!
//! let mut capture = Vec::new();
//! let config = ItchConfig { messages: 10_000, gap_rate: 0.01, ..Default::default() };
//! let summary = write_itch_capture(&config, &mut capture, &mut |_| {})?;
//! assert!(summary.messages >= 10_000 && !summary.dropped.is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod feed;
mod market;
mod message;
mod packet_file;
mod udp_frame;

pub use packet_file::PacketContainer;

use crate::output_file::OutputFile;
use chronos_market::{NANOS_PER_SECOND, Price};
use feed::MoldFeed;
use market::Market;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// What to write. The same configuration gives the same bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct ItchConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// The market closes when so many messages are sent. There are more where the opening or what one order does needs more, and
    /// a few for each instrument at the close.
    pub messages: u64,
    /// Instruments, 1 to 10,000: `SIM1`, `SIM2` and so on. Each takes about 0.3 MB of memory.
    pub instruments: u16,
    /// Midnight in New York on the day of the session, nanoseconds since the epoch, 0 or later.
    pub midnight_ns: i64,
    /// MoldUDP64 session: ASCII, padded with spaces on the right.
    pub session: [u8; 10],
    /// What the packets are kept in.
    pub container: PacketContainer,
    /// Id of the VLAN tag in every frame, 0 to 4,094; `None`: frames have no tag.
    pub vlan: Option<u16>,
    /// Part of the packets that is lost, 0 to 1. The rates add up to 1 at most, and concern packets with messages after the stock
    /// directory.
    pub gap_rate: f64,
    /// Part of the packets that arrives twice.
    pub duplicate_rate: f64,
    /// Part of the packets that arrives behind its successor.
    pub reorder_rate: f64,
}

impl Default for ItchConfig {
    /// A million messages of 8 instruments on 2025-01-02, in pcap with nanoseconds, without a tag or a fault.
    fn default() -> Self {
        ItchConfig {
            seed: 1,
            messages: 1_000_000,
            instruments: 8,
            midnight_ns: 1_735_794_000 * NANOS_PER_SECOND,
            session: *b"SIM0000001",
            container: PacketContainer::PcapNanos,
            vlan: None,
            gap_rate: 0.0,
            duplicate_rate: 0.0,
            reorder_rate: 0.0,
        }
    }
}

/// The sequence numbers of one packet's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SequenceRange {
    /// Of the first message.
    pub first: u64,
    /// Of the last message.
    pub last: u64,
}

impl SequenceRange {
    /// How many messages.
    pub fn messages(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// The truth about a capture: what the exchange sent, what the network did, and the books at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItchSummary {
    /// Messages sent; the last one's sequence number.
    pub messages: u64,
    /// Messages sent by type, such as `A`.
    pub messages_by_type: BTreeMap<char, u64>,
    /// Packets with messages that were sent.
    pub packets_sent: u64,
    /// Heartbeats, sent and written.
    pub heartbeats: u64,
    /// Packets in the file: sent, less the dropped, and the duplicates, the heartbeats and three that tell the end of the session.
    pub packets_written: u64,
    /// Packets that were lost, in order.
    pub dropped: Vec<SequenceRange>,
    /// Packets that are in the file twice, one after the other.
    pub duplicated: Vec<SequenceRange>,
    /// Packets that are in the file behind the one sent after them.
    pub reordered: Vec<SequenceRange>,
    /// The books at the end, by stock locate.
    pub books: Vec<FinalBook>,
}

/// What is at rest in one instrument's book at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinalBook {
    /// The instrument's number in messages.
    pub stock_locate: u16,
    /// Its symbol.
    pub symbol: String,
    /// Best bid and the shares there.
    pub bid: Option<(Price, u64)>,
    /// Best ask and the shares there.
    pub ask: Option<(Price, u64)>,
    /// Orders on both sides.
    pub orders: u64,
    /// FNV-1a (64 bits) over all orders, bids first, best price first, then by queue place; of each 17 bytes: `B` or `S`, the
    /// reference number (u64), the shares (u32) and the price in 1e-4 (u32), big-endian.
    pub l3_hash: u64,
}

/// Simulates the session and writes its packets to `out`. `progress` is told the part done, 0 to 1.
///
/// Memory does not grow with the session but for 16 bytes a faulty packet.
///
/// # Errors
/// What `out` says; [`io::ErrorKind::InvalidInput`] for a configuration out of range, naming the field.
pub fn write_itch_capture(config: &ItchConfig, out: &mut impl Write, progress: &mut dyn FnMut(f64)) -> io::Result<ItchSummary> {
    check(config)?;
    Market::new(config, MoldFeed::new(config, out)?).run(config.messages, progress)
}

/// Like [`write_itch_capture`], into a file: gzip where the name ends in `.gz`, zstd where it ends in `.zst`, plain otherwise. A
/// file that is there is replaced.
///
/// # Errors
/// As [`write_itch_capture`], and where the file cannot be made or written.
pub fn write_itch_file(config: &ItchConfig, path: &Path, progress: &mut dyn FnMut(f64)) -> io::Result<ItchSummary> {
    check(config)?;
    let mut file = OutputFile::create(path)?;
    let summary = write_itch_capture(config, &mut file, progress)?;
    file.finish()?;
    Ok(summary)
}

fn check(config: &ItchConfig) -> io::Result<()> {
    let refuse = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("ITCH generator: {message}")));
    if !(1..=10_000).contains(&config.instruments) {
        return refuse("instruments must be 1 to 10,000");
    }
    // The seconds of classic pcap end in 2106.
    if !(0..=4_000_000_000 * NANOS_PER_SECOND).contains(&config.midnight_ns) {
        return refuse("midnight_ns must be nanoseconds since the epoch, 0 or later, before the year 2096");
    }
    if !config.session.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return refuse("session must be printable ASCII");
    }
    if config.vlan.is_some_and(|id| id > 4_094) {
        return refuse("vlan must be 0 to 4,094");
    }
    let rates = [("gap_rate", config.gap_rate), ("duplicate_rate", config.duplicate_rate), ("reorder_rate", config.reorder_rate)];
    if let Some((name, _)) = rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
        return refuse(&format!("{name} must be 0 to 1"));
    }
    if rates.iter().map(|(_, rate)| rate).sum::<f64>() > 1.0 {
        return refuse("gap_rate, duplicate_rate and reorder_rate must not add up to more than 1");
    }
    Ok(())
}
