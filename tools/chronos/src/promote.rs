//! `chronos promote`.

use crate::page::write_page;
use anyhow::{Context, Result};
use chronos_research::html::{ValidationPage, validation_page};
use chronos_research::ledger::Ledger;
use chronos_research::promotion::{Candidate, Evidence, Gate, Verdict, judge};
use chronos_research::validation::performance::annual_caveat;
use chronos_research::validation::{Deflated, Validation, model_text};
use chronos_session::config::Config;
use chronos_session::format::span_ns;
use chronos_session::model::{ModelDirectory, subject_sha256};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `chronos promote`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the model: model.onnx, manifest.toml, and the validation.json that `chronos validate` writes
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// Folder of the trial ledger that the validation was appended to
    #[arg(long, value_name = "DIR", default_value = "ledger")]
    ledger: PathBuf,
    /// Configuration file; its section `promotion` says what is asked
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The probability of backtest overfitting has to be below this [default: `promotion.pbo_below`, 0.5]
    #[arg(long, value_name = "SHARE")]
    pbo_below: Option<f64>,
    /// The probability of the deflated Sharpe ratio has to be above this [default: `promotion.dsr_above`, 0.95]
    #[arg(long, value_name = "SHARE")]
    dsr_above: Option<f64>,
    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the verdict as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command; false where the model was refused.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let configured = Gate::from(&configured(arguments.config.as_deref())?.promotion);
    let gate = Gate {
        pbo_below: arguments.pbo_below.unwrap_or(configured.pbo_below),
        dsr_above: arguments.dsr_above.unwrap_or(configured.dsr_above),
        ..configured
    };
    let mut model = ModelDirectory::open(&arguments.model)?;
    let (validation, validation_sha256) = Validation::read(&arguments.model)?;
    let history = Ledger::in_folder(&arguments.ledger).read()?;
    let earlier: Option<Evidence> = match model.is_promoted() {
        true => Some(model.manifest.evidence.clone().try_into().context("the manifest's [evidence]")?),
        false => None,
    };
    let subject = subject_sha256(&arguments.model)?.unwrap_or_default();
    let candidate = Candidate {
        validation: &validation,
        trained_on: &model.manifest.data.sha256,
        subject_sha256: &subject,
        promoted_with: earlier.as_ref().map(Evidence::ledger),
    };
    let verdict = judge(&candidate, &history, &gate)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    if let Some(evidence) = verdict.evidence(&validation_sha256, i64::try_from(now.as_nanos())?) {
        model.record_evidence(&evidence)?;
    }
    if let Some(path) = &arguments.html {
        let summaries = validation.summaries()?;
        let page = validation_page(&ValidationPage {
            kind: "promotion",
            name: &arguments.model.display().to_string(),
            validation: &validation,
            summaries: &summaries,
            gate: &gate,
            verdict: Ok(&verdict),
            history: &history,
        });
        write_page(path, &page)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "model_dir": arguments.model, "verdict": verdict }))?);
    } else {
        print(arguments, &validation, &verdict);
    }
    Ok(verdict.is_promoted)
}

/// The configuration of a file, or the default.
pub(crate) fn configured(path: Option<&Path>) -> Result<Config> {
    Ok(path.map(Config::load).transpose()?.unwrap_or_default())
}

fn print(arguments: &Arguments, validation: &Validation, verdict: &Verdict) {
    println!("{}: best configuration {}", arguments.model.display(), model_text(&verdict.model));
    let mut sharpes = verdict.path_sharpes.clone();
    sharpes.sort_by(f64::total_cmp);
    if let (Some(lowest), Some(highest)) = (sharpes.first(), sharpes.last()) {
        println!("Sharpe ratio a bet over {} paths: {lowest:.3} to {highest:.3}", sharpes.len());
    }
    println!("{} bets over {}", verdict.bets, span_ns(validation.span_ns()));
    let annual = verdict.periods_per_year.sqrt();
    match (annual_caveat(validation.span_ns(), verdict.periods_per_year), verdict.sharpe) {
        (Some(caveat), _) => println!("a year: {caveat}"),
        (None, Some(sharpe)) => {
            println!(
                "a year: {:.1} bets by the data's own clock, Sharpe ratio {:.2}",
                verdict.periods_per_year,
                sharpe.sharpe * annual
            )
        }
        (None, None) => {}
    }
    match verdict.pbo {
        Some(pbo) => println!("PBO {pbo:.3} (below {})", verdict.gate.pbo_below),
        None => println!("PBO n/a"),
    }
    let deflated = |name: &str, deflated: Option<Deflated>| match deflated {
        Some(Deflated { hurdle, z, probability }) => {
            println!("{name} probability {probability:.4}, z {z:.3}, over a hurdle of {hurdle:.4} a bet")
        }
        None => println!("{name} n/a"),
    };
    deflated(&format!("DSR (above {})", verdict.gate.dsr_above), verdict.deflated);
    deflated("DSR, were all bets independent:", verdict.deflated_plain);
    println!("{} trials in the ledger", verdict.trials.count);
    for reason in &verdict.reasons {
        println!("refused: {reason}");
    }
    if let Some(path) = &arguments.html {
        println!("page: {}", path.display());
    }
    if verdict.is_promoted {
        println!("promoted: the evidence stands in the manifest");
    }
}
