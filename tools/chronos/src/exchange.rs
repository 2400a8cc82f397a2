//! `chronos exchange`.

use crate::progress::bar;
use anyhow::{Context, Result};
use chronos_exchange::itch_capture::{ItchConfig, ItchSummary, PacketContainer, SequenceRange, write_itch_file};
use chronos_exchange::{GeneratedSummary, GeneratorConfig, generate_file, parse_byte_size};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `chronos exchange`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulate a market and write it as a raw Binance USD-M capture
    Generate(GenerateArguments),
    /// Simulate a market and write it as a NASDAQ ITCH 5.0 feed: MoldUDP64 packets in a pcap or pcapng file
    Itch(ItchArguments),
}

#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos exchange generate --bytes 10GB --symbols 4 --out long.zst
  chronos exchange generate --plant 0.3 --seconds 600 --out signal.gz
  chronos exchange generate --plant 0 --seconds 600 --out noise.gz

With --plant the mid moves about once a second by a fair coin; takers lean towards its next move by the strength, and at 0 nothing
that is seen of the market says anything of what comes: whoever finds skill there has deceived himself.

Memory does not grow with the length. Symbols after the first are markets of their own, named
SIM2USDT, SIM3USDT and so on; with several, the snapshots name theirs.")]
struct GenerateArguments {
    /// Seed: the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of the session in seconds [default: 60, or as long as --bytes needs]
    #[arg(long)]
    seconds: Option<u32>,
    /// End where the capture has this size before compression, such as 500MB or 10GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_byte_size)]
    bytes: Option<u64>,
    /// Symbol the messages name
    #[arg(long, default_value = "BTCUSDT")]
    symbol: String,
    /// How many symbols
    #[arg(long, value_name = "N", default_value_t = 1)]
    symbols: u16,
    /// Plant a signal of this strength, 0 (none at all) to 1: order flow leans towards the mid's next move, and nothing else tells it
    #[arg(long, value_name = "STRENGTH")]
    plant: Option<f64>,
    /// File to write; gzip where the name ends in .gz, zstd where it ends in .zst, plain otherwise
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange itch --messages 10000000 --out feed.pcap
  chronos exchange itch --gap-rate 0.001 --reorder-rate 0.01 --vlan 7 --json --out feed.pcapng.zst

A rate is a part of the packets that carry messages, 0 to 1; the stock directory always arrives.
What is printed is the truth that a reader of the file can be checked against. Its books are those
of the exchange: a reader's are the same where nothing was dropped.")]
struct ItchArguments {
    /// Seed: the same seed gives the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Close the market after so many messages
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    messages: u64,
    /// How many instruments
    #[arg(long, value_name = "N", default_value_t = 8)]
    instruments: u16,
    /// Part of the packets that is lost
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    gap_rate: f64,
    /// Part of the packets that arrives behind its successor
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    reorder_rate: f64,
    /// Part of the packets that arrives twice
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    duplicate_rate: f64,
    /// Tag frames with this VLAN
    #[arg(long, value_name = "ID")]
    vlan: Option<u16>,
    /// File to write: .pcap (nanoseconds) or .pcapng; with .gz or .zst behind it compressed
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print what the file holds as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Generate(arguments) => run_generate(arguments),
        Command::Itch(arguments) => run_itch(arguments),
    }
}

fn run_generate(arguments: &GenerateArguments) -> Result<()> {
    let GenerateArguments { seed, seconds, bytes, symbol, symbols, plant, out } = arguments;
    let seconds_default = if bytes.is_some() { u32::MAX } else { GeneratorConfig::default().seconds };
    let config = GeneratorConfig {
        seed: *seed,
        seconds: seconds.unwrap_or(seconds_default),
        max_bytes: *bytes,
        symbol: symbol.clone(),
        symbols: *symbols,
        plant: *plant,
        ..GeneratorConfig::default()
    };
    let summary = generate_with_progress(&config, out)?;
    println!(
        "{}: {} lines ({} depth updates, {} quotes, {} trades, {} snapshots)",
        out.display(),
        summary.lines,
        summary.depth_updates,
        summary.book_tickers,
        summary.trades,
        summary.snapshots
    );
    Ok(())
}

fn run_itch(arguments: &ItchArguments) -> Result<()> {
    let container = PacketContainer::of_path(&arguments.out)
        .with_context(|| format!("{}: the name must end in .pcap or .pcapng (or that and .gz or .zst)", arguments.out.display()))?;
    let config = ItchConfig {
        seed: arguments.seed,
        messages: arguments.messages,
        instruments: arguments.instruments,
        container,
        vlan: arguments.vlan,
        gap_rate: arguments.gap_rate,
        duplicate_rate: arguments.duplicate_rate,
        reorder_rate: arguments.reorder_rate,
        ..ItchConfig::default()
    };
    let summary = with_progress(&arguments.out, |progress| write_itch_file(&config, &arguments.out, progress))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&itch_json(&summary))?);
        return Ok(());
    }
    println!(
        "{}: {} messages of {} instruments in {} packets ({} dropped, {} duplicated, {} reordered)",
        arguments.out.display(),
        summary.messages,
        summary.books.len(),
        summary.packets_sent,
        summary.dropped.len(),
        summary.duplicated.len(),
        summary.reordered.len()
    );
    Ok(())
}

/// The truth as JSON: ranges as `[first, last]`, prices as decimal texts, hashes in hex.
fn itch_json(summary: &ItchSummary) -> Value {
    let ranges = |ranges: &[SequenceRange]| -> Vec<[u64; 2]> { ranges.iter().map(|range| [range.first, range.last]).collect() };
    let books: Vec<Value> = summary
        .books
        .iter()
        .map(|book| {
            json!({
                "stock_locate": book.stock_locate,
                "symbol": book.symbol,
                "bid": book.bid.map(|(price, _)| price.to_string()),
                "bid_shares": book.bid.map(|(_, shares)| shares),
                "ask": book.ask.map(|(price, _)| price.to_string()),
                "ask_shares": book.ask.map(|(_, shares)| shares),
                "orders": book.orders,
                "l3_hash": format!("{:016x}", book.l3_hash),
            })
        })
        .collect();
    let by_type: serde_json::Map<String, Value> =
        summary.messages_by_type.iter().map(|(kind, &count)| (kind.to_string(), count.into())).collect();
    json!({
        "messages": summary.messages,
        "messages_by_type": by_type,
        "packets_sent": summary.packets_sent,
        "packets_written": summary.packets_written,
        "heartbeats": summary.heartbeats,
        "dropped": ranges(&summary.dropped),
        "duplicated": ranges(&summary.duplicated),
        "reordered": ranges(&summary.reordered),
        "books": books,
    })
}

/// Generates with a bar on a terminal.
pub(crate) fn generate_with_progress(config: &GeneratorConfig, path: &Path) -> Result<GeneratedSummary> {
    with_progress(path, |progress| generate_file(config, path, progress))
}

/// Writes a capture with a bar on a terminal.
fn with_progress<T>(path: &Path, write: impl FnOnce(&mut dyn FnMut(f64)) -> std::io::Result<T>) -> Result<T> {
    let bar = bar(1_000, "{bar:40} {percent} %  {eta} left");
    let written = write(&mut |done| bar.set_position((done * 1_000.0) as u64));
    bar.finish_and_clear();
    written.with_context(|| format!("cannot write the capture {}", path.display()))
}
