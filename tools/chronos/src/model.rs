//! `chronos model`.

use anyhow::Result;
use chronos_session::model::ModelDirectory;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `chronos model`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an untrained model of about 540,000 parameters: model.onnx and manifest.toml
    New {
        /// Seed of its weights: the same seed gives the same bytes
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Folder to write; one that holds a model already is refused
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Command::New { seed, out } = &arguments.command;
    let model = ModelDirectory::create_untrained(out, *seed)?;
    let entry = &model.manifest.model;
    println!("{}: untrained, {} parameters, {} features", out.display(), entry.parameters, model.manifest.features.names.len());
    println!("sha256 {}", entry.sha256);
    Ok(())
}
