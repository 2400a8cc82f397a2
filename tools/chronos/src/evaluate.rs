//! `chronos evaluate`.

#[cfg(feature = "train")]
use crate::evaluate_paper;
use crate::evaluate_ticks;
use anyhow::Result;
use clap::{Args, Subcommand};

/// Arguments of `chronos evaluate`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a model that `chronos train` made on captures, beside the baselines it was trained with
    Ticks(Box<evaluate_ticks::Arguments>),
    /// Train the published CryptoMamba and its baselines on the paper's data, and judge them beside persistence
    #[cfg(feature = "train")]
    Paper(evaluate_paper::Arguments),
    /// Train the published CryptoMamba and its baselines on the paper's data: needs a build with `--features train`
    #[cfg(not(feature = "train"))]
    Paper(crate::rebuild::Arguments),
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Ticks(arguments) => evaluate_ticks::run(arguments),
        #[cfg(feature = "train")]
        Command::Paper(arguments) => evaluate_paper::run(arguments),
        #[cfg(not(feature = "train"))]
        Command::Paper(_) => crate::rebuild::run("chronos evaluate paper"),
    }
}
