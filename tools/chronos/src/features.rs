//! `chronos features`.

use crate::progress::with_capture_bar;
use crate::tables::listing;
use anyhow::{Result, bail};
use chronos_market::features::{FeatureSpec, registry};
use chronos_session::config::Config;
use chronos_session::features::{FeatureStatistics, FeaturesOptions, write_features};
use chronos_session::format::count;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `chronos features`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Captures: files, and folders of files
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Table to write, a row for each decision tick; `.parquet` or `.csv`, told by the name
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Configuration file; its sections `tick`, `features` and `instruments` are used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Follow these symbols alone, as the venue writes them [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    /// Day in New York of files that name none, as a NASDAQ BinaryFILE: `2019-12-30`
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// Stop after so many lines
    #[arg(long, value_name = "LINES")]
    limit: Option<u64>,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// List every feature: name, version, unit, window, formula, source
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Command::List { json }) = &arguments.command {
        return list(*json);
    }
    if arguments.paths.is_empty() {
        bail!("no capture was named; `chronos features PATH --out FILE.parquet`, or `chronos features list` for what there is");
    }
    let mut config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(symbols) = &arguments.symbols {
        config.source.symbols.clone_from(symbols);
    }
    if let Some(date) = &arguments.date {
        config.source.date.clone_from(date);
    }
    let options = FeaturesOptions { paths: arguments.paths.clone(), config, out: arguments.out.clone(), limit: arguments.limit };
    let report = with_capture_bar("lines", |progress| write_features(&options, progress))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let row = |feature: &FeatureStatistics| {
        let number = |value: f64| format!("{value:.4}");
        let FeatureStatistics { name, unit, mean, std, min, max } = feature;
        [(*name).to_owned(), unit.clone(), number(*mean), number(*std), number(*min), number(*max)]
    };
    print!("{}", listing(["Feature", "Unit", "Mean", "Std", "Min", "Max"], report.features.iter().map(row), &[2, 3, 4, 5]));
    println!("{} rows from {} lines of {}", count(report.rows), count(report.messages), report.instruments.join(", "));
    for notice in &report.notices {
        println!("note: {notice}");
    }
    if let Some(path) = &arguments.out {
        println!("table: {}", path.display());
    }
    Ok(())
}

fn list(is_json: bool) -> Result<()> {
    let window = |spec: &FeatureSpec| spec.window.map(|window| window.to_string());
    if is_json {
        let object = |spec: &FeatureSpec| {
            json!({
                "name": spec.name, "version": spec.version, "unit": spec.unit.to_string(), "window": window(spec),
                "formula": spec.formula, "source": spec.source
            })
        };
        println!("{}", serde_json::to_string_pretty(&registry().iter().map(object).collect::<Vec<_>>())?);
        return Ok(());
    }
    let row = |spec: &FeatureSpec| {
        let window = window(spec).unwrap_or_else(|| "now".into());
        [spec.name.to_owned(), format!("{}, {window}", spec.unit), spec.formula.to_owned()]
    };
    print!("{}", listing(["Feature", "Unit, window", "Formula"], registry().iter().map(row), &[]));
    println!("{} features; `--json` also gives versions and sources", registry().len());
    Ok(())
}
