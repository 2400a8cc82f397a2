//! `chronos inspect`.

use crate::progress::bar;
use anyhow::Result;
use chronos_session::inspect::{InspectOptions, inspect};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chronos inspect`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Captures: files, and folders of files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Look at these symbols alone, as the venue writes them [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    /// Stop after so many lines
    #[arg(long, value_name = "LINES")]
    limit: Option<u64>,
    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print everything as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let options = InspectOptions {
        paths: arguments.paths.clone(),
        symbols: arguments.symbols.clone().unwrap_or_default(),
        limit: arguments.limit,
    };
    let bar = bar(0, "{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left");
    let inspected = inspect(&options, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_read);
        bar.set_message(format!("{} records", progress.lines));
    });
    bar.finish_and_clear();
    let inspected = inspected?;
    println!("{}", serde_json::to_string_pretty(&inspected.inspection)?);
    Ok(())
}
