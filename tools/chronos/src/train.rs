//! `chronos train`.

use crate::progress::{bar, with_capture_bar};
use crate::scores::print_scores;
use crate::tables::listing;
use anyhow::{Context, Result, bail};
use chronos_research::ledger::Ledger;
use chronos_research::ticks::read_ticks;
use chronos_session::format::{clock_utc, count, date_utc, decimal};
use chronos_session::model::ModelDirectory;
use chronos_training::device::TrainingDevice;
use chronos_training::fit::Event;
use chronos_training::ticks::{
    FoldReport, TRAINING_FILE, TickTrainConfig, TickTrainOptions, TickTraining, Training, TrainingPlace, train_ticks,
};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Arguments of `chronos train`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --plant 0.8 --seconds 900 --out market.gz
  chronos train --data market.gz --out models/first
  chronos train --data day1.gz day2.gz --split 2024-08-09T00:00:00Z --horizon 5s --members 3 --out models/ensemble
  chronos train --data week/ --split 0.5 --folds 5 --out models/walked
  chronos train --print-config > train.toml
  chronos replay market.gz --model models/first

Captures continue each other as in a replay. Samples before the split are trained on, the last of them choose the epoch, those after it judge; no
label reaches from one part into the next. The model is judged as a replay runs it, tick by tick, beside baselines fitted on the same
training part; a difference whose 95 % interval holds zero is undecided. Every training is a trial in the ledger, whatever comes of it.
Checkpoints stand in the folder's `checkpoints/`: a run that was cut off goes on with --resume, to the very same model.")]
pub(crate) struct Arguments {
    /// Captures (files and folders) of one instrument, or the folder of one dataset of `chronos dataset` with features of ticks
    #[arg(long, value_name = "PATH", num_args = 1.., required_unless_present = "print_config")]
    data: Vec<PathBuf>,
    /// How to train (TOML); see --print-config
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the model to be
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Where the test begins: a time, or a share of the samples [default: 0.7]
    #[arg(long, value_name = "TIME|SHARE")]
    split: Option<String>,
    /// Folds to walk forward over: the test is cut into so many, each is judged by a model trained on all before it, and the last one's is
    /// written [default: 1]
    #[arg(long, value_name = "COUNT")]
    folds: Option<usize>,
    /// What labels look ahead, such as 500ms or 5s [default: 1s]
    #[arg(long, value_name = "TIME")]
    horizon: Option<String>,
    /// Epochs at most
    #[arg(long, value_name = "COUNT")]
    epochs: Option<u64>,
    /// The symbol, where there are several
    #[arg(long, value_name = "SYMBOL", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    /// The same seed gives the same model on one device of one machine
    #[arg(long)]
    seed: Option<u64>,
    /// Members of a deep ensemble, each from a seed of its own
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    members: usize,
    /// What to train on: cpu, or gpu in a program built with `--features gpu`; another device gives another model
    #[arg(long, value_name = "DEVICE", default_value_t = TrainingDevice::Cpu)]
    device: TrainingDevice,
    /// Go on from the checkpoints in the folder
    #[arg(long)]
    resume: bool,
    /// Cost of trading one unit of notional once, basis points, in the Sharpe ratio that goes to the ledger
    #[arg(allow_negative_numbers = true, long, value_name = "BPS", default_value_t = 5.0)]
    cost: f64,
    /// Folder of the trial ledger
    #[arg(long, value_name = "DIR", default_value = "ledger")]
    ledger: PathBuf,
    /// Show every setting with its default and do nothing else
    #[arg(long)]
    print_config: bool,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.print_config {
        print!("{}", TickTrainConfig::default().to_toml());
        return Ok(());
    }
    if !arguments.cost.is_finite() || arguments.cost < 0.0 {
        bail!("a cost of {} bps: it is finite, 0 or more", arguments.cost);
    }
    let out = arguments.out.as_deref().context("--out names the folder of the model to be")?;
    ModelDirectory::refuse_taken(out)?;
    let config = config(arguments)?;
    let horizon_ns = config.horizon_ns().context("a horizon such as 1s")?;
    // Before the captures are read: that takes long.
    arguments.device.open()?;
    let data = with_capture_bar("lines", |progress| read_ticks(&arguments.data, horizon_ns, &config.session, progress))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let started = Instant::now();
    let bar = bar(0, "{bar:40} {pos}/{len} steps  {msg}");
    let mut observe = |place: TrainingPlace, event: Event<'_>| {
        show(&bar, place, [config.split.folds, arguments.members], event);
        ControlFlow::Continue(())
    };
    let mut options = TickTrainOptions {
        members: arguments.members,
        device: arguments.device,
        checkpoints: Some(out.join("checkpoints")),
        resume: arguments.resume,
        cost_bps: arguments.cost,
        time_ns: i64::try_from(now.as_nanos())?,
        code: env!("CARGO_PKG_VERSION"),
        clock: &|| started.elapsed().as_secs_f64(),
        observe: &mut observe,
    };
    let training = train_ticks(data, &config, &mut options);
    bar.finish_and_clear();
    let Training::Done(trained) = training? else { bail!("stopped; go on with --resume") };
    let report = trained.report.clone();
    let directory = trained.write(out, &Ledger::in_folder(&arguments.ledger))?;
    let data: Vec<String> = arguments.data.iter().map(|path| path.display().to_string()).collect();
    let replay = format!("chronos replay {} --model {}", data.join(" "), out.display());
    if arguments.json {
        let object = json!({ "model_dir": out, "sha256": directory.manifest.model.sha256, "training": report, "try": replay });
        println!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    print(&report);
    println!(
        "model: {}, {} parameters, {}; {TRAINING_FILE} and curves.html beside it",
        out.display(),
        count(directory.manifest.model.parameters as u64),
        directory.manifest.model.sha256
    );
    println!("try it: {replay}");
    Ok(())
}

