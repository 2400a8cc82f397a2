//! `chronos dataset`.

use crate::samples::SampleArguments;
use anyhow::Result;
use chronos_research::dataset::{Manifest, check_new_folder, write_dataset};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chronos dataset`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos dataset market.gz --out data/ticks --html ticks.html
  chronos dataset market.gz --bars volume:5 --horizon 20 --out data/volume-bars
  chronos bars market.gz --rule time:1s --out seconds.csv
  chronos dataset seconds.csv --side=-return_5 --horizon 20 --out data/seconds

The folder gets samples.parquet and manifest.toml, which names sources by their hashes, features by name and version, and the
recipe. Nothing is written where a value turns out to read the future.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    samples: SampleArguments,
    /// Folder to write, new or empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    check_new_folder(&arguments.out)?;
    let samples = arguments.samples.make()?;
    let manifest = Manifest::of(&samples.built, samples.source.clone(), &samples.recipe, samples.seed);
    let manifest = write_dataset(&arguments.out, &samples.built.dataset, manifest)?;
    arguments.samples.write_page(&samples, "dataset", true)?;
    if arguments.samples.json {
        println!("{}", serde_json::to_string_pretty(&manifest)?);
        return Ok(());
    }
    samples.print();
    println!("dataset: {}, {} features, hash {}", arguments.out.display(), manifest.features.names.len(), manifest.data.sha256);
    if let Some(path) = &arguments.samples.html {
        println!("page: {}", path.display());
    }
    Ok(())
}
