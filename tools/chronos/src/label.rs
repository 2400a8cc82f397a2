//! `chronos label`.

use crate::samples::{SampleArguments, Samples, mean_uniqueness};
use anyhow::{Result, bail};
use chronos_research::dataset::write_labels;
use chronos_research::write_whole_file;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `chronos label`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos label market.gz --out labels.csv --html labels.html
  chronos label market.gz --events every:5 --profit 3 --horizon 10s
  chronos bars market.gz --rule time:1s --out seconds.csv
  chronos label seconds.csv --horizon 20 --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    samples: SampleArguments,
    /// CSV file to write: an event a line, when its label was known, what ended it, its weight
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(path) = arguments.out.as_ref().filter(|path| path.extension().is_none_or(|extension| extension != "csv")) {
        bail!("{}: the name must end in .csv; `chronos dataset` writes Parquet, with features", path.display());
    }
    let samples = arguments.samples.make()?;
    let dataset = &samples.built.dataset;
    if let Some(path) = &arguments.out {
        write_whole_file(path, |out| write_labels(dataset, out))?;
    }
    arguments.samples.write_page(&samples, "labels", false)?;
    if arguments.samples.json {
        let Samples { built, source, recipe, notices, .. } = &samples;
        let report = json!({
            "schema": 1, "source": source, "recipe": recipe, "counts": built.counts,
            "mean_uniqueness": mean_uniqueness(&dataset.uniqueness),
            "look_ahead": { "cuts": built.look_ahead.cuts, "rows": built.look_ahead.rows }, "notices": notices,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    samples.print();
    if let Some(path) = &arguments.out {
        println!("labels: {}", path.display());
    }
    if let Some(path) = &arguments.samples.html {
        println!("page: {}", path.display());
    }
    Ok(())
}
