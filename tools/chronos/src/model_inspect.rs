//! `chronos model inspect`.

use crate::evaluate_ticks::yardstick;
use crate::progress::with_capture_bar;
use crate::tables::listing;
use anyhow::{Result, bail};
use chronos_research::ticks::read_ticks;
use chronos_session::config::Config;
use chronos_session::format::{count, decimal};
use chronos_session::model::ModelDirectory;
use chronos_training::inspect::{Effect, Inspection, Verdict};
use chronos_training::ticks::inspect_ticks;
use clap::Args;
use std::path::PathBuf;

/// Features of a table; what comes after is counted.
const FEATURES_SHOWN: usize = 15;

/// Arguments of `chronos model inspect`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos model inspect models/first --data market.gz
  chronos model inspect models/first --data market.gz --windows 512 --json | jq '.[0].blocks'

A part is left out, or set to its mean, and what then changes in predictions and loss is what it is worth on these captures. A part that changes
next to nothing is dead. A model that is no more than an affine map of its features needs none of its blocks.")]
pub(crate) struct Arguments {
    /// Folder of a model that `chronos train` made
    #[arg(value_name = "MODEL_DIR")]
    model_dir: PathBuf,
    /// Captures (files and folders) of one instrument
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Windows looked at, at most, spread evenly
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    windows: usize,
    /// Ticks of a window
    #[arg(long, value_name = "TICKS", default_value_t = 64)]
    steps: usize,
    /// Configuration file of the session (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what was found as JSON on standard output, an object for each member
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.windows < 2 || arguments.steps == 0 {
        bail!("--windows {} of --steps {}: at least 2 windows of at least 1 tick", arguments.windows, arguments.steps);
    }
    let model = ModelDirectory::open(&arguments.model_dir)?;
    let yardstick = yardstick(&arguments.model_dir)?;
    let config = arguments.config.as_ref().map_or_else(|| Ok(Config::default()), |path| Config::load(path))?;
    let config = config.with_tick(&model.tick());
    let data = with_capture_bar("lines", |progress| read_ticks(&arguments.data, yardstick.horizon_ns, &config, progress))?;
    let members = model.weights()?;
    let found = inspect_ticks(&model.manifest, &members, data, &yardstick.target, arguments.steps, arguments.windows)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    for (place, inspection) in found.iter().enumerate() {
        if found.len() > 1 {
            println!("member {} of {}", place + 1, found.len());
        }
        print(inspection);
    }
    Ok(())
}

fn print(found: &Inspection) {
    println!(
        "{} windows: log-loss {}, squared error {}, spread of probabilities {}, of forecasts {}",
        count(found.windows as u64),
        decimal(found.log_loss, 4),
        decimal(found.squared_error, 4),
        decimal(found.probability_spread, 4),
        decimal(found.forecast_spread, 4)
    );
    let row = |effect: &Effect| {
        let verdict = match effect.verdict {
            Verdict::Alive => "alive",
            Verdict::Dead => "dead",
        };
        [
            effect.part.clone(),
            decimal(effect.probability_change, 4),
            decimal(effect.forecast_change, 4),
            format!("{:+.4}", effect.log_loss_change),
            format!("{:+.4}", effect.squared_error_change),
            verdict.to_owned(),
        ]
    };
    let head = ["Left out", "Probabilities", "Forecasts", "Log-loss", "Squared error", "Verdict"];
    let parts = found.blocks.iter().chain(&found.gates).chain(&found.heads);
    print!("{}", listing(head, parts.map(row), &[1, 2, 3, 4]));
    let mut features: Vec<&Effect> = found.features.iter().collect();
    features.sort_by(|one, two| two.probability_change.total_cmp(&one.probability_change));
    let head = ["Feature at its mean", "Probabilities", "Forecasts", "Log-loss", "Squared error", "Verdict"];
    print!("{}", listing(head, features.iter().take(FEATURES_SHOWN).map(|effect| row(effect)), &[1, 2, 3, 4]));
    let dead = features.iter().filter(|effect| effect.verdict == Verdict::Dead).count();
    println!("{} of {} features are dead", dead, features.len());
    for tensor in found.tensors.iter().filter(|tensor| tensor.zero_share > 0.5 || tensor.denormal_share > 0.0) {
        println!(
            "{}: {} % of {} values are zero, {} % denormal",
            tensor.name,
            decimal(100.0 * tensor.zero_share, 1),
            count(tensor.values as u64),
            decimal(100.0 * tensor.denormal_share, 2)
        );
    }
    println!(
        "{} (nonlinearity of logits {}, of the forecast {})",
        if found.is_affine {
            "an affine map of its features would say the same"
        } else {
            "it is more than an affine map of its features"
        },
        decimal(found.logits_nonlinearity, 4),
        decimal(found.forecast_nonlinearity, 4)
    );
}
