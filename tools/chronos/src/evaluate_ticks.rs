//! `chronos evaluate ticks`.

use crate::page::write_page;
use crate::progress::with_capture_bar;
use crate::scores::print_scores;
use anyhow::{Context, Result, bail};
use chronos_inference::EngineChoice;
use chronos_research::bars::time_ns;
use chronos_research::html::evaluation_page;
use chronos_research::scores::{TickEvaluationOptions, Yardstick, evaluate_ticks};
use chronos_session::config::Config;
use chronos_session::format::span_ns;
use chronos_session::model::ModelDirectory;
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `chronos evaluate ticks`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos evaluate ticks --model models/first --data later.gz
  chronos evaluate ticks --model models/first --data day1.gz day2.gz --from 2024-08-09T00:00:00Z --html evaluation.html

The model steps from tick to tick as in a replay. Labels and baselines are those of its training, from training.json in its folder. A
difference whose 95 % interval (stationary bootstrap, blocks of three horizons) holds zero is undecided. AUC is that of up against down
among samples that moved; the macro AUC is the mean of each direction against the rest.")]
pub(crate) struct Arguments {
    /// Folder of the model
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Captures (files and folders) of one instrument
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Judge samples from this time on; ticks before it warm the model's state
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Configuration file of the session; its sections `features`, `instruments` and `parameters` are used
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The symbol, where there are several
    #[arg(long, value_name = "SYMBOL", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    /// Of the bootstrap
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a self-contained HTML page with scores and reliability
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let model = ModelDirectory::open(&arguments.model)?;
    let yardstick = yardstick(&arguments.model)?;
    let from_ns = match &arguments.from {
        None => None,
        Some(text) => match time_ns(text) {
            None => bail!("`--from {text}` is no time; write it as 2024-08-09T00:00:00Z"),
            some => some,
        },
    };
    let mut config = match &arguments.config {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    if let Some(symbols) = &arguments.symbols {
        config.source.symbols.clone_from(symbols);
    }
    let options =
        TickEvaluationOptions { paths: arguments.data.clone(), from_ns, config, engine: EngineChoice::Auto, seed: arguments.seed };
    let evaluation = with_capture_bar("lines", |progress| evaluate_ticks(&model, &yardstick, &options, progress))?;
    if let Some(path) = &arguments.html {
        write_page(path, &evaluation_page(&arguments.model.display().to_string(), &evaluation))?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&evaluation)?);
        return Ok(());
    }
    println!("{}, {} ahead, by {}", evaluation.instrument, span_ns(evaluation.horizon_ns.unsigned_abs()), evaluation.engine);
    print_scores(&evaluation.scores);
    for notice in &evaluation.notices {
        println!("note: {notice}");
    }
    if let Some(path) = &arguments.html {
        println!("page: {}", path.display());
    }
    Ok(())
}

/// What a model is measured by, from the file that its training left.
pub(crate) fn yardstick(folder: &Path) -> Result<Yardstick> {
    let path = folder.join("training.json");
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("{}: cannot be read; only a model that `chronos train` made has labels to be judged by", path.display())
    })?;
    let training: serde_json::Value = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let yardstick = training.get("yardstick").cloned().unwrap_or_default();
    serde_json::from_value(yardstick).with_context(|| {
        format!("{}: it tells no labels and baselines of ticks; train the model with `chronos train`", path.display())
    })
}