/// The file, and over it what the command line says.
fn config(arguments: &Arguments) -> Result<TickTrainConfig> {
    let mut config = match &arguments.config {
        Some(path) => TickTrainConfig::load(path)?,
        None => TickTrainConfig::default(),
    };
    if let Some(split) = &arguments.split {
        config.split.at.clone_from(split);
    }
    if let Some(folds) = arguments.folds {
        config.split.folds = folds;
    }
    if let Some(horizon) = &arguments.horizon {
        config.labels.horizon.clone_from(horizon);
    }
    if let Some(seed) = arguments.seed {
        config.training.seed = seed;
    }
    if let Some(epochs) = arguments.epochs {
        config.training.epochs = epochs;
    }
    if let Some(symbols) = &arguments.symbols {
        config.session.source.symbols.clone_from(symbols);
    }
    config.check()?;
    Ok(config)
}

fn show(bar: &ProgressBar, place: TrainingPlace, [folds, members]: [usize; 2], event: Event<'_>) {
    let one_of = |name: &str, at: usize, of: usize| if of > 1 { format!("{name} {} of {of}, ", at + 1) } else { String::new() };
    let of = one_of("fold", place.fold, folds) + &one_of("member", place.member, members);
    match event {
        Event::Step(step) => {
            bar.set_length(step.steps);
            bar.set_position(step.step);
            bar.set_message(format!(
                "{of}epoch {} of {}, loss {}, rate {:.1e}, {} windows/s, {} s left",
                step.epoch + 1,
                step.epochs,
                decimal(step.loss, 4),
                step.learning_rate,
                decimal(step.samples_per_s, 0),
                decimal(step.left_s, 0)
            ));
        }
        Event::Epoch(epoch) => bar.println(format!(
            "{of}epoch {}: loss {}, validation log-loss {}",
            epoch.epoch + 1,
            decimal(epoch.training_loss, 4),
            decimal(epoch.validation, 4)
        )),
        Event::Dying { now, .. } => bar.println(format!("{of}{} is dying: more and more of it is zero, or it shrinks", now.name)),
    }
}

fn print(report: &TickTraining) {
    let counts = &report.counts;
    println!(
        "{}: {} decision ticks, {} samples: {} to train, {} to choose the epoch, {} to judge",
        report.instrument,
        count(counts.ticks as u64),
        count(counts.samples as u64),
        count(counts.train as u64),
        count(counts.validation as u64),
        count(counts.test as u64)
    );
    let target = &report.yardstick.target;
    println!(
        "moves up to {} bps are flat; the forecast's unit is {} bps",
        decimal(1e4 * target.threshold, 4),
        decimal(1e4 * target.unit, 4)
    );
    for member in &report.members {
        println!(
            "seed {}: epoch {} of {}, temperature {}, validation log-loss {}; {} to bfloat16, which adds {:.1e}",
            member.seed,
            member.best_epoch + 1,
            member.curves.epochs.len(),
            decimal(member.temperature, 2),
            decimal(member.validation_log_loss, 4),
            if member.is_rounded { "rounded" } else { "not rounded" },
            member.rounding_loss
        );
        for name in &member.dying {
            println!("  {name} is dying; `chronos model inspect` tells what it is worth");
        }
    }
    print_folds(&report.folds);
    print_scores(&report.test);
    println!("Sharpe ratio a bet of {} bets one at a time, net of costs: {}", count(report.bets as u64), decimal(report.sharpe, 3));
    for notice in &report.notices {
        println!("note: {notice}");
    }
}

/// A row for each fold: its own scores, by a model that saw only what came before it.
fn print_folds(folds: &[FoldReport]) {
    let row = |(place, fold): (usize, &FoldReport)| {
        let [from_ns, _] = fold.span_ns;
        let log_loss = |name: &str| {
            let model = fold.scores.models.iter().find(|model| model.name == name);
            model.map_or("n/a".into(), |model| decimal(model.scores.log_loss, 4))
        };
        let auc = fold.scores.models.first().map_or(f64::NAN, |model| model.scores.auc);
        [
            (place + 1).to_string(),
            // Without the year, for a terminal of 80 columns.
            format!("{} {}", date_utc(from_ns).split_once('-').map_or("", |(_, day)| day), clock_utc(from_ns, 0)),
            count(fold.train as u64),
            count(fold.scores.samples as u64),
            log_loss("model"),
            log_loss("majority"),
            log_loss("last move"),
            decimal(auc, 4),
        ]
    };
    if !folds.is_empty() {
        println!("folds one after the other: samples, log-loss of model, majority and last move, and the model's AUC");
    }
    let head = ["Fold", "From, UTC", "Train", "Test", "Model", "Majority", "Last move", "AUC"];
    print!("{}", listing(head, folds.iter().enumerate().map(row), &[2, 3, 4, 5, 6, 7]));
}
