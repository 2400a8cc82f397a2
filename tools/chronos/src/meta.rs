//! `chronos meta`.

use crate::progress::bar;
use crate::tables::listing;
use anyhow::{Context, Result, bail};
use chronos_research::dataset::{check_new_folder, read_dataset};
use chronos_research::ledger::Ledger;
use chronos_research::meta::{FoldReport, META_THRESHOLD, MetaPlan, MetaTrainingReport, TRAINING_FILE, train_on_dataset};
use chronos_research::trees::{
    CalibrationKind, FeatureVerdict, Loss, ProbabilityScores, SelectionConfig, Taken, TrainConfig, Verdict,
};
use chronos_research::validation::{Embargo, Splitter};
use chronos_session::format::{count, decimal};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Features of a table; what comes after is counted.
const ROWS_MAX: usize = 15;

/// Arguments of `chronos meta`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a forest on which bets of a dataset pay; every training goes to the trial ledger
    Train(Box<TrainArguments>),
}

/// Arguments of `chronos meta train`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos dataset market.gz --events every:5 --side strategy --horizon 2s --out data/bets
  chronos meta train data/bets --threshold 0.5 --out models/meta
  chronos meta train data/bets --depths 2 --calibration isotonic --all-features --out models/all
  chronos replay market.gz --model none --meta models/meta

Everything that is reported is out of fold. Folds are purged of labels that reach into a test; features and rounds are chosen in each fold's
training rows, by folds of their own, so that the choice has not seen the test either, and once more in all rows for the model that is
written. Each training is a trial in the ledger, whatever comes of it.")]
struct TrainArguments {
    /// Dataset with a side that `chronos dataset` wrote
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Folder to write: meta.json, manifest.toml, training.json; `chronos replay --meta` opens it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name in the manifest [default: that of the folder]
    #[arg(long)]
    name: Option<String>,
    /// Splits on the way to a leaf, a learner for each; several are stacked
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "2,4")]
    depths: Vec<usize>,
    /// Most rounds of boosting; early stopping decides how many
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    rounds: usize,
    /// Rounds without a better loss after which training stops
    #[arg(long, value_name = "ROUNDS", default_value_t = 20)]
    patience: usize,
    /// Share of each tree that is added
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    learning_rate: f64,
    /// How probabilities are calibrated; isotonic needs a thousand bets or more
    #[arg(long, value_enum, default_value = "platt")]
    calibration: Calibration,
    /// Calibrated probability below which a decision is neutral
    #[arg(long, value_name = "PROBABILITY", default_value_t = META_THRESHOLD)]
    threshold: f64,
    /// Keep every feature, not those alone that matter on the folds and say what no other says
    #[arg(long)]
    all_features: bool,
    /// Folds, purged
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    folds: usize,
    /// Rows left out of training after a test
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    embargo: usize,
    /// Seconds left out of training after a test's last label ends
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    embargo_seconds: u32,
    /// Cost of trading one unit of notional once, basis points, in the Sharpe ratio that goes to the ledger
    #[arg(allow_negative_numbers = true, long, value_name = "BPS", default_value_t = 5.0)]
    cost: f64,
    /// The same seed gives the same model
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder of the trial ledger; every training is appended to it, whatever comes of it
    #[arg(long, value_name = "DIR", default_value = "ledger")]
    ledger: PathBuf,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Calibration {
    /// A sigmoid of the log odds
    Platt,
    /// Rising steps
    Isotonic,
    /// Probabilities as they are
    None,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Command::Train(arguments) = &arguments.command;
    train(arguments)
}

