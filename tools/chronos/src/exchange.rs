//! `chronos exchange`.

use crate::progress::bar;
use anyhow::{Context, Result};
use chronos_exchange::{GeneratedSummary, GeneratorConfig, generate_file};
use clap::{Args, Subcommand};
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
    Generate {
        /// Seed: the same seed gives the same bytes
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Length of the session in seconds
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Symbol the messages name
        #[arg(long, default_value = "BTCUSDT")]
        symbol: String,
        /// File to write; gzip where the name ends in .gz, plain otherwise
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Command::Generate { seed, seconds, symbol, out } = &arguments.command;
    let config = GeneratorConfig { seed: *seed, seconds: *seconds, symbol: symbol.clone(), ..GeneratorConfig::default() };
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

/// Generates with a bar on a terminal.
pub(crate) fn generate_with_progress(config: &GeneratorConfig, path: &Path) -> Result<GeneratedSummary> {
    let bar = bar(1_000, "{bar:40} {percent} %  {eta} left");
    let summary = generate_file(config, path, &mut |done| bar.set_position((done * 1_000.0) as u64));
    bar.finish_and_clear();
    summary.with_context(|| format!("cannot write the capture {}", path.display()))
}
