//! `chronos bars`.

use crate::page::write_page;
use crate::progress::with_capture_bar;
use crate::samples::{HistoryArguments, first_history};
use crate::tables::listing;
use anyhow::{Result, bail};
use chronos_research::bars::{
    CaptureBars, History, Ohlcv, RULES_TEXT, capture_bars, coarser_bars, parse_rule, read_history, write_bars,
};
use chronos_research::html::{BarsPage, bars_page};
use chronos_research::write_whole_file;
use chronos_session::config::Config;
use chronos_session::format::count;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `chronos bars`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos bars market.gz --rule time:1s --out seconds.csv
  chronos bars market.gz --rule imbalance:volume --html bars.html
  chronos bars seconds.csv --rule volume:20 --out bars.csv

A history is a CSV file, plain or in Zstandard, with columns for a time, open, high, low, close and volume.")]
pub(crate) struct Arguments {
    /// Captures (files, and folders of files), or one history of finer bars
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[arg(long, default_value = "time:60s", help = format!("When a bar closes: {RULES_TEXT}"))]
    rule: String,
    /// CSV file to write, of one instrument
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Configuration file; its section `instruments` is used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Follow these symbols alone, as the venue or the columns of a history write them [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    #[command(flatten)]
    history: HistoryArguments,
    /// Stop after so many lines of captures
    #[arg(long, value_name = "LINES")]
    limit: Option<u64>,
    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let rule = parse_rule(&arguments.rule)?;
    let mut notices = Vec::new();
    let made = match first_history(&arguments.paths)? {
        Some(path) => {
            let history = read_history(path, &arguments.history.options(arguments.symbols.as_deref())?)?;
            notices.extend(told(&history));
            let bars = coarser_bars(&history.bars, rule)?;
            let instrument = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            vec![CaptureBars { instrument, bars, trades: history.bars.len() as u64 }]
        }
        None => {
            let mut config = match &arguments.config {
                Some(path) => Config::load(path)?,
                None => Config::default(),
            };
            if let Some(symbols) = &arguments.symbols {
                config.source.symbols.clone_from(symbols);
            }
            let (made, followed) =
                with_capture_bar("lines", |progress| capture_bars(&arguments.paths, &config, rule, arguments.limit, progress))?;
            notices.extend(followed.notices);
            made
        }
    };
    if let Some(path) = &arguments.out {
        let [one] = &made[..] else {
            let names: Vec<&str> = made.iter().map(|one| one.instrument.as_str()).collect();
            bail!("a file of bars is of one instrument, and there are {}; choose with `--symbols`", names.join(", "));
        };
        if path.extension().is_none_or(|extension| extension != "csv") {
            bail!("{}: the name must end in .csv", path.display());
        }
        write_whole_file(path, |out| write_bars(&one.bars, out))?;
    }
    if let Some(path) = &arguments.html {
        write_page(path, &bars_page(&BarsPage { rule: &arguments.rule, made: &made, notices: &notices }))?;
    }
    if arguments.json {
        let object = |one: &CaptureBars| {
            let of =
                |bar: Option<&Ohlcv>| bar.map(|bar| json!({ "start_ns": bar.start_ns, "end_ns": bar.end_ns, "close": bar.close }));
            json!({
                "instrument": one.instrument, "bars": one.bars.len(), "inputs": one.trades,
                "first": of(one.bars.first()), "last": of(one.bars.last()),
            })
        };
        let instruments: Vec<_> = made.iter().map(object).collect();
        let report = json!({ "schema": 1, "rule": arguments.rule, "instruments": instruments, "notices": notices });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let row = |one: &CaptureBars| {
        let average = if one.bars.is_empty() { String::new() } else { format!("{:.1}", one.trades as f64 / one.bars.len() as f64) };
        [one.instrument.clone(), count(one.bars.len() as u64), count(one.trades), average]
    };
    print!("{}", listing(["Instrument", "Bars", "Trades or finer bars", "a bar"], made.iter().map(row), &[1, 2, 3]));
    for notice in &notices {
        println!("note: {notice}");
    }
    if let Some(path) = &arguments.out {
        println!("bars: {}", path.display());
    }
    if let Some(path) = &arguments.html {
        println!("page: {}", path.display());
    }
    Ok(())
}

/// What a reader of a history should know.
pub(crate) fn told(history: &History) -> Vec<String> {
    let of = |count: u64, what: &str| (count > 0).then(|| format!("{count} rows {what}"));
    let notices =
        [of(history.unlisted, "before the instrument was listed"), of(history.without_volume, "without volume, left out")];
    notices.into_iter().flatten().collect()
}