fn train(arguments: &TrainArguments) -> Result<()> {
    if !arguments.cost.is_finite() || arguments.cost < 0.0 {
        bail!("a cost of {} bps: it is finite, 0 or more", arguments.cost);
    }
    check_new_folder(&arguments.out)?;
    let (dataset, manifest) = read_dataset(&arguments.dataset)?;
    let plan = plan(arguments)?;
    let ledger = Ledger::in_folder(&arguments.ledger);
    let bar = bar(0, "{bar:40} {pos}/{len} steps  {eta} left");
    let training = train_on_dataset(&dataset, &manifest, &plan, &ledger, &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let training = training?;
    let folder_name = arguments.out.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = arguments.name.clone().or(folder_name).unwrap_or_else(|| "meta".into());
    let directory = training.write(&arguments.out, &name)?;
    if arguments.json {
        let object = json!({ "meta_dir": arguments.out, "sha256": directory.manifest.meta.sha256, "training": training.report });
        println!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    print(&training.report);
    println!("{} entries in the ledger {}", training.report.ledger.entries, arguments.ledger.display());
    let entry = &directory.manifest.meta;
    println!("meta model: {}, {} trees, {}; {} beside it", arguments.out.display(), entry.trees, entry.sha256, TRAINING_FILE);
    Ok(())
}

fn plan(arguments: &TrainArguments) -> Result<MetaPlan> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let learner = TrainConfig {
        rounds: arguments.rounds,
        patience: arguments.patience,
        learning_rate: arguments.learning_rate,
        // A leaf of a few bets is luck.
        child_weight_min: 5.0,
        seed: arguments.seed,
        ..TrainConfig::new(Loss::Logistic)
    };
    let embargo = Embargo { bars: arguments.embargo, time: i64::from(arguments.embargo_seconds) * 1_000_000_000 };
    Ok(MetaPlan {
        learners: arguments.depths.iter().map(|depth_max| TrainConfig { depth_max: *depth_max, ..learner }).collect(),
        calibration: match arguments.calibration {
            Calibration::Platt => CalibrationKind::Platt,
            Calibration::Isotonic => CalibrationKind::Isotonic,
            Calibration::None => CalibrationKind::None,
        },
        threshold: arguments.threshold,
        selection: (!arguments.all_features).then(|| SelectionConfig { seed: arguments.seed, ..SelectionConfig::default() }),
        splitter: Splitter::PurgedKFold { folds: arguments.folds, embargo },
        cost_bps: arguments.cost,
        seed: arguments.seed,
        time_ns: i64::try_from(now.as_nanos())?,
        code: env!("CARGO_PKG_VERSION").into(),
    })
}

fn print(report: &MetaTrainingReport) {
    let of = &report.out_of_fold;
    let percent = |share: f64| format!("{} %", decimal(100.0 * share, 1));
    println!(
        "{}, bets by {}: {} of them, {} paid",
        report.instrument,
        report.primary,
        count(of.tested as u64),
        percent(of.base_rate)
    );
    let scores = [("calibrated", of.calibrated), ("before calibration", of.raw), ("base rate alone", of.base)];
    let row = |(name, scores): (&str, ProbabilityScores)| {
        [
            name.to_owned(),
            decimal(scores.log_loss, 4),
            decimal(scores.auc, 4),
            decimal(scores.brier, 4),
            decimal(scores.calibration_error, 4),
        ]
    };
    let head = ["Out of fold", "Log-loss", "AUC", "Brier", "Calibration error"];
    print!("{}", listing(head, scores.into_iter().map(row), &[1, 2, 3, 4]));
    let fold = |(place, fold): (usize, &FoldReport)| {
        [
            (place + 1).to_string(),
            count(fold.trained as u64),
            count(fold.tested as u64),
            fold.features.len().to_string(),
            fold.rounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            decimal(fold.scores.log_loss, 4),
            decimal(fold.base_log_loss, 4),
            decimal(fold.scores.auc, 4),
        ]
    };
    let head = ["Fold", "Trained", "Tested", "Features", "Rounds", "Log-loss", "Base rate", "AUC"];
    print!("{}", listing(head, report.folds.iter().enumerate().map(fold), &[1, 2, 3, 5, 6, 7]));
    if let Some(selection) = &report.selection {
        let mut features: Vec<&FeatureVerdict> = selection.features.iter().collect();
        features.sort_by(|one, two| two.share_mean.total_cmp(&one.share_mean));
        let row = |feature: &&FeatureVerdict| {
            let verdict = match &feature.verdict {
                Verdict::Kept => "kept".to_owned(),
                Verdict::Unstable => "unstable".to_owned(),
                Verdict::Redundant { with, .. } => format!("as {with}"),
            };
            let cluster = selection.clusters.get(feature.cluster);
            [
                feature.name.clone(),
                format!("{} ± {} %", decimal(100.0 * feature.share_mean, 1), decimal(100.0 * feature.share_std, 1)),
                format!("{} %", decimal(100.0 * feature.folds_above, 0)),
                cluster.map_or("n/a".into(), |cluster| decimal(cluster.mean, 5)),
                verdict,
            ]
        };
        let head = ["Feature", "Margin", "Folds", "Cluster", "Verdict"];
        print!("{}", listing(head, features.iter().take(ROWS_MAX).map(row), &[1, 2, 3]));
        if features.len() > ROWS_MAX {
            println!("and {} more, in {TRAINING_FILE}", features.len() - ROWS_MAX);
        }
    }
    println!("{} features in the model, and side and strength: {}", report.features.len(), report.features.join(", "));
    let row = |(what, taken): (String, Taken)| {
        let [win_rate, precision, recall] = [taken.win_rate, taken.precision, taken.recall].map(percent);
        [what, count(taken.bets as u64), win_rate, precision, recall, count(taken.false_positives as u64)]
    };
    let rows = [("all".to_owned(), of.unfiltered), (format!("from {} on", of.threshold), of.filtered)];
    let head = ["Bets", "Taken", "Win rate", "Precision", "Recall", "False positives"];
    print!("{}", listing(head, rows.into_iter().map(row), &[1, 2, 3, 4, 5]));
    println!(
        "Sharpe ratio a bet of {} bets one at a time, net of {} bps: {}, of taking all {}",
        count(report.disjoint_bets as u64),
        report.cost_bps,
        decimal(report.sharpe, 3),
        decimal(report.sharpe_unfiltered, 3)
    );
    println!("{}", verdict(report));
}

/// Whether there is anything in it.
fn verdict(report: &MetaTrainingReport) -> String {
    let gain = &report.gain;
    let figures = format!(
        "it gains {} of log-loss a bet, 95 % [{}, {}]",
        decimal(gain.estimate, 4),
        decimal(gain.low, 4),
        decimal(gain.high, 4)
    );
    match report.is_better {
        true => format!("out of fold it knows more than the base rate: {figures}"),
        false => format!("out of fold it is no better than always saying the base rate: {figures}; do not trade on it"),
    }
}
