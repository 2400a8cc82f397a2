//! `chronos model`.

use crate::progress::with_capture_bar;
use crate::tables::listing;
use anyhow::{Result, bail};
use chronos_session::bfloat16::{RoundingOptions, RoundingReport, round_to_bfloat16};
use chronos_session::config::Config;
use chronos_session::format::count;
use chronos_session::model::ModelDirectory;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

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
    /// Round a model's matrices to bfloat16, which a step reads in half the time, if that changes little on your captures
    Round(RoundArguments),
    /// Tell whether a trained model is alive: what each block, gate, head and feature is worth on captures, and dead parameters
    #[cfg(feature = "train")]
    Inspect(crate::model_inspect::Arguments),
    /// Tell whether a trained model is alive: needs a build with `--features train`
    #[cfg(not(feature = "train"))]
    Inspect(crate::rebuild::Arguments),
}

/// Arguments of `chronos model round`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos model round models/mine market.gz --out models/mine-bf16
  chronos model round models/mine captures/ --out models/mine-bf16 --difference-max 0.002 --json

Both forms step side by side at the decision ticks of the captures. Exit code 0: written; 1: a probability differs by more than is borne, and
nothing was written; 2: an error.")]
struct RoundArguments {
    /// Folder of the model
    #[arg(value_name = "MODEL_DIR")]
    model_dir: PathBuf,
    /// Captures to measure it on: files, and folders of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Folder to write; one that holds a model already is refused
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Largest difference of a probability that is borne
    #[arg(long, value_name = "PROBABILITY", default_value_t = 0.005)]
    difference_max: f64,
    /// Stop after so many lines
    #[arg(long, value_name = "LINES")]
    limit: Option<u64>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what was found as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command; `false` where a model was not written for good reason.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    match &arguments.command {
        Command::New { seed, out } => new(*seed, out).map(|()| true),
        Command::Round(arguments) => round(arguments),
        #[cfg(feature = "train")]
        Command::Inspect(arguments) => crate::model_inspect::run(arguments).map(|()| true),
        #[cfg(not(feature = "train"))]
        Command::Inspect(_) => crate::rebuild::run("chronos model inspect").map(|()| true),
    }
}

fn new(seed: u64, out: &Path) -> Result<()> {
    let model = ModelDirectory::create_untrained(out, seed)?;
    let entry = &model.manifest.model;
    println!("{}: untrained, {} parameters, {} features", out.display(), entry.parameters, model.manifest.features.names.len());
    println!("sha256 {}", entry.sha256);
    Ok(())
}

fn round(arguments: &RoundArguments) -> Result<bool> {
    if !(0.0..=1.0).contains(&arguments.difference_max) {
        bail!("--difference-max {}: a probability lies between 0 and 1", arguments.difference_max);
    }
    let options = RoundingOptions {
        model: arguments.model_dir.clone(),
        paths: arguments.paths.clone(),
        config: arguments.config.as_ref().map_or_else(|| Ok(Config::default()), |path| Config::load(path))?,
        limit: arguments.limit,
        out: arguments.out.clone(),
        difference_max: arguments.difference_max,
    };
    let report = with_capture_bar("lines", |progress| round_to_bfloat16(&options, progress))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_rounding(arguments, &report);
    }
    Ok(report.is_written)
}

fn print_rounding(arguments: &RoundArguments, report: &RoundingReport) {
    let rows = [
        ["steps compared".to_owned(), count(report.steps)],
        ["weights changed".to_owned(), count(report.weights_changed)],
        ["largest difference of a probability".to_owned(), format!("{:.2e}", report.probability_difference_max)],
        ["mean of a step's largest".to_owned(), format!("{:.2e}", report.probability_difference_mean)],
        ["largest difference of the forecast".to_owned(), format!("{:.2e}", report.forecast_difference_max)],
        ["decisions changed".to_owned(), count(report.decisions_changed)],
    ];
    print!("{}", listing(["Rounding", ""], rows.into_iter(), &[1]));
    for notice in &report.notices {
        println!("note: {notice}");
    }
    match report.is_written {
        true => println!("{}: sha256 {}", arguments.out.display(), report.sha256),
        false => println!("refused: a probability may differ by {}; nothing was written", report.difference_max),
    }
}
