//! `chronos validate`.

use crate::page::write_page;
use crate::progress::bar;
use crate::promote::configured;
use crate::tables::listing;
use anyhow::{Context, Result, bail};
use chronos_research::dataset::read_dataset;
use chronos_research::html::{ValidationPage, validation_page};
use chronos_research::ledger::Ledger;
use chronos_research::promotion::{Candidate, Gate, Verdict, judge};
use chronos_research::validation::performance::annual_caveat;
use chronos_research::validation::{
    Backtest, Embargo, Model, OwnedSamples, Sizing, Splitter, Summary, Validation, ValidationPlan, baseline, model_text, validate,
};
use chronos_session::format::span_ns;
use chronos_session::model::subject_sha256;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `chronos validate`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos dataset market.gz --bars volume:5 --horizon 20 --out data/volume-bars
  chronos validate data/volume-bars --models majority,momentum=5,logistic=1,logistic=100 --cost 2 --out models/first
  chronos validate data/volume-bars --splits walk-forward --train 300 --test 50

One bet is held at a time, and every model is tried on the same bets. Each model is a trial in the ledger, whatever comes of it.")]
pub(crate) struct Arguments {
    /// Dataset that `chronos dataset` wrote
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Models to try: majority, last-move, momentum=LABELS, logistic=L2; each is a trial
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "majority,last-move,momentum=5,logistic=1,logistic=100"
    )]
    models: Vec<String>,
    /// How rows are split into training and test
    #[arg(long, value_enum, default_value = "combinatorial")]
    splits: Splits,
    /// Folds
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    folds: usize,
    /// Folds tested at once (combinatorial)
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    test_folds: usize,
    /// Rows left out of training on both sides of a test, beyond those whose labels reach into it
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    purge: usize,
    /// Rows left out of training after a test
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    embargo: usize,
    /// Seconds left out of training after a test's last label ends
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    embargo_seconds: u32,
    /// Rows trained on (walk-forward)
    #[arg(long, value_name = "ROWS", default_value_t = 1_000)]
    train: usize,
    /// Rows tested at once (walk-forward)
    #[arg(long, value_name = "ROWS", default_value_t = 200)]
    test: usize,
    /// Train on everything before a test, not on the last rows alone (walk-forward)
    #[arg(long)]
    expanding: bool,
    /// Cost of trading one unit of notional once, basis points: fee, half the spread, slippage
    #[arg(allow_negative_numbers = true, long, value_name = "BPS", default_value_t = 5.0)]
    cost: f64,
    /// A score has to be larger than this to take a position
    #[arg(long, value_name = "SCORE", default_value_t = 0.0)]
    threshold: f64,
    /// Positions as large as the score, not all or nothing
    #[arg(long)]
    proportional: bool,
    /// The same seed gives the same result
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to write validation.json into: that of the model
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of the trial ledger; every model tried is appended to it, whatever comes of it
    #[arg(long, value_name = "DIR", default_value = "ledger")]
    ledger: PathBuf,
    /// Configuration file; its section `promotion` says what the gate asks
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Splits {
    /// Every way to test some of the folds, purged: several histories
    Combinatorial,
    /// Each fold tested once, purged
    KFold,
    /// Train on the past, test on what follows
    WalkForward,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.cost.is_finite() || arguments.cost < 0.0 || !arguments.threshold.is_finite() {
        bail!("a cost of {} bps and a threshold of {}: both are finite, the cost 0 or more", arguments.cost, arguments.threshold);
    }
    let gate = Gate::from(&configured(arguments.config.as_deref())?.promotion);
    let models = arguments.models.iter().map(|name| baseline(name)).collect::<Result<Vec<Box<dyn Model>>, _>>()?;
    let models: Vec<&dyn Model> = models.iter().map(Box::as_ref).collect();
    let (dataset, manifest) = read_dataset(&arguments.dataset)?;
    let rows = OwnedSamples::from(&dataset);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let plan = ValidationPlan {
        splitter: splitter(arguments),
        backtest: Backtest {
            cost_bps: arguments.cost,
            threshold: arguments.threshold,
            sizing: if arguments.proportional { Sizing::Proportional } else { Sizing::Unit },
        },
        seed: arguments.seed,
        dataset_sha256: manifest.data.sha256,
        time_ns: i64::try_from(now.as_nanos())?,
        code: env!("CARGO_PKG_VERSION").into(),
        subject_sha256: match &arguments.out {
            Some(folder) => subject_sha256(folder)?.unwrap_or_default(),
            None => String::new(),
        },
    };
    let ledger = Ledger::in_folder(&arguments.ledger);
    let bar = bar(0, "{bar:40} {pos}/{len} trainings  {eta} left");
    let validation = validate(&rows.samples(), &models, &plan, &ledger, &|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let validation = validation?;
    if let Some(folder) = &arguments.out {
        validation.write(folder)?;
    }
    let candidate = Candidate {
        validation: &validation,
        trained_on: &plan.dataset_sha256,
        subject_sha256: &plan.subject_sha256,
        promoted_with: None,
    };
    let history = ledger.read()?;
    let verdict = judge(&candidate, &history, &gate);
    let summaries = validation.summaries()?;
    if let Some(path) = &arguments.html {
        let error = verdict.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let page = validation_page(&ValidationPage {
            kind: "validation",
            name: &arguments.dataset.display().to_string(),
            validation: &validation,
            summaries: &summaries,
            gate: &gate,
            verdict: verdict.as_ref().map_err(|_| error.as_str()),
            history: &history,
        });
        write_page(path, &page)?;
    }
    if arguments.json {
        let verdict = verdict.map_or_else(|error| json!({ "error": error.to_string() }), |verdict| json!(verdict));
        let annual_caveat = annual_caveat(validation.span_ns(), validation.periods_per_year);
        let object = json!({ "rows": validation.rows, "bets": validation.times_ns.len(), "span_ns": validation.span_ns(),
            "periods_per_year": validation.periods_per_year, "annual_caveat": annual_caveat, "configurations": summaries, "verdict": verdict, "ledger": validation.ledger });
        println!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    print(&validation, &summaries);
    match verdict {
        Ok(verdict) => print_verdict(&verdict),
        Err(error) => println!("no verdict: {error}"),
    }
    println!("{} entries in the ledger {}", validation.ledger.entries, arguments.ledger.display());
    if let Some(folder) = &arguments.out {
        println!("validation: {}", folder.join(chronos_research::validation::VALIDATION_FILE).display());
    }
    if let Some(path) = &arguments.html {
        println!("page: {}", path.display());
    }
    Ok(())
}

fn splitter(arguments: &Arguments) -> Splitter {
    let embargo = Embargo { bars: arguments.embargo, time: i64::from(arguments.embargo_seconds) * 1_000_000_000 };
    match arguments.splits {
        Splits::Combinatorial => Splitter::CombinatorialPurged {
            folds: arguments.folds,
            test_folds: arguments.test_folds,
            purge_bars: arguments.purge,
            embargo,
        },
        Splits::KFold => Splitter::PurgedKFold { folds: arguments.folds, embargo },
        Splits::WalkForward => Splitter::WalkForward {
            train_rows: arguments.train,
            test_rows: arguments.test,
            purge_bars: arguments.purge,
            expanding: arguments.expanding,
        },
    }
}

fn print(validation: &Validation, summaries: &[Summary]) {
    let number = |value: f64, decimals: usize| if value.is_finite() { format!("{value:.decimals$}") } else { "n/a".into() };
    let percent = |value: f64| if value.is_finite() { format!("{:.1} %", 100.0 * value) } else { "n/a".into() };
    let range = |low: f64, high: f64| format!("{low:.2} to {high:.2}");
    let row = |summary: &Summary| {
        let lowest = summary.path_sharpes.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = summary.path_sharpes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        [
            model_text(&summary.model),
            summary.sharpe.map_or("n/a".into(), |sharpe| number(sharpe.estimate, 3)),
            summary.sharpe.map_or("n/a".into(), |sharpe| range(sharpe.low, sharpe.high)),
            range(lowest, highest),
            summary.probabilistic_sharpe.map_or("n/a".into(), |probability| number(probability, 3)),
            number(1e4 * summary.mean_return, 2),
            percent(summary.hit_rate),
        ]
    };
    let head = ["A bet", "Sharpe", "95 %", "Paths", "PSR", "bps", "Hits"];
    print!("{}", listing(head, summaries.iter().map(row), &[1, 2, 3, 4, 5, 6]));
    println!(
        "{} rows, {} bets over {}, {} paths; figures are those of the median path, net of {} bps",
        validation.rows,
        validation.times_ns.len(),
        span_ns(validation.span_ns()),
        validation.configurations.first().map_or(0, |configuration| configuration.paths.len()),
        validation.backtest.cost_bps
    );
    match annual_caveat(validation.span_ns(), validation.periods_per_year) {
        Some(caveat) => println!("a year: {caveat}"),
        None => {
            let row = |summary: &Summary| {
                [
                    model_text(&summary.model),
                    number(summary.annual_sharpe, 2),
                    percent(summary.annual_return),
                    percent(summary.annual_volatility),
                    percent(summary.maximum_drawdown),
                    number(summary.annual_turnover, 1),
                ]
            };
            let head = ["A year", "Sharpe", "Return", "Volatility", "Max drawdown", "Turnover"];
            print!("{}", listing(head, summaries.iter().map(row), &[1, 2, 3, 4, 5]));
            println!("a year has {:.1} bets, by the data's own clock", validation.periods_per_year);
        }
    }
}

fn print_verdict(verdict: &Verdict) {
    println!("best: {}", model_text(&verdict.model));
    if let Some(pbo) = verdict.pbo {
        println!("PBO {pbo:.3}");
    }
    if let Some(deflated) = verdict.deflated {
        println!("DSR probability {:.4}, z {:.3}, over {} trials", deflated.probability, deflated.z, verdict.trials.count);
    }
    match verdict.is_promoted {
        true => println!("the gate would let it pass"),
        false => verdict.reasons.iter().for_each(|reason| println!("the gate would refuse it: {reason}")),
    }
}
